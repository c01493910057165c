use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let charges = [charge];
    let first = ctx.run(charges[0], order).await?;
    let second = ctx.run({ charge }, order).await?;
    let third = ctx.run(vec![charge], order).await?;
    Ok(first + second + third)
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
