use durable_runtime::{durable, Context};

#[durable(version = 0)]
async fn from_zero(_: Context) {}

#[durable(version = "1.2")]
async fn text(_: Context) {}

#[durable(version = 5_000_000_000)]
async fn too_many(_: Context) {}

fn main() {}
