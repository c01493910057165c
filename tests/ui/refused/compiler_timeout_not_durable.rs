// What is not durable in `ctx.timeout` and `ctx.retry`.
use std::time::Duration;

use durable_runtime::{Context, Retry, durable};

/// A future of a library that knows nothing of runs.
async fn other_library() -> Result<u32, String> {
    Ok(3)
}

#[durable]
async fn limits(ctx: Context) -> bool {
    ctx.timeout(Duration::from_secs(1), other_library()).await.is_ok()
}

#[durable]
async fn tries_again(ctx: Context) -> Result<u32, String> {
    ctx.retry(Retry::fixed(Duration::from_secs(1)), || other_library()).await
}

fn main() {}
