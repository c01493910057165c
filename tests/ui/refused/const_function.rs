use durable_runtime::{durable, Context};

#[durable]
const async fn process(_: Context) {}

#[durable]
const fn part(_: &Context) {}

fn main() {}
