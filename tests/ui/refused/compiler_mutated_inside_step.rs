use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> usize {
    let mut lines = Vec::new();
    ctx.run("charge", async || lines.push(3)).await;
    lines.len()
}

fn main() {}
