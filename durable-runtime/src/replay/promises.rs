//! Which promises of a run are settled, and how.

use std::collections::BTreeMap;
use std::fmt;

use super::Replay;
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{OperationKind, PromiseSettled, Settlement, Text};

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PromiseState {
    /// Somebody has resolved it with a value.
    Resolved,
    /// Somebody has rejected it with a reason.
    Rejected,
    /// Nobody has done either until it was due.
    TimedOut,
}

impl fmt::Display for PromiseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "resolved",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed out",
        })
    }
}

/// How a promise was settled, before somebody else would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) state: PromiseState,
    pub(crate) at: Timestamp,
    /// Whether it is what somebody else would have made of it, too.
    pub(crate) as_asked: bool,
}

/// The promises that somebody outside has settled, by their keys.
#[derive(Debug, Default)]
pub(super) struct Promises(BTreeMap<Text, Recorded>);

#[derive(Debug)]
struct Recorded {
    position: Position,
    /// `None` once the code has it.
    settlement: Option<Settlement>,
    /// What is compared with that of somebody who comes later.
    compared: Compared,
    at: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Compared {
    Value(u64),
    Reason(Text),
}

impl Compared {
    fn of(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Resolved { digest, .. } => Self::Value(*digest),
            Settlement::Rejected(reason) => Self::Reason(reason.clone()),
        }
    }
}

impl Promises {
    pub(super) fn settle(&mut self, position: Position, event: PromiseSettled) {
        let PromiseSettled { key, settlement, at } = event;
        let compared = Compared::of(&settlement);
        self.0.insert(key, Recorded { position, settlement: Some(settlement), compared, at });
    }

    pub(super) fn is_settled(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Settlement> {
        self.0.get_mut(key).and_then(|recorded| recorded.settlement.take())
    }
}

impl Replay {
    /// How the promise was settled, if it was: by somebody, or because it was due.
    pub(super) fn settled(&self, new: &PromiseSettled) -> Option<Settled> {
        if let Some(recorded) = self.promises.0.get(&new.key) {
            let state = match recorded.compared {
                Compared::Value(_) => PromiseState::Resolved,
                Compared::Reason(_) => PromiseState::Rejected,
            };
            let as_asked = recorded.compared == Compared::of(&new.settlement);
            return Some(Settled { state, at: Timestamp(recorded.at), as_asked });
        }
        let recorded = self.recorded.get(self.recorded_keys.get(&*new.key)?)?;
        let has_fired = recorded.completed && recorded.operation.kind == OperationKind::Promise;
        let at = Timestamp(recorded.due?);
        has_fired.then_some(Settled { state: PromiseState::TimedOut, at, as_asked: false })
    }

    /// Where the promise with this key was settled, and when, if the code was not told.
    pub(crate) fn next_settlement(&self, key: &str) -> Option<(Position, Timestamp)> {
        let recorded = self.promises.0.get(key).filter(|recorded| recorded.settlement.is_some())?;
        Some((recorded.position, Timestamp(recorded.at)))
    }

    /// Where the promises were settled of which the code was not told.
    pub(super) fn waiting_settlements(&self) -> impl Iterator<Item = Position> {
        self.promises.0.values().filter(|recorded| recorded.settlement.is_some()).map(|recorded| recorded.position)
    }
}
