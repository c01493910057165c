// No future at all.
use durable_runtime::{Context, durable};

#[durable]
async fn process(_ctx: Context) -> u32 {
    let number = 3_u32;
    number.await
}

fn main() {}
