// What may end a step, and is not known to its error.
use std::time::Duration;

use durable_runtime::{Context, durable};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum ChargeError {
    Declined,
}

async fn quote(sku: &str) -> Result<u64, String> {
    sku.parse().map_err(|_| "no price".to_owned())
}

async fn charge(_cents: u64) -> Result<(), ChargeError> {
    Err(ChargeError::Declined)
}

#[durable]
async fn stops(ctx: Context, sku: String) -> Result<u64, String> {
    ctx.run(quote, &sku).timeout(Duration::from_secs(1)).await
}

#[durable]
async fn runs_once(ctx: Context, cents: u64) -> Result<(), ChargeError> {
    ctx.run(charge, cents).at_most_once().await
}

fn main() {}
