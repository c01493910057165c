use std::time::SystemTime;

use durable_runtime::{durable, Context};

/// A step may, what is handed to it is evaluated before.
#[durable]
async fn process(ctx: Context) -> u64 {
    let fine = ctx.run("now", async || SystemTime::now()).await;
    let first = ctx.run(seconds, SystemTime::now()).await;
    let second = ctx.run(seconds, fine).named(format!("{:?}", SystemTime::now())).await;
    first + second
}

async fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn main() {}
