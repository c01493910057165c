//! Other macros: those around a durable function, those on it, and those in it.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::{Context, durable};
use tracing::Instrument as _;

use crate::run;

async fn double(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number * 2
}

async fn half(number: u32) -> Result<u32, String> {
    tokio::task::yield_now().await;
    if number.is_multiple_of(2) { Ok(number / 2) } else { Err(format!("{number} is odd")) }
}

/// Durable functions of parts that come from elsewhere.
macro_rules! functions {
    ($($visibility:vis $name:ident($ctx:ident, $number:ident: $kind:ty) -> $result:ty $body:block)*) => {
        $(
            /// Made by a macro.
            #[durable]
            $visibility async fn $name($ctx: Context, $number: $kind) -> $result $body
        )*
    };
}

functions! {
    pub block(ctx, number: u32) -> Result<u32, String> {
        let first = ctx.run(half, number).await?;
        Ok(ctx.run("inline", async || first + 1).await)
    }
    other(context, number: u32) -> u32 { context.run(double, number).await }
}

/// A durable function of one expression, and a helper that calls it.
macro_rules! expression {
    ($name:ident, $helper:ident, $ctx:ident => $value:expr, $function:path) => {
        #[durable]
        async fn $name($ctx: Context) -> u32 {
            $helper(&$ctx, $value).await + $value
        }

        #[durable]
        async fn $helper(ctx: &Context, number: u32) -> u32 {
            ctx.run($function, number).await
        }
    };
}

expression!(expression, expression_helper, ctx => ctx.run(double, 2).await, self::double);

/// `?` of the user's own.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return error,
        }
    };
}

/// Macros around steps.
#[durable]
pub async fn wrapped(ctx: Context) -> String {
    let first = attempt!(ctx.run(half, 4).await);
    let second = attempt!(ctx.run(half, first + 1).await);
    format!("not reached: {second}")
}

/// Sees the `async fn`, as it does on any other.
#[durable]
#[tracing::instrument(skip(ctx), err)]
async fn below(ctx: &Context, number: u32) -> Result<u32, String> {
    let first = ctx.run(half, number).await?;
    if first > 10 {
        return Err("much".to_owned());
    }
    ctx.run(half, first).await
}

#[tracing::instrument(skip_all)]
#[durable]
async fn above(ctx: &Context, number: u32) -> u32 {
    ctx.run(double, number).await
}

/// Under `tracing::instrument`.
#[durable]
#[tracing::instrument(skip(ctx), ret)]
async fn instrumented(ctx: Context, number: u32) -> Result<u32, String> {
    let inside = async { ctx.run(double, number).await }.instrument(tracing::info_span!("inside")).await;
    let beside = ctx.run(double, number).in_current_span().await;
    Ok(below(&ctx, inside).await? + above(&ctx, beside).await)
}

tokio::task_local! {
    static CURRENCY: &'static str;
}

/// With a value of the task.
#[durable]
pub async fn scoped(ctx: Context) -> usize {
    CURRENCY.scope("EUR", async { ctx.run("length", async || CURRENCY.get().len()).await }).await
}

/// Never comes to its end, without a warning about that.
#[durable]
#[must_use]
async fn early(ctx: &Context, number: u32) -> u32 {
    let doubled = ctx.run(double, number).await;
    #[allow(clippy::needless_return)]
    return doubled;
}

#[durable]
async fn never(ctx: &Context) -> u32 {
    ctx.run(double, 1).await;
    panic!("as it should");
}

/// Imports by which a body uses what only steps may call.
#[durable]
pub async fn imports(ctx: Context) -> u32 {
    use std::{cmp::max, env::var as read};
    use tokio::{join, time::sleep};

    let (home, ()) = join!(
        ctx.run("read", async || read("HOME").map_or(0, |_| 1)),
        ctx.run("wait", async || sleep(std::time::Duration::ZERO).await),
    );
    max(home, early(&ctx, 2).await)
}

/// Panics.
#[durable]
async fn panics(ctx: Context) -> u32 {
    never(&ctx).await
}

#[tokio::test]
async fn macros_make_durable_functions() {
    assert_eq!(run(block, 8).await, Ok(5));
    assert_eq!(run(other, 2).await, 4);
    assert_eq!(run(expression, ()).await, 12);
    assert_eq!(run(wrapped, ()).await, "3 is odd");
}

#[tokio::test]
async fn macros_on_durable_functions() {
    assert_eq!(run(instrumented, 2).await, Ok(9));
    assert_eq!(run(instrumented, 3).await, Err("3 is odd".to_owned()));
    assert_eq!(run(scoped, ()).await, 3);
    assert_eq!(run(imports, ()).await, 4);
    let runtime = durable_runtime::Runtime::builder().in_memory().await.expect("an empty store opens");
    assert!(runtime.start("panics", panics, ()).await.expect("it starts").await.is_err());
}
