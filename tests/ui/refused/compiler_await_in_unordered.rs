// A set of what is not durable.
use durable_runtime::{Context, durable};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// A future of a library that knows nothing of runs.
async fn other_library() {
    tokio::task::yield_now().await;
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    let mut futures = FuturesUnordered::new();
    futures.push(other_library());
    futures.next().await;
    0
}

fn main() {}
