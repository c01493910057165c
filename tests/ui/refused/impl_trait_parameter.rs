use durable_runtime::{durable, Context, DurableFunction};

#[durable]
async fn process(ctx: Context, order: impl Into<u32>, others: Vec<impl Into<u32>>) {}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, (3_u8, vec![4_u8]));
}
