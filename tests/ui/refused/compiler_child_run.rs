use durable_runtime::{durable, ChildCancelled, Context};

#[durable]
async fn process(ctx: Context, order: String) -> Result<usize, ChildCancelled> {
    ctx.run(other, &order).await
}

#[durable]
async fn ignores_that_it_may_be_cancelled(ctx: Context) -> usize {
    ctx.run(other, String::new()).await
}

#[durable]
async fn other(ctx: Context, order: String) -> usize {
    let _ = ctx;
    order.len()
}

fn main() {}
