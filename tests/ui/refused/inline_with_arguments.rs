use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    let first: u32 = ctx.run("charge", charge, order).await;
    ctx.run("charge again", async || order, order).await
}

async fn charge(order: u32) -> u32 {
    order
}

fn main() {}
