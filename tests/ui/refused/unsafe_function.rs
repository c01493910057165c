use durable_runtime::{durable, Context};

#[durable]
async unsafe fn process(_: Context) {}

#[durable]
async unsafe fn part(_: &Context) {}

fn main() {}
