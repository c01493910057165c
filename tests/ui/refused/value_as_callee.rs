use durable_runtime::{Context, durable};

async fn charge(cents: u64) -> u64 {
    cents
}

async fn quote(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

#[durable]
async fn process(ctx: Context, charge: u64) -> Result<u64, String> {
    let quote = ctx.run(quote, charge).await?;
    let second = ctx.run(quote, 1).await?;
    Ok(ctx.run(charge, quote + second).await)
}

fn main() {}
