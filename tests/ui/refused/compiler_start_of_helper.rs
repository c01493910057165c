// What can't be started.
use durable_runtime::{Context, Runtime, durable};

#[durable]
async fn helper(ctx: &Context, cents: u64) -> u64 {
    ctx.run("double", async || cents * 2).await
}

async fn starts(runtime: &Runtime) {
    runtime.start("order-1", helper, 3).await.unwrap();
}

fn main() {}
