use durable_runtime::{Context, durable};

#[durable(on_change = "continue")]
async fn process(_ctx: Context) {}

fn main() {}
