use durable_runtime::{durable, Context, DurableFunction};

#[durable]
async fn typed<T: Clone>(ctx: Context, order: T) -> T {
    ctx.run(charge::<T>, order.clone()).await
}

#[durable]
async fn counted<const N: usize>(ctx: Context, orders: [u32; N]) {}

#[durable]
async fn living<'a>(ctx: Context, name: std::borrow::Cow<'a, str>) -> std::borrow::Cow<'a, str> {
    name
}

async fn charge<T>(order: T) -> T {
    order
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(typed, 3);
    start(counted, [1, 2]);
    start(living, "name".into());
}
