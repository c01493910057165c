// Inside of an async block.
use durable_runtime::{Context, durable};

#[durable]
async fn process(_ctx: Context) -> u32 {
    let block = async {
        tokio::task::yield_now().await;
        1
    };
    block.await
}

fn main() {}
