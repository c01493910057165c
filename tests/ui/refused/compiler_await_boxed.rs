// A box of what may be anything.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

#[durable]
async fn process(ctx: Context) -> u32 {
    let boxed: futures::future::BoxFuture<'_, u32> = Box::pin(ctx.run(one));
    boxed.await
}

fn main() {}
