use durable_runtime::{Context, durable};

#[durable]
async fn process(ctx: Context) {
    ctx.run("wait", async || {
        #[durable(unchecked = "a step may wait for anything")]
        tokio::task::yield_now().await;
    })
    .await;
}

fn main() {}
