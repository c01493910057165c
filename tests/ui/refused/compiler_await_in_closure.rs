// Inside of a closure.
use durable_runtime::{Context, durable};

#[durable]
async fn process(_ctx: Context) -> u32 {
    let later = |()| async { tokio::task::yield_now().await };
    later(()).await;
    0
}

fn main() {}
