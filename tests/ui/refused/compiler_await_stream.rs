// A stream of another library.
use durable_runtime::{Context, durable};
use futures::StreamExt as _;

#[durable]
async fn process(_ctx: Context) -> u32 {
    let (_sender, mut receiver) = futures::channel::mpsc::channel::<u32>(1);
    receiver.next().await.unwrap_or(0)
}

fn main() {}
