// A set of what is not durable.
use durable_runtime::{Context, durable};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

#[durable]
async fn process(_ctx: Context) -> u32 {
    let mut futures = FuturesUnordered::new();
    futures.push(tokio::task::yield_now());
    futures.next().await;
    0
}

fn main() {}
