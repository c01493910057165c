//! The durable function, and the queue of its runs.

use std::time::Duration;

use durable_runtime::{Context, Queue, Runtime, StartError, StepContext, durable};
use serde::{Deserialize, Serialize};

use crate::customs::{Barred, CALLS_MAX, Customs};

const QUEUE: &str = "customs";

/// What comes from abroad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    pub number: String,
    pub importer: String,
    pub duty: u64,
    /// Whether it perishes.
    pub is_fresh: bool,
}

async fn declare(step: StepContext, parcel: &Parcel) -> Result<(), Barred> {
    step.dependency::<Customs>().declare(step.idempotency_key(), &parcel.importer, parcel.duty).await
}

/// Has a parcel cleared.
#[durable]
pub async fn clears(ctx: Context, parcel: Parcel) -> Result<(), Barred> {
    ctx.run(declare, &parcel).await
}

/// Customs bars whoever has more than three calls open, and wants no more than a hundred new parcels a second.
pub fn queue() -> Queue {
    Queue::new(QUEUE).concurrency(CALLS_MAX).rate(100, Duration::from_secs(1))
}

/// Starts the run of a parcel: what is fresh comes first, and of each importer one parcel at a time.
pub async fn hand_in(runtime: &Runtime, parcel: &Parcel) -> Result<(), StartError> {
    let priority = u32::from(!parcel.is_fresh); // 0 comes first
    let start = runtime.start(&parcel.number, clears, parcel.clone());
    start.queue(QUEUE).priority(priority).key(&parcel.importer).await?.id();
    Ok(())
}
