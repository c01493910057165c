use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    ctx.run(sum, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18).await
}

fn main() {}
