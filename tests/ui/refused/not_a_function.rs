use durable_runtime::{durable, Context};

/// An order.
#[durable]
pub struct Order {
    id: u32,
}

struct Shop;

#[durable]
impl Shop {
    fn open(&self) {}
}

#[durable]
mod orders {}

fn main() {
    let _ = Order { id: 1 }.id;
    Shop.open();
    let _: Context;
}
