use durable_runtime::{Context, durable};

#[durable]
async fn turns(ctx: &Context, cursor: u64) -> u64 {
    ctx.continue_as_new(cursor).await
}

fn main() {}
