use std::time::{Duration, Instant};

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> bool {
    let start = Instant::now();
    ctx.run("work", async || ()).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
    start.elapsed() > Duration::from_secs(3) && deadline.elapsed().is_zero()
}

fn main() {}
