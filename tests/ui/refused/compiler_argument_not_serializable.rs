use durable_runtime::{durable, Context};

struct Order;

#[durable]
async fn process(ctx: Context) {
    ctx.run(charge, 3, &Order).await;
}

async fn charge(_: u32, _: &Order) {}

fn main() {}
