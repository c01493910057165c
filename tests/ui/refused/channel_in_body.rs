use durable_runtime::{durable, Context};
use tokio::sync::oneshot;

#[durable]
async fn process(ctx: Context) -> u32 {
    let (sender, receiver) = oneshot::channel();
    sender.send(ctx.run("first", async || 1).await).unwrap();
    let (events, mut received) = tokio::sync::mpsc::channel::<u32>(3);
    events.send(2).await.unwrap();
    let (left, right) = std::sync::mpsc::channel();
    left.send(3).unwrap();
    receiver.await.unwrap() + received.recv().await.unwrap() + right.recv().unwrap()
}

fn main() {}
