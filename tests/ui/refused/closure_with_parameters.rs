use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    ctx.run("charge", async |step, order| order).await
}

fn main() {}
