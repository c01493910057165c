// A branch of a macro.
use durable_runtime::{Context, durable};

async fn one() -> u32 {
    1
}

/// A future of a library that knows nothing of runs.
async fn other_library() {
    tokio::task::yield_now().await;
}

#[durable]
async fn process(ctx: Context) -> u32 {
    tokio::select! {
        sum = ctx.run(one) => sum,
        () = other_library() => 0,
    }
}

fn main() {}
