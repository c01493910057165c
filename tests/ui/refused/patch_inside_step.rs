use durable_runtime::{Context, durable};

#[durable]
async fn process(ctx: Context) -> bool {
    ctx.run("check", async || ctx.patched("check stock first")).await
}

fn main() {}
