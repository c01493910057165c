use durable_runtime::{durable, Context};

#[durable]
async extern "C" fn process(_: Context) {}

fn main() {}
