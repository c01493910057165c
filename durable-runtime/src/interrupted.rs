//! The error of a step that may not run twice, and was interrupted.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An attempt of a step that runs [at most once](crate::Step::at_most_once) had begun, and ended without an outcome: its process ended, it panicked and
/// the run was resumed, or the store failed.
///
/// It is not run again. Whether it had its effect is for the caller to find out: ask the other side by the step's
/// idempotency key, or ask a human.
///
/// ```
/// use durable_runtime::Interrupted;
/// let error = Interrupted { step: "charge_card".to_owned(), attempt: 1 };
/// assert!(error.to_string().starts_with("[D0310] attempt 1 of step charge_card was interrupted"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error(
    "[D0310] attempt {attempt} of step {step} was interrupted: it ended without an outcome, and whether it had its effect is not known. It runs at most once, so it is not tried again"
)]
pub struct Interrupted {
    /// The step's key.
    pub step: String,
    /// Which attempt, counted from 1.
    pub attempt: u32,
}
