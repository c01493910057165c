use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, name: String) -> Result<u32, String> {
    ctx.run(charge, &name).await
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
