// `ctx.run` and `ctx.undo` where the attribute does not see them.
use durable_runtime::{Context, durable};

async fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

async fn refund(_cents: u64) {}

async fn plain_helper(ctx: &Context, cents: u64) -> Result<u64, String> {
    ctx.run(charge, cents).await
}

fn plans(ctx: &Context, cents: u64) {
    ctx.undo(refund, cents);
}

struct Shop {
    ctx: Context,
}

impl Shop {
    async fn sells(&self) -> Result<u64, String> {
        self.ctx.run("price", async || Ok(250)).await
    }
}

#[durable]
async fn process(ctx: Context, cents: u64) -> Result<u64, String> {
    let other = ctx.clone();
    other.run(charge, cents).await
}

fn main() {}
