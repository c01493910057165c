use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    ctx.run("charge").await
}

fn main() {}
