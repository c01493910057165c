// What is not durable in `ctx.map`, and an end that asks for results.
use durable_runtime::{Context, durable};

/// A future of a library that knows nothing of runs.
async fn other_library(number: u32) -> Result<u32, String> {
    Ok(number)
}

async fn double(number: u32) -> u32 {
    number * 2
}

#[durable]
async fn maps_what_is_not_durable(ctx: Context) -> usize {
    ctx.map(0..3, |number| other_library(number)).all().await.len()
}

#[durable]
async fn maps_what_can_not_fail(ctx: Context) -> bool {
    ctx.map(0..3, |number| ctx.run(double, number)).at_least(2).await.is_ok()
}

fn main() {}
