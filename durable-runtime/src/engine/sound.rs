//! Whether what a store has of a run can be a run's: its records, their order, its status.

use super::recovery::Loaded;
use crate::id::{Position, RunId};
use crate::journal;
use crate::replay::{Stage, Whole};
use crate::store::{RunStatus, StoreError, StoredRun};

/// What is wrong with what a store has of a run. In the findings of `Runtime::verify_store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A record can't be read: the store says so, or its checksum, version or content.
    Record,
    /// The records can be read, and can't follow each other.
    Order,
    /// The status that the store keeps is not that which the records end with.
    Status,
    /// The store keeps timers that the records do not ask for.
    Timers,
}

/// What is wrong with a run, and where.
#[derive(Debug)]
pub(crate) struct Unsound {
    pub(crate) flaw: Flaw,
    pub(crate) position: Option<Position>,
    pub(crate) detail: String,
}

impl Unsound {
    pub(super) fn of(self, run: &RunId) -> StoreError {
        StoreError::Corrupt { run: run.clone(), position: self.position, detail: self.detail }
    }
}

/// Decodes a run, and makes sure that it can be one. Nobody sees a run that has not come through here.
pub(crate) fn decode(stored: StoredRun) -> Result<(Loaded, Whole), Unsound> {
    let StoredRun { head, frames } = stored;
    let mut events = Vec::with_capacity(frames.len());
    for (frame, position) in frames.iter().zip(0..) {
        let event = journal::decode(frame).map_err(|error| Unsound {
            flaw: Flaw::Record,
            position: Some(Position(position)),
            detail: error.to_string(),
        })?;
        events.push(event);
    }
    let whole = Whole::of(&events).map_err(|illegal| Unsound {
        flaw: Flaw::Order,
        position: Some(illegal.position),
        detail: format!("{} can't stand there: {}", illegal.event, illegal.why),
    })?;
    let status = match whole.stage {
        // Whether it only waits, the store says.
        Stage::Running if head.status == RunStatus::Suspended => Some(RunStatus::Suspended),
        Stage::Running => Some(RunStatus::Running),
        Stage::Halted => Some(RunStatus::Halted),
        Stage::Finished if whole.cancelled => Some(RunStatus::Cancelled),
        Stage::Finished if whole.failed => Some(RunStatus::Failed),
        Stage::Finished => Some(RunStatus::Completed),
        Stage::Empty => None,
    };
    if status != Some(head.status) || head.length.0 != events.len() as u64 {
        let said = status.map_or_else(|| "has not begun".to_owned(), |status| format!("is {status}"));
        let (records, length) = (events.len(), head.length);
        let detail = format!(
            "the store says that it is {} with {length} records, and by its {records} records it {said}",
            head.status
        );
        return Err(Unsound { flaw: Flaw::Status, position: None, detail });
    }
    Ok((Loaded { head, events }, whole))
}
