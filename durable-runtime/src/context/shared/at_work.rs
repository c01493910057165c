//! The attempts whose bodies are running, for those who look at the run.

use std::sync::Arc;

use super::RunShared;
use crate::clock::Timestamp;
use crate::payload::Payload;
use crate::replay::ClaimNumber;

/// An attempt whose body is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtWork {
    pub(crate) key: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) began_at: Timestamp,
    /// What it has said of itself last.
    pub(crate) progress: Option<Payload>,
}

impl RunShared {
    /// The body of this attempt is about to be called.
    pub(crate) fn works(&self, claim: ClaimNumber, work: AtWork) {
        self.state.lock().at_work.insert(claim, work);
    }

    /// An attempt says how far it has come. One that is over has nothing to say any more.
    pub(crate) fn progressed(&self, claim: ClaimNumber, attempt: u32, progress: Payload) {
        let mut state = self.state.lock();
        if let Some(work) = state.at_work.get_mut(&claim).filter(|work| work.attempt == attempt) {
            work.progress = Some(progress);
        }
    }

    /// Those that are running, in the order in which their steps were asked for.
    pub(crate) fn at_work(&self) -> Vec<AtWork> {
        self.state.lock().at_work.values().cloned().collect()
    }
}
