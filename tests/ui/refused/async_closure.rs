use std::time::Duration;

use durable_runtime::{Context, Retry, durable};

async fn quote(hotel: String) -> Result<u32, String> {
    Ok(hotel.len() as u32)
}

#[durable]
async fn process(ctx: Context, hotels: Vec<String>) -> Result<u32, String> {
    let policy = Retry::fixed(Duration::from_secs(1));
    let first = ctx.retry(policy, async || ctx.run(quote, hotels[0].clone()).await).await?;
    let all = ctx.map(hotels, async |hotel| ctx.run(quote, hotel).await).all().await;
    Ok(first + all.len() as u32)
}

fn main() {}
