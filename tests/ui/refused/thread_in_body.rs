use std::thread;
use std::time::Duration;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    thread::sleep(Duration::from_secs(1));
    let name = std::thread::current().name().map(str::to_owned);
    tokio::task::yield_now().await;
    let number = futures::executor::block_on(ctx.run("work", async || 3));
    tokio::runtime::Handle::current().block_on(async { number })
}

fn main() {}
