use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, order: u32) -> u32 {
    let mut total = 0;
    let mut lines = vec![order];
    ctx.run("charge", async || {
        total += order;
        lines[0] = total;
    })
    .await;
    total
}

fn main() {}
