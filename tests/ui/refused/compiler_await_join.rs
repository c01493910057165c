// A branch of a macro.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

#[durable]
async fn process(ctx: Context) -> u32 {
    let (sum, ()) = tokio::join!(ctx.run(one), tokio::task::yield_now());
    sum
}

fn main() {}
