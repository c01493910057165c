use durable_runtime::{Context, durable};

struct Receipt;

#[durable]
async fn process(ctx: Context) {
    let _ = ctx.run(charge).await;
}

async fn charge() -> Receipt {
    Receipt
}

fn main() {}
