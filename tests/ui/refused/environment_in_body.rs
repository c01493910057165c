use std::env;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> Option<String> {
    let home = env::var("HOME").ok()?;
    let first = std::env::args().nth(1);
    let here = env::current_dir().unwrap().join(home);
    ctx.run("use them", async || env!("CARGO_PKG_NAME").to_owned()).await;
    first
}

fn main() {}
