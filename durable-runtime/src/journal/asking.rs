//! What is asked of any event: when, about which operation, and what it is called.

use super::event::{Event, Operation};
use crate::clock::Timestamp;

impl Event {
    /// When the event was recorded, in milliseconds since the epoch.
    pub(crate) fn at(&self) -> u64 {
        match self {
            Self::Started(event) => event.at,
            Self::AttemptFailed(event) => event.at,
            Self::StepCompleted(event) => event.at,
            Self::Halted(event) => event.at,
            Self::Finished(event) => event.at,
            Self::Patched(event) => event.at,
            Self::TimerSet(event) => event.at,
            Self::TimerFired(event) => event.at,
            Self::SignalReceived(event) => event.at,
            Self::SignalTaken(event) => event.at,
            Self::PromiseSettled(event) => event.at,
            Self::PromiseTaken(event) => event.at,
            Self::StepStarted(event) => event.at,
            Self::Cancelled(event) | Self::CancelRequested(event) => event.at,
            Self::ChildStarted(event) => event.at,
            Self::ChildEnded(event) => event.at,
            Self::Published(event) => event.at,
            Self::UndoPlanned(event) => event.at,
            Self::Kept(event) => event.at,
            Self::Emitted(event) => event.at,
            Self::Recovered { at, .. } | Self::Resumed { at } | Self::Begun { at, .. } => *at,
        }
    }

    /// The operation that the event is about, if it is about one.
    pub(crate) fn operation(&self) -> Option<&Operation> {
        match self {
            Self::AttemptFailed(event) => Some(&event.operation),
            Self::StepCompleted(event) => Some(&event.operation),
            Self::TimerSet(event) => Some(&event.operation),
            Self::TimerFired(event) => Some(&event.operation),
            Self::SignalTaken(event) => Some(&event.operation),
            Self::PromiseTaken(event) => Some(&event.operation),
            Self::StepStarted(event) => Some(&event.operation),
            Self::ChildStarted(event) => Some(&event.operation),
            Self::ChildEnded(event) => Some(&event.operation),
            Self::Published(event) => Some(&event.operation),
            Self::UndoPlanned(event) => Some(&event.operation),
            Self::Emitted(event) => Some(&event.operation),
            Self::Started(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::SignalReceived(_)
            | Self::PromiseSettled(_)
            | Self::Cancelled(_)
            | Self::CancelRequested(_)
            | Self::Kept(_)
            | Self::Begun { .. } => None,
        }
    }

    /// The operation, to be changed.
    #[cfg(feature = "testing")]
    pub(crate) fn operation_mut(&mut self) -> Option<&mut Operation> {
        match self {
            Self::AttemptFailed(event) => Some(&mut event.operation),
            Self::StepCompleted(event) => Some(&mut event.operation),
            Self::TimerSet(event) => Some(&mut event.operation),
            Self::TimerFired(event) => Some(&mut event.operation),
            Self::SignalTaken(event) => Some(&mut event.operation),
            Self::PromiseTaken(event) => Some(&mut event.operation),
            Self::StepStarted(event) => Some(&mut event.operation),
            Self::ChildStarted(event) => Some(&mut event.operation),
            Self::ChildEnded(event) => Some(&mut event.operation),
            Self::Published(event) => Some(&mut event.operation),
            Self::UndoPlanned(event) => Some(&mut event.operation),
            Self::Emitted(event) => Some(&mut event.operation),
            Self::Started(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::SignalReceived(_)
            | Self::PromiseSettled(_)
            | Self::Cancelled(_)
            | Self::CancelRequested(_)
            | Self::Kept(_)
            | Self::Begun { .. } => None,
        }
    }

    /// Gives all times of the event this one value, and takes its seed: what differs from one run to the next.
    #[cfg(feature = "testing")]
    pub(crate) fn set_what_differs(&mut self, time: u64) {
        match self {
            Self::Started(event) => {
                (event.at, event.seed) = (time, 0);
                event.forks.iter_mut().for_each(|fork| (fork.at, fork.seed) = (time, 0));
                event.not_before = event.not_before.map(|_| time);
                event.continued.iter_mut().for_each(|continued| continued.created_at = time);
            }
            Self::AttemptFailed(event) => (event.retry_at, event.at) = (time, time),
            Self::StepCompleted(event) => (event.began_at, event.at) = (time, time),
            Self::Halted(event) => event.at = time,
            Self::Finished(event) => event.at = time,
            Self::Patched(event) => event.at = time,
            Self::TimerSet(event) => (event.due, event.at) = (time, time),
            Self::TimerFired(event) => event.at = time,
            Self::SignalReceived(event) => event.at = time,
            Self::SignalTaken(event) => event.at = time,
            Self::PromiseSettled(event) => event.at = time,
            Self::PromiseTaken(event) => event.at = time,
            Self::StepStarted(event) => event.at = time,
            Self::Cancelled(event) | Self::CancelRequested(event) => event.at = time,
            Self::ChildStarted(event) => event.at = time,
            Self::ChildEnded(event) => event.at = time,
            Self::Published(event) => event.at = time,
            Self::UndoPlanned(event) => event.at = time,
            Self::Emitted(event) => event.at = time,
            Self::Kept(event) => (event.published_at, event.at) = (time, time),
            Self::Recovered { at, .. } | Self::Resumed { at } => *at = time,
            Self::Begun { at, deadline } => (*at, *deadline) = (time, deadline.map(|_| time)),
        }
    }

    /// Whether it is the one outcome of an operation, of which the code is told.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(
            self,
            Self::StepCompleted(_)
                | Self::TimerFired(_)
                | Self::SignalTaken(_)
                | Self::PromiseTaken(_)
                | Self::ChildEnded(_)
        )
    }

    /// When the run wants to be woken because of the event, if it does.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Started(event) if event.begins_later() => event.not_before.map(Timestamp),
            Self::Started(event) => event.deadline(event.at).map(Timestamp),
            Self::Begun { deadline, .. } => deadline.map(Timestamp),
            Self::AttemptFailed(event) => Some(Timestamp(event.retry_at)),
            Self::TimerSet(event) => Some(Timestamp(event.due)),
            // At once; a run that is in memory has it already.
            Self::SignalReceived(event) => Some(Timestamp(event.at)),
            Self::PromiseSettled(event) => Some(Timestamp(event.at)),
            Self::ChildEnded(event) => Some(Timestamp(event.at)),
            Self::CancelRequested(event) => Some(Timestamp(event.at)),
            Self::StepCompleted(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::TimerFired(_)
            | Self::SignalTaken(_)
            | Self::PromiseTaken(_)
            | Self::StepStarted(_)
            | Self::Cancelled(_)
            | Self::ChildStarted(_)
            | Self::Published(_)
            | Self::UndoPlanned(_)
            | Self::Kept(_)
            | Self::Emitted(_) => None,
        }
    }

    /// The event's name, as in `docs/journal-format.md`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "Started",
            Self::AttemptFailed(_) => "AttemptFailed",
            Self::StepCompleted(_) => "StepCompleted",
            Self::Recovered { .. } => "Recovered",
            Self::Halted(_) => "Halted",
            Self::Resumed { .. } => "Resumed",
            Self::Finished(_) => "Finished",
            Self::Patched(_) => "Patched",
            Self::TimerSet(_) => "TimerSet",
            Self::TimerFired(_) => "TimerFired",
            Self::SignalReceived(_) => "SignalReceived",
            Self::SignalTaken(_) => "SignalTaken",
            Self::PromiseSettled(_) => "PromiseSettled",
            Self::PromiseTaken(_) => "PromiseTaken",
            Self::StepStarted(_) => "StepStarted",
            Self::Cancelled(_) => "Cancelled",
            Self::ChildStarted(_) => "ChildStarted",
            Self::ChildEnded(_) => "ChildEnded",
            Self::Published(_) => "Published",
            Self::Begun { .. } => "Begun",
            Self::UndoPlanned(_) => "UndoPlanned",
            Self::CancelRequested(_) => "CancelRequested",
            Self::Kept(_) => "Kept",
            Self::Emitted(_) => "Emitted",
        }
    }
}

/// The newest event that is not about what others send: a run that is halted receives signals, too.
pub(crate) fn last_of(events: &[Event]) -> Option<&Event> {
    let is_sent = |event: &Event| {
        matches!(
            event,
            Event::SignalReceived(_) | Event::PromiseSettled(_) | Event::ChildEnded(_) | Event::CancelRequested(_)
        )
    };
    events.iter().rfind(|event| !is_sent(event))
}
