use durable_runtime::{Context, durable};

#[durable]
async fn reserves(ctx: Context, sku: String) -> Result<(), String> {
    ctx.undo();
    ctx.undo(release(&sku));
    ctx.undo("release", async || release(&sku).await, 7);
    ctx.run("reserve", async || ctx.undo(release, &sku)).await;
    Err(sku)
}

async fn release(_sku: &str) {}

fn main() {}
