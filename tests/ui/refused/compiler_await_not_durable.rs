// A future of another library.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

/// A future of a library that knows nothing of runs.
async fn other_library() {
    tokio::task::yield_now().await;
}

fn receiver() -> tokio::sync::oneshot::Receiver<u32> {
    tokio::sync::oneshot::channel().1
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    other_library().await;
    let receiver = receiver();
    receiver.await.unwrap_or(0)
}

fn main() {}
