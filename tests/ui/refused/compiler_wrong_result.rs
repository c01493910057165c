use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> String {
    ctx.run("charge", async || 3).await
}

fn main() {}
