use std::time::Duration;

use durable_runtime::{durable, Context};
use tokio::time;

#[durable]
async fn process(ctx: Context) -> u32 {
    use tokio::time::sleep as pause;

    tokio::time::sleep(Duration::from_secs(1)).await;
    pause(Duration::from_secs(1)).await;
    let mut ticks = time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let limited = time::timeout(Duration::from_secs(1), ctx.run(fetch)).await.unwrap_or_default();
    tokio::select! {
        fetched = ctx.run(fetch) => fetched + limited,
        () = tokio::time::sleep(Duration::from_secs(1)) => 0,
    }
}

async fn fetch() -> u32 {
    1
}

fn main() {}
