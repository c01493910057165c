//! The error of a step that took too long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An attempt of a step took longer than it was given.
///
/// The attempt was dropped where it was, so what it was doing outside may or may not have happened: use the
/// step's idempotency key to find out, or to do it again without harm.
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::TimedOut;
/// let error = TimedOut { step: "charge_card".to_owned(), attempt: 2, after: Duration::from_secs(5) };
/// assert_eq!(error.to_string(), "[D0301] attempt 2 of step charge_card took longer than 5s");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error("[D0301] attempt {attempt} of step {step} took longer than {after:?}")]
pub struct TimedOut {
    /// The step's key.
    pub step: String,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// How long it was given.
    pub after: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_being_recorded() {
        let error = TimedOut { step: "charge_card#2".to_owned(), attempt: 1, after: Duration::from_millis(1_500) };
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(json, r#"{"step":"charge_card#2","attempt":1,"after":{"secs":1,"nanos":500000000}}"#);
        assert_eq!(serde_json::from_str::<TimedOut>(&json).unwrap(), error);
        assert_eq!(error.to_string(), "[D0301] attempt 1 of step charge_card#2 took longer than 1.5s");
    }
}
