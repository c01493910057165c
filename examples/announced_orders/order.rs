//! The durable function.

use durable_runtime::{Context, Failure, durable};
use serde::{Deserialize, Serialize};

/// The number of the order that can't be paid.
pub const REFUSED: u64 = 13;

/// What is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
    pub cents: u64,
}

async fn charge(order: &Order) -> Result<u64, Failure> {
    if order.number == REFUSED { Err(Failure::new("the card is declined")) } else { Ok(order.cents) }
}

/// Sells, and has the warehouse told, which this does not wait for.
#[durable]
pub async fn sells(ctx: Context, order: Order) -> Result<u64, Failure> {
    let cents = ctx.run(charge, &order).await?;
    ctx.emit("orders", &order);
    Ok(cents)
}
