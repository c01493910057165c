// A combinator over what is not durable.
use durable_runtime::{Context, durable};

/// A future of a library that knows nothing of runs.
async fn other_library() {
    tokio::task::yield_now().await;
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    let futures = [other_library(), other_library()];
    futures::future::join_all(futures).await;
    0
}

fn main() {}
