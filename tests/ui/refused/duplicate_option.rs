use durable_runtime::{durable, Context};

#[durable(name = "a", version = 2, name = "b")]
async fn process(ctx: Context) {
    let _ = ctx;
}

fn main() {}
