// A recorded time asked for how long ago it is: the answer is another one on every replay.
use std::time::{Duration, SystemTime};

use durable_runtime::{Context, durable};

#[durable]
async fn process(ctx: Context) -> bool {
    let start = ctx.run("now", async || SystemTime::now()).await;
    ctx.run("work", async || ()).await;
    let is_late = start.elapsed().is_ok_and(|time| time > Duration::from_secs(3));
    is_late || SystemTime::elapsed(&start).is_err()
}

fn main() {}
