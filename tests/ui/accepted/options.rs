//! The options of the attribute.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::DurableFunction;

use crate::run;

/// Where an application may have the runtime, under another name.
mod library {
    pub(super) use durable_runtime as durable;
}

use library::durable::{Context, durable};

async fn next(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number + 1
}

/// Is recorded under another name, in its second version.
#[durable(name = "options.named", version = 2)]
pub async fn named(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

/// Finds the runtime elsewhere.
#[durable(crate = library::durable)]
pub async fn elsewhere(ctx: Context) -> u32 {
    let first = ctx.run(next, 1).await;
    let second = ctx.run("inline", async |step| step.attempt()).await;
    part(&ctx, first + second).await
}

/// A helper finds it there, too.
#[durable(crate = crate::accepted::options::library::durable,)]
async fn part(ctx: &Context, number: u32) -> u32 {
    ctx.run(next, number).await
}

/// Has no options, and says so.
#[durable()]
pub async fn without(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

#[tokio::test]
async fn options_are_kept() {
    assert_eq!((named::NAME, named::VERSION), ("options.named", 2));
    assert_eq!((without::NAME, without::VERSION), ("without", 1));
    assert_eq!(run(named, ()).await, 2);
    assert_eq!(run(elsewhere, ()).await, 4);
    assert_eq!(run(without, ()).await, 2);
}
