use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> Result<u32, String> {
    let charge: u32 = ctx.run().await?;
    Ok(charge)
}

fn main() {}
