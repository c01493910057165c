// A combinator over what is not durable.
use durable_runtime::{Context, durable};

#[durable]
async fn process(_ctx: Context) -> u32 {
    let futures = [tokio::task::yield_now(), tokio::task::yield_now()];
    futures::future::join_all(futures).await;
    0
}

fn main() {}
