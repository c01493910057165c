use std::collections::hash_map::RandomState;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u64 {
    let id = uuid::Uuid::new_v4();
    let other = uuid::Uuid::now_v7().to_string();
    let number: u64 = ::rand::random();
    let picked = rand::rng().random_range(0..number);
    let seeded = rand::rngs::StdRng::from_os_rng();
    let quick = fastrand::u64(..10);
    let filled = getrandom::fill(&mut [0]);
    let short = nanoid!(10);
    let hasher = RandomState::new();
    let made = None.unwrap_or_else(rand::random::<u64>);
    ctx.run(double, picked + quick + made).await
}

async fn double(number: u64) -> u64 {
    number * 2
}

fn main() {}
