//! What a run has emitted, and is to be delivered.

use std::collections::BTreeMap;

use super::{OperationNumber, Replay};
use crate::id::Position;
use crate::journal::{Event, Operation};
use crate::payload::Payload;

/// Something that was emitted, of which no run is known that delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emission {
    pub(crate) operation: Operation,
    pub(crate) value: Payload,
    /// When it was recorded.
    pub(crate) at: u64,
}

/// All of them, by the number of the operation.
#[derive(Debug, Default)]
pub(super) struct Emissions(BTreeMap<OperationNumber, Emission>);

impl Emissions {
    /// Learns what a record says, at this position, in a journal of which so many records are those of a run that it was forked from:
    /// what is among these is for that one to deliver.
    pub(super) fn learn(&mut self, position: Position, event: &Event, of_others: u64) {
        match event {
            Event::Emitted(emitted) if position.0 >= of_others => {
                let operation = Operation { arguments: None, ..emitted.operation.clone() };
                let emission = Emission { operation, value: emitted.value.clone(), at: emitted.at };
                self.0.insert(emitted.operation.claim, emission);
            }
            Event::ChildStarted(started) => drop(self.0.remove(&started.operation.claim)),
            _ => {}
        }
    }
}

impl Replay {
    /// What was emitted of which no run is known that delivers it.
    pub(crate) fn emissions(&self) -> impl Iterator<Item = &Emission> {
        self.emissions.0.values()
    }
}

/// What these events of a run say was emitted, without saying which run delivers it.
pub(crate) fn undelivered(events: &[Event]) -> Vec<Emission> {
    let Some(Event::Started(started)) = events.first() else { return Vec::new() };
    let of_others = started.forks.last().map_or(0, |fork| fork.records);
    let mut emissions = Emissions::default();
    for (event, position) in events.iter().zip(0..) {
        emissions.learn(Position(position), event, of_others);
    }
    emissions.0.into_values().collect()
}
