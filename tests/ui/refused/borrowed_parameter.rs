use durable_runtime::{durable, Context, DurableFunction};

use std::borrow::Cow;

#[durable]
async fn process(ctx: Context, name: &str, lines: Vec<&u32>, note: Cow<'_, str>) -> u32 {
    *lines[0]
}

fn start<F: DurableFunction>(_: F, _: F::Input) {}

fn main() {
    start(process, ("name", vec![&3], "note".into()));
}
