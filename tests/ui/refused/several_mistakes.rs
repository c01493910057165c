use durable_runtime::{durable, Context, DurableFunction};

#[durable(nmae = "process", version = 0)]
unsafe fn process<T>(ctx: Context, order: &T, name: &str) -> impl Sized {
    let first = ctx.run(charge(order)).await?;
    ctx.run("", async || first = ctx.run(charge).await);
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, (3, String::new()));
}
