use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let first = ctx.run("", async || order).await;
    let second = ctx.run(charge, order).named(" ").await?;
    Ok(first + second)
}

#[durable(name = "")]
async fn unnamed(_: Context) {}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
