use durable_runtime::{durable, Context};

struct Shop;

impl Shop {
    #[durable]
    async fn process(&self, ctx: &Context, order: u32) -> u32 {
        ctx.run(charge, order).await
    }

    #[durable]
    async fn consume(self, ctx: Context) {}
}

async fn charge(order: u32) -> u32 {
    order
}

#[durable]
async fn caller(ctx: Context) -> u32 {
    Shop.process(&ctx, 3).await
}

fn main() {}
