// A future of another library.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    tokio::task::yield_now().await;
    let (_sender, receiver) = tokio::sync::oneshot::channel::<u32>();
    receiver.await.unwrap_or(0)
}

fn main() {}
