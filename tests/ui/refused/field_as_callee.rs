use durable_runtime::{durable, Context};

struct Gateway;

impl Gateway {
    async fn charge(&self, order: u32) -> Result<u32, String> {
        Ok(order)
    }
}

#[durable]
async fn process(ctx: Context, order: u32) -> Result<u32, String> {
    ctx.run(Gateway.charge, order).await
}

fn main() {}
