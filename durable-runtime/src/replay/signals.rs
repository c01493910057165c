//! Which signals a run has received, and which of them its code was given.

use std::collections::{BTreeMap, VecDeque};

use super::{Replay, Sent};
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{SignalReceived, Started, Text};

/// The signals of a run: those of a name are taken in the order in which they were received.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The positions of those that were not taken, by name.
    waiting: BTreeMap<Text, VecDeque<Position>>,
    names: BTreeMap<Position, Text>,
    /// Those that were received with an id of the sender's: what they said.
    ids: BTreeMap<Text, (Text, u64)>,
    received: usize,
}

impl Signals {
    pub(super) fn judge(&self, signal: &SignalReceived) -> Sent {
        match signal.id.as_ref().and_then(|id| self.ids.get(id)) {
            None => Sent::New,
            Some((name, digest)) if *name == signal.name && *digest == signal.digest => Sent::Again,
            Some(_) => Sent::Conflicts,
        }
    }

    /// Those that the run has taken before it has continued as new.
    pub(super) fn remember(&mut self, started: &Started) {
        for taken in started.continued.iter().flat_map(|continued| &continued.signals) {
            self.ids.insert(taken.id.clone(), (taken.name.clone(), taken.digest));
        }
    }

    pub(super) fn receive(&mut self, position: Position, signal: &SignalReceived) {
        if let Some(id) = &signal.id {
            self.ids.insert(id.clone(), (signal.name.clone(), signal.digest));
        }
        self.waiting.entry(signal.name.clone()).or_default().push_back(position);
        self.names.insert(position, signal.name.clone());
        self.received += 1;
    }

    /// The next one of this name.
    pub(super) fn next(&self, name: &str) -> Option<Position> {
        self.waiting.get(name).and_then(VecDeque::front).copied()
    }

    /// Whether an operation with this key may take the one that was received there: it has the key's name, and is the
    /// next one.
    pub(super) fn may_take(&self, key: &str, position: Position) -> bool {
        self.names.get(&position).is_some_and(|name| {
            let is_named = key.strip_prefix(&**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
            is_named && self.next(name) == Some(position)
        })
    }

    pub(super) fn take(&mut self, position: Position) {
        if let Some(name) = self.names.remove(&position)
            && let Some(waiting) = self.waiting.get_mut(&name)
        {
            waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&name);
            }
        }
    }

    /// How many there were.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Those that were not taken.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Position> {
        self.names.keys().copied()
    }
}

impl Replay {
    /// The next signal of this name that was not taken: where it was received, and when.
    pub(crate) fn next_signal(&self, name: &str) -> Option<(Position, Timestamp)> {
        let position = self.signals.next(name)?;
        self.signal_values.get(&position).map(|(_, at)| (position, Timestamp(*at)))
    }
}
