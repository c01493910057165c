use durable_runtime::{Context, durable};

#[durable]
async fn process(_ctx: Context) {
    #[durable(unchecked)]
    tokio::task::yield_now().await;
    #[durable(unchecked = " ")]
    if true {
        tokio::task::yield_now().await;
    }
}

fn main() {}
