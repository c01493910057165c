// What is only for steps that may fail.
use std::time::Duration;

use durable_runtime::{Context, Retry, durable};

async fn price(sku: &str) -> u64 {
    sku.len() as u64
}

#[durable]
async fn tries_again(ctx: Context, sku: String) -> u64 {
    ctx.run(price, &sku).retry(Retry::fixed(Duration::from_secs(1))).await
}

#[durable]
async fn stops(ctx: Context, sku: String) -> u64 {
    ctx.run(price, &sku).timeout(Duration::from_secs(1)).await
}

#[durable]
async fn runs_once(ctx: Context, sku: String) -> u64 {
    ctx.run(price, &sku).at_most_once().await
}

#[durable]
async fn undoes(ctx: Context, sku: String) -> Result<(), String> {
    ctx.undo(price, &sku).timeout(Duration::from_secs(1));
    Ok(())
}

fn main() {}
