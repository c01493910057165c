use durable_runtime::{Context, durable};

async fn quote(hotel: String) -> Result<u32, String> {
    Ok(hotel.len() as u32)
}

#[durable]
async fn process(ctx: Context, hotels: Vec<String>) -> usize {
    let quotes = ctx.map(hotels, |hotel| ctx.run(quote, hotel)).max_concurrency(8).await;
    quotes.len()
}

fn main() {}
