use durable_runtime::{durable, Context};

struct Gateway;

impl Gateway {
    async fn charge(&self, order: u32) -> Result<u32, String> {
        charge(order).await
    }
}

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let gateway = Gateway;
    let first = ctx.run(charge(order)).await?;
    let second = ctx.run(gateway.charge(order)).await?;
    let (third,) = tokio::try_join!(ctx.run(charge(first + second)))?;
    Ok(third)
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
