use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> Result<u32, String> {
    ctx.run(charge, 3, 4).await
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
