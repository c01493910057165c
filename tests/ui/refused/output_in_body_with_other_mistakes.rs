use durable_runtime::{durable, Context};

async fn charge(order: u32) -> u32 {
    order
}

/// What stands in the refused call is refused as well.
#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    println!("{} {:?}", ctx.run(charge(order)).await, std::env::var("HOME"));
    tokio::spawn(charge(rand::random())).await.unwrap();
    unknown(order)
}

fn main() {}
