use durable_runtime::{Context, durable};

const ID: &str = "check stock first";

#[durable]
async fn process(ctx: Context) -> bool {
    ctx.deprecate_patch(ID);
    ctx.patched(ID)
}

fn main() {}
