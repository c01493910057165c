//! The outside world, which notices everything that steps do to it.

use std::collections::BTreeMap;

use durable_runtime::StepContext;
use parking_lot::Mutex;

/// Remembers every execution of a step, across processes.
#[derive(Debug, Default)]
pub struct Effects {
    executions: Mutex<Vec<(String, u32)>>,
}

impl Effects {
    /// Called by a step: it is doing what it does, now.
    pub fn note(&self, step: &StepContext) {
        self.executions.lock().push((step.idempotency_key().to_owned(), step.attempt()));
    }

    /// The idempotency keys of all executions so far, in order.
    pub fn keys(&self) -> Vec<String> {
        self.executions.lock().iter().map(|(key, _)| key.clone()).collect()
    }

    /// All executions so far, in order: idempotency key and attempt.
    pub fn executions(&self) -> Vec<(String, u32)> {
        self.executions.lock().clone()
    }

    /// How often the step with this idempotency key was executed.
    pub fn count(&self, key: &str) -> usize {
        self.executions.lock().iter().filter(|(executed, _)| executed == key).count()
    }

    /// How often each step was executed, by idempotency key.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (key, _) in &*self.executions.lock() {
            *counts.entry(key.clone()).or_default() += 1;
        }
        counts
    }
}
