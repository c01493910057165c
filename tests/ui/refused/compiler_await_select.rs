// A branch of a macro.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

#[durable]
async fn process(ctx: Context) -> u32 {
    tokio::select! {
        sum = ctx.run(one) => sum,
        () = tokio::task::yield_now() => 0,
    }
}

fn main() {}
