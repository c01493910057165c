use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    let first = ctx.run("inline", || 3).await;
    first + ctx.run(plain, 3).await
}

fn plain(order: u32) -> u32 {
    order
}

fn main() {}
