use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    ctx.run(part, 3).await
}

#[durable]
async fn part(ctx: &Context, order: u32) -> u32 {
    let _ = ctx;
    order
}

fn main() {}
