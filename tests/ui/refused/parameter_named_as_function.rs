use durable_runtime::{Context, durable};

#[durable]
async fn order(ctx: Context, order: String) -> usize {
    ctx.run("length", async || order.len()).await
}

fn main() {}
