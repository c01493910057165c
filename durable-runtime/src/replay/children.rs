//! Runs that a run has started, and the run that has started it.

use std::sync::Arc;

use super::{ClaimNumber, Replay, Sent};
use crate::chance::child_token;
use crate::journal::{ChildEnd, ChildEnded, Event, Operation, OperationKind, Parent};

/// The end of a child, on its way to the run that has started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndOfChild {
    /// As the child has it recorded.
    pub(crate) parent: Parent,
    pub(crate) end: ChildEnd,
    /// When it is told, in milliseconds since the epoch.
    pub(crate) at: u64,
}

impl Replay {
    /// The run that has started this one, if a run has.
    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// How a run that is started by the operation with this key is to know this one.
    pub(crate) fn as_parent(&self, run: &str, key: &Arc<str>, attached: bool) -> Parent {
        let token = child_token(self.seed, key);
        Parent { run: run.to_owned().into(), key: key.to_string().into(), token, attached }
    }

    /// The id of the run that the claim is recorded to have started. In a fork, that of the run it was forked from may have.
    pub(crate) fn child(&self, claim: ClaimNumber) -> Option<&str> {
        self.recorded_of(claim)?.child.as_deref()
    }

    /// Whether a run is attached that has not ended, as far as is known.
    pub(crate) fn has_open_children(&self) -> bool {
        let mut recorded = self.recorded.values();
        recorded.any(|recorded| recorded.operation.kind == OperationKind::Child && !recorded.completed)
    }

    pub(super) fn judge_end_of(&self, child: &EndOfChild) -> Sent {
        let number = self.recorded_keys.get(&*child.parent.key);
        match number.and_then(|number| self.recorded.get(number)) {
            Some(recorded)
                if recorded.operation.kind == OperationKind::Child
                    && child_token(self.seed, &child.parent.key) == child.parent.token =>
            {
                if recorded.completed {
                    Sent::Again
                } else {
                    Sent::New
                }
            }
            _ => Sent::NoSuchChild,
        }
    }

    /// The fact to be recorded of the end of a child that is not known yet.
    pub(super) fn end_of(&self, child: EndOfChild) -> Option<Event> {
        let number = self.recorded_keys.get(&*child.parent.key)?;
        let operation = &self.recorded.get(number)?.operation;
        let operation = Operation { arguments: None, ..operation.clone() };
        Some(Event::ChildEnded(ChildEnded { operation, end: child.end, at: child.at }))
    }
}

/// The ids of the runs that are attached by these events and have not ended, as far as is known.
pub(crate) fn open_children(events: &[Event]) -> Vec<&str> {
    let mut open: Vec<(&str, &str)> = Vec::new();
    for event in events {
        match event {
            Event::ChildStarted(started) if started.attached => open.push((&started.operation.key, &started.child)),
            Event::ChildEnded(ended) => open.retain(|(key, _)| *key != &*ended.operation.key),
            _ => {}
        }
    }
    open.into_iter().map(|(_, child)| child).collect()
}
