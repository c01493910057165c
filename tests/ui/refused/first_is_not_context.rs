use durable_runtime::{durable, Context, DurableFunction};

#[durable]
async fn process(order: &[u32], ctx: Context) -> u32 {
    ctx.run(charge, order[0]).await
}

async fn charge(order: u32) -> u32 {
    order
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, vec![3]);
}
