//! What an order comes to in a process that nobody kills.

use std::collections::BTreeSet;
use std::sync::Arc;

use durable_runtime::Runtime;

use crate::fact::{Execution, Refusal, World};
use crate::order::{Order, RACERS, fulfil, tells_of_events, without_part};

/// A result without what may differ from life to life: in which one a step was executed, in which order steps that ran
/// at the same time came to their end, and who won the race.
pub(crate) type Essence = Result<BTreeSet<(String, u32)>, (String, u32)>;

/// The essence of a result.
pub(crate) fn essence(result: &Result<Vec<Execution>, Refusal>) -> Essence {
    let step = |by: &Execution| {
        let (_, key) = by.run_and_step();
        let key = if RACERS.contains(&without_part(key)) { RACERS.join(" or ") } else { key.to_owned() };
        (key, by.attempt)
    };
    result.as_ref().map(|executions| executions.iter().map(step).collect()).map_err(|refusal| step(&refusal.by))
}

/// Fulfils orders in this process, in memory.
#[derive(Debug)]
pub(crate) struct Reference {
    runtime: Runtime,
}

impl Reference {
    pub(crate) async fn new() -> Result<Self, String> {
        let runtime = tells_of_events(Runtime::builder(), Arc::new(World::indifferent()));
        let runtime = runtime.dependency(World::indifferent()).in_memory().await;
        Ok(Self { runtime: runtime.map_err(|error| error.to_string())? })
    }

    /// What the order comes to.
    pub(crate) async fn of(&self, order: Order) -> Result<Essence, String> {
        let run =
            self.runtime.start(order.run_id(), fulfil, (order, Vec::new())).await.map_err(|error| error.to_string())?;
        let result = run.await.map_err(|error| error.to_string())?;
        self.runtime.delete(order.run_id()).await.map_err(|error| error.to_string())?;
        Ok(essence(&result))
    }
}
