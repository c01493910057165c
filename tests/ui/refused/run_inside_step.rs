use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    ctx.run("charge", async || {
        let (first,) = tokio::try_join!(ctx.run(charge, order))?;
        Ok(first + ctx.run(charge, order).await?)
    })
    .await
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
