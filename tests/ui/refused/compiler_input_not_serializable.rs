use durable_runtime::{durable, Context};

struct Order;

#[durable]
async fn process(_: Context, _: Order, _: u32) -> Order {
    Order
}

fn main() {}
