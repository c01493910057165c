use durable_runtime::{durable, Context, DurableFunction};

#[durable]
fn process(ctx: Context, order: u32) -> u32 {
    order
}

#[durable]
fn part(ctx: &Context, order: u32) -> u32 {
    order
}

#[durable]
async fn caller(ctx: Context) -> u32 {
    part(&ctx, 3).await
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, 3);
}
