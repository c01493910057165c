// An async function of the user, without the attribute.
use durable_runtime::{Context, durable};

async fn part(_ctx: &Context) -> u32 {
    1
}

#[durable]
async fn process(ctx: Context) -> u32 {
    // It uses the context, so it is to be a helper.
    part(&ctx).await
}

fn main() {}
