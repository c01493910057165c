use durable_runtime::{Context, durable};

#[durable]
async fn pages(ctx: Context, cursor: u64, name: String) -> u64 {
    if cursor > 9 {
        ctx.continue_as_new(cursor).await
    }
    if cursor > 8 {
        ctx.continue_as_new().await
    }
    if cursor > 7 {
        ctx.continue_as_new(name, cursor).await
    }
    ctx.run("page", async || ctx.continue_as_new(cursor, name).await).await
}

fn main() {}
