use durable_runtime::{durable, Context};

#[durable(nmae = "orders.process", retries)]
async fn process(ctx: Context) {
    let _ = ctx;
}

fn main() {}
