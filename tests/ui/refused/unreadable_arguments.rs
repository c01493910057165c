use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    let line = vec![ctx.run(charge, order: 3).await?];
    Ok(line[0])
}

async fn charge(order: u32) -> Result<u32, String> {
    Ok(order)
}

fn main() {}
