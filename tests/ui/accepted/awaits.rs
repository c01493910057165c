//! What may be awaited: steps, helpers, blocks and closures of them, and the combinators over these.
#![deny(warnings, clippy::pedantic, missing_docs)]

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use durable_runtime::{BoxDurableFuture, Context, DurableFuture, durable};
use futures::future::{
    self, Either, FutureExt as _, OptionFuture, TryFutureExt as _, join_all, select_all, try_join_all,
};
use futures::stream::{self, FuturesOrdered, FuturesUnordered, StreamExt as _, TryStreamExt as _};

use crate::run;

async fn double(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number * 2
}

async fn half(number: u32) -> Result<u32, String> {
    tokio::task::yield_now().await;
    if number.is_multiple_of(2) { Ok(number / 2) } else { Err(format!("{number} is odd")) }
}

/// `?` on awaits of all shapes.
#[durable]
pub async fn question_marks(ctx: Context, number: u32) -> Result<u32, String> {
    let first = ctx.run(half, number).await?;
    let nested = ctx.run(half, ctx.run(double, first).await).await? + (ctx.run(half, 2).await)?;
    let block = async {
        let a = ctx.run(half, 8).await?;
        Ok::<_, String>(a + ctx.run(double, a).await)
    };
    let list = [ctx.run(double, 1).await, ctx.run(half, 4).await.unwrap_or_default()];
    Ok(nested + block.await? + list.iter().sum::<u32>() + u32::from(ctx.run(double, 1).await == 2))
}

/// Blocks and closures, plain and `async`.
#[durable]
pub async fn closures(ctx: Context, number: u32) -> u32 {
    let ctx = &ctx;
    let add = async |a: u32, b: u32| ctx.run(double, a).await + ctx.run(double, b).await;
    let times = async move |a: u32| {
        let doubled = ctx.run(double, a).await;
        doubled * number
    };
    let plain = |a: u32| ctx.run(double, a);
    let block = |a: u32| async move { ctx.run(double, a).await + plain(a).await };
    let (first, second) = tokio::join!(add(1, 2), block(3));
    first + second + times(1).await + { async { plain(2).await } }.await
}

#[durable]
async fn part(ctx: &Context, number: u32) -> Result<u32, String> {
    let doubled = ctx.run(double, number).await;
    if doubled > 100 {
        return Err("too much".into());
    }
    Ok(ctx.run(half, doubled).await?)
}

#[durable]
async fn both<A, B>(_ctx: &Context, a: A, b: B) -> (u32, u32)
where
    A: DurableFuture<Output = u32>,
    B: DurableFuture<Output = u32>,
{
    tokio::join!(a, b)
}

#[durable]
async fn borrowed<'a>(ctx: &Context, texts: &'a [String], mut index: usize) -> &'a str {
    index += ctx.run("index", async || 0_usize).await;
    &texts[index]
}

#[durable]
async fn shown(ctx: &Context, number: u32) -> impl std::fmt::Display + use<> {
    ctx.run(double, number).await
}

/// Helpers: futures as parameters, borrowed and opaque results.
#[durable]
pub async fn helpers(ctx: Context, number: u32) -> Result<String, String> {
    let (a, b) = both(&ctx, ctx.run(double, number), async { part(&ctx, number).await.unwrap_or(7) }).await;
    let texts = ["x".to_owned()];
    let text = borrowed(&ctx, &texts, 0).await;
    let c = try_join_all([1, 2].map(|number| part(&ctx, number))).await?;
    Ok(format!("{a} {b} {text} {} {:?}", shown(&ctx, number).await, c))
}

/// The macros of tokio and futures.
#[durable]
pub async fn macros(ctx: Context, number: u32) -> Result<u32, String> {
    let (first, second, third) =
        tokio::join!(ctx.run(double, number), part(&ctx, 1), async { ctx.run(double, 1).await });
    let (fourth, fifth) = futures::join!(ctx.run(double, 1), part(&ctx, 2));
    let (f, g) = tokio::try_join!(ctx.run(half, 2), part(&ctx, 3))?;
    let (h, i) = futures::try_join!(ctx.run(half, 2), async { part(&ctx, 3).await })?;
    let mut sum = first + second? + third + fourth + fifth? + f + g + h + i;
    let mut slow = ctx.run(double, 5);
    let mut pinned = Box::pin(async { ctx.run(double, 6).await });
    let mut is_slow = true;
    for _ in 0..3 {
        sum += tokio::select! {
            value = &mut slow, if is_slow => { is_slow = false; value }
            value = &mut pinned, if sum < 1000 => { sum += 1000; value },
            Ok(value) = part(&ctx, 4) => value,
            else => 0,
        };
    }
    let mut one = ctx.run(double, 1).fuse();
    let two = std::pin::pin!(async { ctx.run(double, 2).await }.fuse());
    let mut two = two;
    sum += futures::select_biased! {
        value = one => value,
        value = two => value,
    };
    sum += futures::select_biased! {
        value = ctx.run(double, 1).fuse() => value,
        value = part(&ctx, 1).boxed_durable().fuse() => value?,
    };
    Ok(sum)
}

/// A method of the user's own that boxes.
trait BoxedDurable: DurableFuture + Sized + Send {
    fn boxed_durable<'a>(self) -> BoxDurableFuture<'a, Self::Output>
    where
        Self: 'a,
    {
        Box::pin(self)
    }
}

impl<F: DurableFuture + Send> BoxedDurable for F {}

/// What `futures` has to combine futures.
#[durable]
pub async fn combinators(ctx: Context, number: u32) -> Result<u32, String> {
    let mut sum: u32 = join_all((0..3).map(|number| ctx.run(double, number))).await.iter().sum();
    sum += try_join_all([2, 4].map(|number| ctx.run(half, number))).await?.iter().sum::<u32>();
    sum += match future::select(ctx.run(double, 1), Box::pin(part(&ctx, 2))).await {
        Either::Left((value, rest)) => value + rest.await?,
        Either::Right((value, rest)) => value? + rest.await,
    };
    let (first, _, rest) = select_all([1, 2, 3].map(|number| ctx.run(double, number))).await;
    sum += first + join_all(rest).await.iter().sum::<u32>();
    sum += ctx.run(double, 1).map(|value| value + 1).await;
    sum += ctx.run(half, 2).and_then(|value| ctx.run(half, value * 2)).map_err(|error| error + "!").await?;
    sum += ctx.run(double, 1).then(|value| ctx.run(double, value)).await;
    let some = OptionFuture::from((number > 1).then(|| ctx.run(double, number)));
    sum += some.await.unwrap_or(0);
    sum += future::join(ctx.run(double, 1), future::ready(1)).await.0;
    sum += future::try_join(ctx.run(half, 2), part(&ctx, 2)).await?.1;
    sum += if number > 1 { Either::Left(ctx.run(double, 1)) } else { Either::Right(future::ready(2)) }.await;
    sum += future::select_ok([ctx.run(half, 1), ctx.run(half, 2)]).await?.0;
    Ok(sum)
}

/// What `futures` has to read many of them.
#[durable]
pub async fn streams(ctx: Context, number: u32) -> Result<u32, String> {
    let ctx = &ctx;
    let mut sum = 0;
    let mut unordered = FuturesUnordered::new();
    for number in 0..number {
        unordered.push(ctx.run(double, number));
    }
    while let Some(value) = unordered.next().await {
        sum += value;
    }
    let mut ordered: FuturesOrdered<_> = (0..number).map(|number| part(ctx, number)).collect();
    while let Some(value) = ordered.try_next().await? {
        sum += value;
    }
    let mut buffered = stream::iter(0..number).map(|number| ctx.run(double, number)).buffer_unordered(2);
    while let Some(value) = buffered.next().await {
        sum += value;
    }
    let list: Vec<u32> = stream::iter(0..number).map(|number| part(ctx, number)).buffered(2).try_collect().await?;
    sum += list.iter().sum::<u32>();
    sum += stream::iter(0..number).then(|number| ctx.run(double, number)).fold(0, |a, b| async move { a + b }).await;
    stream::iter(0..number)
        .for_each_concurrent(2, |number| async move {
            ctx.run(double, number).await;
        })
        .await;
    let few: Vec<u32> = stream::iter(0..number).filter(|number| future::ready(*number > 1)).take(2).collect().await;
    Ok(sum + few.iter().sum::<u32>())
}

/// Futures in variables: options, boxes, pins, lists.
#[durable]
pub async fn kept(ctx: Context, number: u32) -> u32 {
    let maybe = (number > 1).then(|| ctx.run(double, number));
    let mut sum = if let Some(future) = maybe { future.await } else { 0 };
    let mut list = vec![ctx.run(double, 1), ctx.run(double, 2)];
    while let Some(future) = list.pop() {
        sum += future.await;
    }
    let boxed: BoxDurableFuture<'_, u32> =
        if number > 1 { Box::pin(ctx.run(double, 1)) } else { Box::pin(async { ctx.run(double, 2).await }) };
    sum += boxed.await;
    let mut pinned = std::pin::pin!(async { ctx.run(double, 3).await });
    sum += pinned.as_mut().await;
    let mut step = ctx.run(double, 4);
    sum += (&mut step).await;
    tokio::pin! { let late = part(&ctx, 1); }
    sum + late.await.unwrap_or(0)
}

/// A combinator of the user's own.
struct Twice<F>(F);

impl<F: Future<Output = u32> + Unpin> Future for Twice<F> {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<u32> {
        Pin::new(&mut self.0).poll(task).map(|value| value * 2)
    }
}

impl<F: DurableFuture<Output = u32> + Unpin> DurableFuture for Twice<F> {}

/// What the attribute can't know to be durable.
#[durable]
pub async fn hatches(ctx: Context, number: u32) -> u32 {
    let twice = Twice(ctx.run(double, number)).await;
    #[durable(unchecked = "it is ready at once")]
    let ready = async_std_like::ready(1).await;
    #[durable(unchecked = "they are ready at once")]
    let (a, b) = tokio::join!(async_std_like::ready(1), ctx.run(double, 1));
    let (c, d) = tokio::join!(
        #[durable(unchecked = "it is ready at once")]
        async_std_like::ready(1),
        ctx.run(double, 1)
    );
    #[durable(unchecked = "it is ready at once")]
    if number > 1 {
        async_std_like::ready(()).await;
    }
    let sum = twice + ready + a + b + c + d;
    #[durable(unchecked = "it is ready at once")]
    async_std_like::ready(sum).await
}

/// A library that knows nothing of durable functions.
mod async_std_like {
    /// Ready at once.
    pub(super) async fn ready<T>(value: T) -> T {
        std::future::ready(value).await
    }
}

#[tokio::test]
async fn awaited() {
    assert_eq!(run(question_marks, 4).await, Ok(20));
    assert_eq!(run(closures, 3).await, 28);
    assert_eq!(run(helpers, 3).await, Ok("6 3 x 6 [1, 2]".to_owned()));
    assert_eq!(run(macros, 1).await, Ok(1047));
    assert_eq!(run(combinators, 2).await, Ok(44));
    assert_eq!(run(streams, 3).await, Ok(26));
    assert_eq!(run(kept, 2).await, 27);
    assert_eq!(run(hatches, 2).await, 15);
}
