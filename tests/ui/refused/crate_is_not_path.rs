use durable_runtime::{durable, Context};

#[durable(crate = "durable_runtime")]
async fn process(_: Context) {}

fn main() {}
