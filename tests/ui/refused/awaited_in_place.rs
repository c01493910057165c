use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let first = ctx.run(charge(order).await?);
    let second = ctx.run("charge again", charge(order).await);
    Ok(first + second)
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
