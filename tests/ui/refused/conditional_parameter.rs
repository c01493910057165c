use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, #[cfg(unix)] user: u32) {}

fn main() {}
