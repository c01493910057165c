//! The durable function.

use std::time::Duration;

use durable_runtime::{Context, Elapsed, StepContext, durable};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::warehouse::Warehouse;

pub const DAY: Duration = Duration::from_hours(24);

/// Why an order is not shipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum NotShipped {
    #[error("it was not paid within two days")]
    NotPaid,
}

async fn reserve(step: StepContext, furniture: &str) -> String {
    step.dependency::<Warehouse>().reserve(step.idempotency_key(), furniture)
}

async fn release(step: StepContext, reservation: &str) {
    step.dependency::<Warehouse>().release(reservation);
}

async fn ship(step: StepContext, reservation: &str) {
    step.dependency::<Warehouse>().ship(reservation);
}

/// Reserves a piece of furniture, and ships it if it is paid within two days: how it was paid. What is not shipped is released.
#[durable]
pub async fn ships_when_paid(ctx: Context, furniture: String) -> Result<String, NotShipped> {
    let reservation = ctx.run(reserve, &furniture).await;
    ctx.undo(release, &reservation);
    let payment = ctx.timeout(2 * DAY, ctx.signal::<String>("payment")).await;
    let payment = payment.map_err(|Elapsed { .. }| NotShipped::NotPaid)?;
    ctx.run(ship, &reservation).await;
    Ok(payment)
}
