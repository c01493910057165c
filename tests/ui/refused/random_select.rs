use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    futures::select! {
        first = ctx.run("slow", async || 1) => first,
        second = ctx.run("fast", async || 2) => second,
    }
}

fn main() {}
