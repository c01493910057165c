use std::time::SystemTime;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, start: Option<SystemTime>) -> u64 {
    let now = SystemTime::now();
    let started = start.unwrap_or_else(SystemTime::now);
    let utc = chrono::Utc::now().timestamp();
    let local = <chrono::Local>::now();
    let date = time::OffsetDateTime::now_utc().date();
    let zoned = ::jiff::Zoned::now();
    ctx.run(wait, now.duration_since(started)).await
}

async fn wait(_: std::time::Duration) -> u64 {
    0
}

fn main() {}
