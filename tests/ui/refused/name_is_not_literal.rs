use durable_runtime::{durable, Context};

const NAME: &str = "charge";

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    let first: u32 = ctx.run(NAME, async || order).await;
    let second: u32 = ctx.run(format!("charge {order}"), async || order).await;
    let third: u32 = ctx.run(3, async || order).await;
    first + second + third
}

fn main() {}
