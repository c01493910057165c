//! What is recorded of the runs that a run has started.

use crate::clock::Timestamp;
use crate::journal::{ChildEnd, ChildEnded, ChildStarted};
use crate::payload::Payload;
use crate::store::RunStatus;

/// A run that a run has started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its key within the run that has started it.
    pub key: String,
    /// Where in the source it was asked for.
    pub site: String,
    /// Its own id, under which there is more to know of it.
    pub run: String,
    /// The name of its function.
    pub function: String,
    /// Whether the run that has started it is told of its end.
    pub attached: bool,
    /// When it was asked for; of one that is not attached, when it was started.
    pub started_at: Timestamp,
    /// What became of it: [`Completed`](RunStatus::Completed), [`Failed`](RunStatus::Failed) or
    /// [`Cancelled`](RunStatus::Cancelled). `None` until this run is told, and for one that is not attached.
    pub end: Option<RunStatus>,
    /// What it returned.
    pub result: Option<Payload>,
    /// When this run was told.
    pub ended_at: Option<Timestamp>,
}

impl ChildInfo {
    pub(super) fn new(started: &ChildStarted) -> Self {
        Self {
            key: started.operation.key.to_string(),
            site: started.operation.site.to_string(),
            run: started.child.to_string(),
            function: started.function.to_string(),
            attached: started.attached,
            started_at: Timestamp(started.at),
            end: None,
            result: None,
            ended_at: None,
        }
    }

    pub(super) fn learn(&mut self, ended: &ChildEnded) {
        self.ended_at = Some(Timestamp(ended.at));
        (self.end, self.result) = match &ended.end {
            ChildEnd::Returned { result, failed } => {
                (Some(if *failed { RunStatus::Failed } else { RunStatus::Completed }), Some(result.clone()))
            }
            ChildEnd::Cancelled { .. } => (Some(RunStatus::Cancelled), None),
        };
    }
}
