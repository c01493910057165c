//! Several steps at once, with the tools that async Rust has for it.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::{Context, durable};
use futures::StreamExt as _;
use futures::future::{join_all, select_all, try_join_all};
use futures::stream::FuturesUnordered;
use tokio::select;

use crate::run;

async fn double(number: &u32) -> u32 {
    tokio::task::yield_now().await;
    number * 2
}

async fn half(number: u32) -> Result<u32, String> {
    tokio::task::yield_now().await;
    if number.is_multiple_of(2) { Ok(number / 2) } else { Err(format!("{number} is odd")) }
}

async fn never() -> u32 {
    std::future::pending().await
}

/// All of several.
#[durable]
pub async fn joined(ctx: Context, number: u32) -> Result<Vec<u32>, String> {
    let (ten, six) = tokio::join!(ctx.run(double, &number), ctx.run(double, &3));
    let (twenty, many) = futures::join!(ctx.run(double, &ten), async {
        let first = ctx.run(double, &six).await;
        ctx.run(double, &first).await
    });
    let (same, half_of_half) =
        tokio::try_join!(ctx.run(half, twenty), async { ctx.run(half, ctx.run(half, many).await?).await })?;
    let (two, inline) = futures::try_join!(ctx.run(half, 4), ctx.run("inline", async || half(number * 2).await))?;
    Ok(vec![ten, six, twenty, many, same, half_of_half, two, inline])
}

/// The first of several.
#[durable]
pub async fn selected(ctx: Context, number: u32) -> Result<Vec<u32>, String> {
    let tokios = tokio::select! {
        first = ctx.run(half, number) => first?,
        second = ctx.run(never) => second,
    };
    let imported = select! {
        biased;
        first = ctx.run(never) => first,
        Ok(second) = ctx.run(half, number) => {
            // A step in the handler.
            ctx.run(double, &second).await
        }
        else => 0,
    };
    let ordered = select! {
        second = ctx.run(never) => second,
        first = ctx.run(double, &number) => first,
    };
    let mut slow = ctx.run(never);
    let mut fast = ctx.run(double, &number);
    let pinned = futures::select_biased! {
        first = futures::FutureExt::fuse(&mut slow) => first,
        second = futures::FutureExt::fuse(&mut fast) => second,
    };
    let (any, _, _) = select_all([1_u32, 2].iter().map(|number| ctx.run(double, number))).await;
    Ok(vec![tokios, imported, ordered, pinned, any])
}

/// As many as a list has.
#[durable]
pub async fn listed(ctx: Context, numbers: Vec<u32>) -> Result<Vec<u32>, String> {
    let doubled = join_all(numbers.iter().map(|number| ctx.run(double, number))).await;
    let halved = try_join_all(doubled.iter().map(|&number| ctx.run(half, number))).await?;
    let mut unordered: FuturesUnordered<_> = halved.iter().map(|number| ctx.run(double, number)).collect();
    let mut sum = 0;
    while let Some(number) = unordered.next().await {
        sum += number;
    }
    let mut one_by_one = Vec::new();
    for number in &numbers {
        one_by_one.push(ctx.run(double, number).await);
    }
    let nested = vec![ctx.run(double, &sum).await, if sum > 3 { ctx.run(double, &1).await } else { 0 }];
    let text = format!("{} {sum}", ctx.run(half, sum).await?);
    assert!(ctx.run(half, 3).await.is_err(), "{text}");
    Ok([halved.clone(), one_by_one, nested].concat())
}

/// The same for many. An `async move` block has a context of its own, whatever else is made of it.
#[durable]
pub async fn done_for_each(ctx: Context, numbers: Vec<u32>) -> Result<Vec<u32>, Vec<String>> {
    let doubled = ctx.map(&numbers, |number| ctx.run(double, number)).max_concurrency(2).all().await;
    let halved = ctx.map(doubled, |number| async move {
        let half = ctx.run(half, number).await?;
        Ok::<_, String>(in_a_helper(&ctx, half).await)
    });
    let first = halved.max_concurrency(1).first_ok().await?;
    let two = ctx.map([2, 4, 5], |number| ctx.run(half, number)).at_least(2).await;
    let most = ctx.map([2, 4, 5], |number| Box::pin(async move { ctx.run(half, number).await })).tolerate(1).await;
    let both = [two, most].map(|mapped| mapped.map_or(0, |mapped| mapped.succeeded.iter().map(|(_, half)| half).sum()));
    let cloned = [1_u32, 2].map(|number| {
        let ctx = ctx.clone();
        async move { ctx.run(double, &number).await }
    });
    let streamed: Vec<u32> = futures::stream::iter(both)
        .map(|number| async move { ctx.run(double, &number).await })
        .buffered(2)
        .collect()
        .await;
    Ok([vec![first], streamed, join_all(cloned).await].concat())
}

#[durable]
async fn in_a_helper(ctx: &Context, number: u32) -> u32 {
    let added = ctx.map(1..=2, |more| async move { part_of_a_helper(ctx, number + more).await });
    added.all().await.into_iter().sum()
}

#[durable]
async fn part_of_a_helper(ctx: &Context, number: u32) -> u32 {
    ctx.run(double, &number).await
}

#[tokio::test]
async fn maps() {
    assert_eq!(run(done_for_each, vec![1, 2]).await, Ok(vec![10, 6, 6, 2, 4]));
}

#[tokio::test]
async fn joins() {
    assert_eq!(run(joined, 5).await, Ok(vec![10, 6, 20, 24, 10, 6, 2, 5]));
}

#[tokio::test]
async fn selects() {
    assert_eq!(run(selected, 8).await, Ok(vec![4, 8, 16, 16, 2]));
    assert_eq!(run(selected, 3).await, Err("3 is odd".to_owned()));
}

#[tokio::test]
async fn lists() {
    assert_eq!(run(listed, vec![1, 2]).await, Ok(vec![1, 2, 2, 4, 12, 2]));
}
