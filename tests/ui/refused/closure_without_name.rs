use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    let first = ctx.run(async || order).await;
    let second = ctx.run(async { order }).await;
    first + second
}

fn main() {}
