use durable_runtime::{durable, DurableFunction};

#[durable]
async fn process() -> u32 {
    3
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, ());
}
