use durable_runtime::{durable, Context};

#[durable(name = "part", version = 2, on_change = "resume", crate = durable_runtime)]
async fn part(_: &Context) {}

fn main() {}
