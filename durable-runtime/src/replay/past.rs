//! Forks: a run that goes on from what another one had recorded, and what its code is told meanwhile.

use std::collections::BTreeSet;

use super::{ClaimNumber, Replay};
use crate::clock::Timestamp;
use crate::id::{Position, RunId};
use crate::journal::{Event, Fork, OperationKind, Text};

/// Who the code is told that it is, and what its chance is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many of the runs that it was forked from, the first one first, are behind it.
    pub(crate) life: usize,
    pub(crate) seed: u128,
}

/// What a run has from the runs that it was forked from, the first one first.
#[derive(Debug, Default)]
pub(super) struct Past(Vec<Life>);

/// A run that the journal's beginning is from.
#[derive(Debug)]
struct Life {
    run: Option<RunId>,
    seed: u128,
    /// How many records are its, or of one before it.
    records: u64,
    /// When the next one was forked from it.
    left_at: u64,
    /// Behind the last outcome among those.
    told: Position,
    /// Above the number of each operation among those.
    claims: ClaimNumber,
}

impl Past {
    pub(super) fn of(forks: Vec<Fork>) -> Self {
        let life = |fork: Fork| {
            let Fork { run, seed, records, at, .. } = fork;
            Life { run: RunId::new(&*run).ok(), seed, records, left_at: at, told: Position(0), claims: 0 }
        };
        Self(forks.into_iter().map(life).collect())
    }

    /// How many of the first records are those of other runs.
    pub(super) fn records(&self) -> u64 {
        self.0.last().map_or(0, |life| life.records)
    }

    pub(super) fn learn(&mut self, position: Position, event: &Event) {
        let Some(operation) = event.operation() else { return };
        for life in self.0.iter_mut().filter(|life| position.0 < life.records) {
            life.claims = life.claims.max(operation.claim.saturating_add(1));
            if event.is_outcome() {
                life.told = position.next();
            }
        }
    }
}

impl Replay {
    /// Who the code is told that it is. The run that it was forked from, as long as it asks for what that one had asked
    /// for, or was not told what that one was: otherwise the same code would ask for something else.
    pub(crate) fn told(&self) -> Told {
        let is_present = |life: &Life| {
            let claims = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
            self.delivered < life.told || (self.by_key.is_none() && claims < life.claims)
        };
        match self.past.0.iter().enumerate().find(|(_, life)| is_present(life)) {
            Some((number, life)) => Told { life: number, seed: life.seed },
            None => Told { life: self.past.0.len(), seed: self.seed },
        }
    }

    /// The time, as far as the code can know it: that of the newest record that it was told, and not before the run that it is
    /// told to be was there.
    pub(crate) fn now(&self) -> Timestamp {
        let behind = self.past.0.iter().take(self.told().life).map(|life| life.left_at);
        Timestamp(behind.fold(self.now, u64::max))
    }

    /// The runs that this one was forked from, the first one first; `None` for what can't be a run's id.
    pub(crate) fn lives(&self) -> Vec<Option<RunId>> {
        self.past.0.iter().map(|life| life.run.clone()).collect()
    }
}

/// What a run of its own begins with, if it is to go on where this one came to the operation with the key `from`: all
/// records before the first of that operation, but for what others had sent for it. `None` if nothing is recorded of it.
pub(crate) fn forked(run: &RunId, events: &[Event], from: &str, seed: u128, at: u64) -> Option<Vec<Event>> {
    let is_its = |event: &Event| event.operation().is_some_and(|operation| *operation.key == *from);
    let end = events.iter().position(is_its)?;
    let (past, behind) = events.split_at(end);
    let sent = behind.iter().filter(|event| is_its(event)).find_map(|event| match event {
        Event::SignalTaken(taken) => Some(taken.received),
        _ => None,
    });
    let promise =
        behind.first().and_then(Event::operation).is_some_and(|operation| operation.kind == OperationKind::Promise);
    let settled =
        past.iter().position(|event| matches!(event, Event::PromiseSettled(settled) if *settled.key == *from));
    let mut left_out: BTreeSet<u64> =
        sent.or(settled.filter(|_| promise).map(|position| position as u64)).into_iter().collect();
    // A run that had not ended belongs to the other one, and this one starts its own.
    left_out.extend(past.iter().zip(0..).filter_map(|(event, position)| match event {
        Event::ChildStarted(started) if started.attached => {
            let has_ended = past
                .iter()
                .any(|event| matches!(event, Event::ChildEnded(ended) if ended.operation.key == started.operation.key));
            (!has_ended).then_some(position)
        }
        _ => None,
    }));
    left_out.extend(cancelled_in_vain(past));
    let moved = |position: u64| position - left_out.range(..position).count() as u64;

    let mut kept: Vec<Event> = Vec::with_capacity(past.len());
    for (event, _) in past.iter().zip(0..).filter(|(_, position)| !left_out.contains(position)) {
        kept.push(match event.clone() {
            Event::SignalTaken(mut taken) => {
                taken.received = moved(taken.received);
                Event::SignalTaken(taken)
            }
            event => event,
        });
    }
    // They say that what follows them was recorded by this code, and count as deaths without progress.
    while matches!(kept.last(), Some(Event::Recovered { .. })) {
        kept.pop();
    }
    let records = kept.len() as u64;
    let Some(Event::Started(started)) = kept.first_mut() else { return None };
    // Of those that it is forked from already, the ones of which something is left.
    let mut begun = 0;
    started.forks.retain_mut(|fork| {
        fork.records = moved(fork.records).min(records);
        let is_left = fork.records > begun;
        begun = begun.max(fork.records);
        is_left
    });
    let (run, from): (Text, Text) = (run.as_str().to_owned().into(), from.to_owned().into());
    // It belongs to what the run belongs to.
    started.correlation.get_or_insert_with(|| run.clone());
    started.forks.push(Fork { run, from, records, seed: started.seed, at });
    (started.seed, started.parent, started.timeout) = (seed, None, None);
    for event in &mut kept {
        if let Event::Begun { deadline, .. } = event {
            *deadline = None;
        }
    }
    Some(kept)
}

/// Where it is recorded that the run is to be cancelled, unless something was undone because of it.
fn cancelled_in_vain(past: &[Event]) -> Option<u64> {
    let asked = past.iter().position(|event| matches!(event, Event::CancelRequested(_)))?;
    let is_planned = |key: &str| {
        past.iter().any(|event| matches!(event, Event::UndoPlanned(planned) if *planned.operation.key == *key))
    };
    let was_undone = past[asked..].iter().filter_map(Event::operation).any(|operation| is_planned(&operation.key));
    (!was_undone).then_some(asked as u64)
}
