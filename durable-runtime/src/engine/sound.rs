//! Whether what a store has of a run can be a run's: its records, their order, its status.

use super::recovery::Loaded;
use crate::emission::DELIVERY_FUNCTION;
use crate::id::{Position, RunId};
use crate::journal::{self, Event, Started};
use crate::replay::{Stage, Whole, open_children, undelivered};
use crate::store::{RunEnds, RunHead, RunStatus, StoreError, StoredRun};

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
    pub(crate) fn of(self, run: &RunId) -> StoreError {
        StoreError::Corrupt { run: run.clone(), position: self.position, detail: self.detail }
    }
}

/// Decodes a run, and makes sure that it can be one. Nobody sees a run that has not come through here,
/// but for those who follow what it publishes: they read record by record, each with its checksum.
pub(crate) fn decode(stored: StoredRun) -> Result<(Loaded, Whole), Unsound> {
    let StoredRun { mut head, frames } = stored;
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
        Stage::Waiting => Some(RunStatus::Suspended),
        // Whether it only waits, the store says.
        Stage::Running if head.status == RunStatus::Suspended => Some(RunStatus::Suspended),
        Stage::Running => Some(RunStatus::Running),
        Stage::Halted => Some(RunStatus::Halted),
        Stage::Finished if whole.cancelled => Some(RunStatus::Cancelled),
        Stage::Finished if whole.failed => Some(RunStatus::Failed),
        Stage::Finished => Some(RunStatus::Completed),
        Stage::Empty => None,
    };
    // It has ended, and has something left to do.
    let is_over =
        status.filter(|status| status.is_over() && head.status == RunStatus::Running && winds_up(&events, *status));
    if let Some(status) = is_over {
        head.status = status;
    }
    if status != Some(head.status) || head.length.0 != events.len() as u64 {
        let said = status.map_or_else(|| "has not begun".to_owned(), |status| format!("is {status}"));
        let (records, length) = (events.len(), head.length);
        let detail = format!(
            "the store says that it is {} with {length} records, and by its {records} records it {said}",
            head.status
        );
        return Err(Unsound { flaw: Flaw::Status, position: None, detail });
    }
    Ok((Loaded { head, events, winds_up: is_over.is_some() }, whole))
}

/// Whether a run that ends like this owes something to others.
fn winds_up(events: &[Event], status: RunStatus) -> bool {
    let is_attached = match events.first() {
        Some(Event::Started(started)) => started.parent.as_ref().is_some_and(|parent| parent.attached),
        _ => false,
    };
    let delivers = is_delivery(events) && status == RunStatus::Completed;
    let is_left_something = || !open_children(events).is_empty() || !undelivered(events).is_empty();
    is_attached || delivers || (status == RunStatus::Cancelled && is_left_something())
}

/// Whether the run delivers something; when it has, it goes.
fn is_delivery(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Started(started)) if *started.function == *DELIVERY_FUNCTION)
}

/// What the first and the last record of a run say.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) head: RunHead,
    pub(crate) started: Started,
    pub(crate) last: Event,
}

/// Decodes the ends of a run, and makes sure that they can be one's, as far as they tell.
pub(crate) fn decode_ends(ends: RunEnds) -> Result<Ends, Unsound> {
    let RunEnds { mut head, first, last } = ends;
    let event = |frame: &[u8], position: u64| {
        let position = Some(Position(position));
        let unsound =
            |error: journal::frame::FrameError| Unsound { flaw: Flaw::Record, position, detail: error.to_string() };
        journal::decode(frame).map_err(unsound)
    };
    let last = event(&last, head.length.0.saturating_sub(1))?;
    let Event::Started(started) = event(&first, 0)? else {
        let detail = "the journal does not begin with Started".to_owned();
        return Err(Unsound { flaw: Flaw::Order, position: Some(Position(0)), detail });
    };
    let is_attached = started.parent.as_ref().is_some_and(|parent| parent.attached);
    let delivers = *started.function == *DELIVERY_FUNCTION;
    match &last {
        // It has something left to do, until which the store says that it is running.
        Event::Finished(finished) if (is_attached || delivers) && head.status == RunStatus::Running => {
            head.status = if finished.failed { RunStatus::Failed } else { RunStatus::Completed };
        }
        Event::Cancelled(_) if head.status == RunStatus::Running => head.status = RunStatus::Cancelled,
        _ => {}
    }
    let fits = match &last {
        Event::Finished(finished) if finished.failed => head.status == RunStatus::Failed,
        Event::Finished(_) => head.status == RunStatus::Completed,
        Event::Cancelled(_) => head.status == RunStatus::Cancelled,
        Event::Halted(_) => head.status == RunStatus::Halted,
        Event::SignalReceived(_) | Event::PromiseSettled(_) | Event::ChildEnded(_) | Event::CancelRequested(_) => {
            !head.status.is_over()
        }
        Event::Started(_)
        | Event::AttemptFailed(_)
        | Event::StepCompleted(_)
        | Event::Recovered { .. }
        | Event::Resumed { .. }
        | Event::Patched(_)
        | Event::TimerSet(_)
        | Event::TimerFired(_)
        | Event::SignalTaken(_)
        | Event::PromiseTaken(_)
        | Event::StepStarted(_)
        | Event::ChildStarted(_)
        | Event::Published(_)
        | Event::UndoPlanned(_)
        | Event::Kept(_)
        | Event::Emitted(_)
        | Event::Begun { .. } => head.status.is_unfinished(),
    };
    if fits {
        return Ok(Ends { head, started, last });
    }
    let detail = format!("the store says that it is {}, and its last record is {}", head.status, last.name());
    Err(Unsound { flaw: Flaw::Status, position: None, detail })
}
