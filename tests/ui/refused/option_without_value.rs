use durable_runtime::{durable, Context};

#[durable(name)]
async fn named(_: Context) {}

#[durable(version(2))]
async fn versioned(_: Context) {}

#[durable(crate = )]
async fn in_a_crate(_: Context) {}

fn main() {}
