// A stream of another library.
use durable_runtime::{Context, durable};
use futures::StreamExt as _;

fn receiver() -> futures::channel::mpsc::Receiver<u32> {
    futures::channel::mpsc::channel(1).1
}

#[durable]
async fn process(_ctx: Context) -> u32 {
    let mut receiver = receiver();
    receiver.next().await.unwrap_or(0)
}

fn main() {}
