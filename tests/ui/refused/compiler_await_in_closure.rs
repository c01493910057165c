// Inside of a closure.
use durable_runtime::{Context, durable};

/// A future of a library that knows nothing of runs.
async fn other_library() {
    tokio::task::yield_now().await;
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    let later = |()| async { other_library().await };
    later(()).await;
    0
}

fn main() {}
