use durable_runtime::{durable, Context};

#[durable(name = process_order)]
async fn process(_: Context) {}

fn main() {}
