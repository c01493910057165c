use durable_runtime::{Context, durable};

#[durable]
async fn naps(ctx: Context) -> u64 {
    ctx.run("nap", async || ctx.sleep(std::time::Duration::from_secs(1)).await).await;
    ctx.run("map", async || drop(ctx.map([1], |_| ctx.sleep(std::time::Duration::ZERO)))).await;
    ctx.run("draw", async || (ctx.now().0, ctx.uuid().to_string())).await.0
}

fn main() {}
