//! The one table of which event may follow which.

use std::sync::Arc;

use thiserror::Error;

use super::ClaimNumber;
use crate::id::Position;
use crate::journal::{Event, Operation, OperationKind};

/// The highest number that an operation of a journal may have. Above it is room for those that changed code asks for
/// newly: a number that is used twice would give one operation the outcome of another.
pub(super) const CLAIM_NUMBER_MAX: ClaimNumber = ClaimNumber::MAX / 2;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No event yet.
    Empty,
    /// Has not begun, and will.
    Waiting,
    /// May go on.
    Running,
    /// Stopped until resumed.
    Halted,
    /// Over.
    Finished,
}

/// An event that can't follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {event} at position {position} can't stand there: {why}")]
pub(crate) struct Illegal {
    pub(crate) position: Position,
    pub(crate) event: &'static str,
    pub(crate) why: String,
}

/// What is recorded of the operation that an event is about.
#[derive(Debug, Default)]
pub(super) struct OperationFacts {
    pub(super) key_of_claim: Option<Arc<str>>,
    pub(super) claim_of_key: Option<ClaimNumber>,
    /// `None` if nothing is recorded of it.
    pub(super) kind_of_claim: Option<OperationKind>,
    pub(super) failed_attempts: u32,
    pub(super) completed: bool,
    /// Whether the attempt behind those is recorded to have begun.
    pub(super) begun: bool,
    /// Of one that takes a signal: whether it may take that one. Of any other: whether a promise of its key is settled.
    pub(super) is_there: bool,
}

/// What is recorded of that which an event is about.
#[derive(Debug)]
pub(super) enum Facts {
    Operation(OperationFacts),
    /// Whether the patch is recorded.
    Patch {
        is_recorded: bool,
    },
    /// Whether a signal of its id was received.
    Signal {
        is_received: bool,
    },
    /// Whether the promise is settled, or its time has come.
    Promise {
        is_settled: bool,
    },
    /// The event is about the run.
    Nothing,
}

/// Judges events in order.
#[derive(Debug)]
pub(crate) struct Legality {
    stage: Stage,
    length: Position,
    recoveries: u32,
    /// Whether the run is to be cancelled.
    is_to_end: bool,
    /// Whether nothing has happened since the run has continued as new.
    is_new: bool,
}

impl Legality {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Empty, length: Position(0), recoveries: 0, is_to_end: false, is_new: false }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn length(&self) -> Position {
        self.length
    }

    pub(super) fn recoveries(&self) -> u32 {
        self.recoveries
    }

    /// Takes in one event and returns its position.
    pub(super) fn admit(&mut self, event: &Event, facts: &Facts) -> Result<Position, Illegal> {
        let position = self.length;
        let illegal = |why: String| Err(Illegal { position, event: event.name(), why });
        let next = match (self.stage, event) {
            (Stage::Empty, Event::Started(started)) if started.begins_later() => Stage::Waiting,
            (Stage::Waiting, Event::SignalReceived(_) | Event::PromiseSettled(_)) => Stage::Waiting,
            (Stage::Empty, Event::Started(_))
            | (Stage::Waiting, Event::Begun { .. })
            | (Stage::Halted, Event::Resumed { .. })
            | (
                Stage::Running,
                Event::AttemptFailed(_)
                | Event::StepCompleted(_)
                | Event::Recovered { .. }
                | Event::Patched(_)
                | Event::TimerSet(_)
                | Event::TimerFired(_)
                | Event::SignalReceived(_)
                | Event::SignalTaken(_)
                | Event::PromiseSettled(_)
                | Event::PromiseTaken(_)
                | Event::StepStarted(_)
                | Event::ChildStarted(_)
                | Event::ChildEnded(_)
                | Event::Published(_)
                | Event::UndoPlanned(_)
                | Event::CancelRequested(_)
                | Event::Kept(_)
                | Event::Emitted(_),
            ) => Stage::Running,
            (Stage::Running, Event::Halted(_))
            | (
                Stage::Halted,
                Event::SignalReceived(_) | Event::PromiseSettled(_) | Event::ChildEnded(_) | Event::CancelRequested(_),
            ) => Stage::Halted,
            (Stage::Running, Event::Finished(_))
            | (Stage::Waiting | Stage::Running | Stage::Halted, Event::Cancelled(_)) => Stage::Finished,
            (stage, _) => return illegal(format!("the run is {stage:?}")),
        };
        if self.is_to_end && matches!(event, Event::CancelRequested(_) | Event::Finished(_)) {
            return illegal("the run is to be cancelled".to_owned());
        }
        if !self.is_new && matches!(event, Event::Kept(_)) {
            return illegal("it belongs to the beginning of a run that has continued as new".to_owned());
        }
        if let Facts::Patch { is_recorded: true } = facts {
            return illegal("the patch is recorded already".to_owned());
        }
        if let Facts::Signal { is_received: true } = facts {
            return illegal("a signal with its id is recorded already".to_owned());
        }
        if let Facts::Promise { is_settled: true } = facts {
            return illegal("the promise is settled already".to_owned());
        }
        if let (Some(operation), Facts::Operation(facts)) = (event.operation(), facts)
            && let Err(why) = fits(event, operation, facts)
        {
            return illegal(why);
        }
        self.recoveries = match event {
            Event::Recovered { .. } => self.recoveries.saturating_add(1),
            // A patch is recorded once, which is no progress of the run; nor is what others send, or what only begins.
            Event::Halted(_)
            | Event::Finished(_)
            | Event::Patched(_)
            | Event::SignalReceived(_)
            | Event::PromiseSettled(_)
            | Event::StepStarted(_)
            | Event::CancelRequested(_)
            | Event::Cancelled(_) => self.recoveries,
            // Progress, or an operator's word, starts the count anew.
            Event::Started(_)
            | Event::AttemptFailed(_)
            | Event::StepCompleted(_)
            | Event::Resumed { .. }
            | Event::TimerSet(_)
            | Event::TimerFired(_)
            | Event::SignalTaken(_)
            | Event::PromiseTaken(_)
            | Event::ChildStarted(_)
            | Event::ChildEnded(_)
            | Event::Published(_)
            | Event::UndoPlanned(_)
            | Event::Kept(_)
            | Event::Emitted(_)
            | Event::Begun { .. } => 0,
        };
        self.is_new = match event {
            Event::Started(started) => started.continued.is_some(),
            Event::Begun { .. } | Event::Kept(_) => self.is_new,
            _ => false,
        };
        self.is_to_end |= matches!(event, Event::CancelRequested(_));
        self.stage = next;
        self.length = position.next();
        Ok(position)
    }
}

/// Whether an event about an operation can follow what is recorded of that.
fn fits(event: &Event, operation: &Operation, facts: &OperationFacts) -> Result<(), String> {
    let key = &operation.key;
    if operation.claim > CLAIM_NUMBER_MAX {
        return Err(format!("claim {} of {key} is beyond the highest, {CLAIM_NUMBER_MAX}", operation.claim));
    }
    if let Some(other) = facts.key_of_claim.as_ref().filter(|other| *other != key) {
        return Err(format!("claim {} has the key {other}, not {key}", operation.claim));
    }
    if let Some(other) = facts.claim_of_key.filter(|other| *other != operation.claim) {
        return Err(format!("the key {key} belongs to claim {other}, not {}", operation.claim));
    }
    if facts.completed {
        return Err(format!("{key} has its one outcome already"));
    }
    let (kind, attempt) = match event {
        Event::AttemptFailed(event) => (OperationKind::Step, Some(event.attempt)),
        Event::StepCompleted(event) => (OperationKind::Step, Some(event.attempts)),
        Event::StepStarted(event) => (OperationKind::Step, Some(event.attempt)),
        Event::SignalTaken(_) => (OperationKind::Signal, None),
        Event::PromiseTaken(_) => (OperationKind::Promise, None),
        // Its delivery is a run of its own.
        Event::ChildStarted(_) if operation.kind == OperationKind::Emission => (OperationKind::Emission, None),
        Event::ChildStarted(_) | Event::ChildEnded(_) => (OperationKind::Child, None),
        Event::Published(_) => (OperationKind::Publication, None),
        Event::Emitted(_) => (OperationKind::Emission, None),
        Event::UndoPlanned(_) => (OperationKind::Step, None),
        // A promise can have its own.
        _ if operation.kind == OperationKind::Promise => (OperationKind::Promise, None),
        _ => (OperationKind::Timer, None),
    };
    if let Some(other) = facts.kind_of_claim.into_iter().chain([operation.kind]).find(|other| *other != kind) {
        return Err(format!("{key} is a {other}, not a {kind}"));
    }
    match (event, facts.kind_of_claim) {
        (Event::TimerSet(_), Some(_)) => return Err(format!("{key} is set already")),
        (Event::TimerFired(_), None) => return Err(format!("{key} was never set")),
        (Event::ChildStarted(started), kind) if operation.kind == OperationKind::Emission => {
            let is_delivery = kind.is_some() && !started.attached;
            return if is_delivery { Ok(()) } else { Err(format!("{key} was never emitted")) };
        }
        (Event::Emitted(_), Some(_)) => return Err(format!("{key} is emitted already")),
        (Event::ChildStarted(_), Some(_)) => return Err(format!("{key} is started already")),
        (Event::UndoPlanned(_), Some(_)) => return Err(format!("{key} is recorded already")),
        (Event::ChildEnded(_), None) => return Err(format!("{key} was never started")),
        (Event::SignalTaken(taken), _) if !facts.is_there => {
            return Err(format!("what position {} has is not the next signal for {key}", taken.received));
        }
        (Event::StepStarted(_), _) if facts.begun => return Err(format!("{key} has begun already")),
        (Event::PromiseTaken(_), _) if !facts.is_there => return Err(format!("{key} is not settled")),
        (Event::TimerFired(_), Some(OperationKind::Promise)) if facts.is_there => {
            return Err(format!("{key} is settled, and does not fire"));
        }
        _ => {}
    }
    if let Some(attempt) = attempt.filter(|attempt| *attempt != facts.failed_attempts.saturating_add(1)) {
        return Err(format!("attempt {attempt} of {key} follows {} failed ones", facts.failed_attempts));
    }
    Ok(())
}
