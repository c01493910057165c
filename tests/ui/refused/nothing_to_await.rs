use durable_runtime::{Context, durable};

async fn refund(_order: &str) {}

#[durable]
async fn process(ctx: Context, order: String) -> Result<(), String> {
    ctx.undo(refund, &order).named("give back").await;
    ctx.publish("progress", &1).await;
    ctx.emit("orders", &order).await;
    if ctx.patched("check stock first").await {
        let _now = ctx.now().await;
    }
    Ok(())
}

fn main() {}
