use durable_runtime::{Context, durable};

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    ctx.run("charge", charge(order)).await
}

async fn charge(order: u32) -> u32 {
    order
}

fn main() {}
