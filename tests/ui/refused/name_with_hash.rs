use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let first = ctx.run("charge#1", async || order).await;
    let second = ctx.run(charge, order).named("charge#2").await?;
    Ok(first + second)
}

#[durable(name = "orders#process")]
async fn numbered(_: Context) {}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
