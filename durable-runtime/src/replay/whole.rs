//! Whether events can be the whole journal of one run, without code and without keeping them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::legality::{Facts, OperationFacts};
use super::signals::Signals;
use super::{Illegal, Legality, OperationNumber, Sent, Stage};
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Event, Operation, OperationKind};

/// What a journal says that can be that of one run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) stage: Stage,
    /// Whether the function's result is an `Err`.
    pub(crate) failed: bool,
    /// Whether somebody has ended it before it had one.
    pub(crate) cancelled: bool,
    /// The attempts and timers that are to come, by the records that say so.
    pub(crate) timers: BTreeMap<Position, Timestamp>,
}

#[derive(Debug)]
struct Known {
    key: Arc<str>,
    kind: OperationKind,
    failed_attempts: u32,
    completed: bool,
    begun: bool,
    timer: Option<Position>,
}

impl Known {
    fn of(operation: &Operation) -> Self {
        let key = Arc::clone(&operation.key);
        Self { key, kind: operation.kind, failed_attempts: 0, completed: false, begun: false, timer: None }
    }

    fn learn(&mut self, event: &Event) {
        match event {
            Event::AttemptFailed(event) => (self.failed_attempts, self.begun) = (event.attempt, false),
            Event::StepStarted(_) => self.begun = true,
            Event::ChildStarted(started) => self.completed = !started.attached,
            Event::StepCompleted(_)
            | Event::TimerFired(_)
            | Event::SignalTaken(_)
            | Event::PromiseTaken(_)
            | Event::ChildEnded(_)
            | Event::Published(_) => self.completed = true,
            Event::Started(_)
            | Event::Recovered { .. }
            | Event::Halted(_)
            | Event::Resumed { .. }
            | Event::Finished(_)
            | Event::Patched(_)
            | Event::TimerSet(_)
            | Event::SignalReceived(_)
            | Event::PromiseSettled(_)
            | Event::Cancelled(_)
            | Event::UndoPlanned(_)
            | Event::CancelRequested(_)
            | Event::Kept(_)
            | Event::Emitted(_)
            | Event::Begun { .. } => {}
        }
    }
}

impl Whole {
    /// Judges a journal by the same table as a replay does.
    ///
    /// # Errors
    /// The first event that can't stand where it does.
    pub(crate) fn of(events: &[Event]) -> Result<Self, Illegal> {
        let mut legality = Legality::new();
        let mut operations: BTreeMap<OperationNumber, Known> = BTreeMap::new();
        let mut claims: BTreeMap<Arc<str>, OperationNumber> = BTreeMap::new();
        let (mut known_patches, mut signals, mut promises) = (BTreeSet::new(), Signals::default(), BTreeSet::new());
        let (mut failed, mut cancelled, mut timers) = (false, false, BTreeMap::new());
        for event in events {
            let facts = match (event, event.operation()) {
                (Event::Patched(patched), _) => Facts::Patch { is_recorded: known_patches.contains(&*patched.id) },
                (Event::SignalReceived(signal), _) => Facts::Signal { is_received: signals.judge(signal) != Sent::New },
                (Event::PromiseSettled(new), _) => {
                    let known = claims.get(&*new.key).and_then(|claim| operations.get(claim));
                    let has_fired = known.is_some_and(|known| known.completed && known.kind == OperationKind::Promise);
                    Facts::Promise { is_settled: has_fired || promises.contains(&*new.key) }
                }
                (_, Some(operation)) => {
                    let known = operations.get(&operation.claim);
                    Facts::Operation(OperationFacts {
                        key_of_claim: known.map(|known| Arc::clone(&known.key)),
                        claim_of_key: claims.get(&operation.key).copied(),
                        kind_of_claim: known.map(|known| known.kind),
                        failed_attempts: known.map_or(0, |known| known.failed_attempts),
                        completed: known.is_some_and(|known| known.completed),
                        begun: known.is_some_and(|known| known.begun),
                        is_there: match event {
                            Event::SignalTaken(taken) => signals.may_take(&operation.key, Position(taken.received)),
                            _ => promises.contains(&*operation.key),
                        },
                    })
                }
                (_, None) => Facts::Nothing,
            };
            let position = legality.admit(event, &facts)?;
            if let Some(operation) = event.operation() {
                claims.entry(Arc::clone(&operation.key)).or_insert(operation.claim);
                let known = operations.entry(operation.claim).or_insert_with(|| Known::of(operation));
                if let Some(over) = known.timer.take() {
                    timers.remove(&over);
                }
                if let Some(due) = event.due() {
                    known.timer = Some(position);
                    timers.insert(position, due);
                }
                known.learn(event);
            }
            match event {
                Event::Patched(patched) => drop(known_patches.insert(&*patched.id)),
                Event::Finished(finished) => failed = finished.failed,
                Event::Cancelled(_) => cancelled = true,
                Event::SignalReceived(signal) => {
                    signals.receive(position, signal);
                    timers.extend(event.due().map(|due| (position, due)));
                }
                Event::SignalTaken(taken) => signals.take(Position(taken.received)),
                Event::PromiseSettled(settled) => {
                    promises.insert(&*settled.key);
                    timers.extend(event.due().map(|due| (position, due)));
                }
                Event::CancelRequested(_) => timers.extend(event.due().map(|due| (position, due))),
                Event::Started(started) => {
                    signals.remember(started);
                    timers.extend(event.due().map(|due| (position, due)));
                }
                Event::Begun { .. } => {
                    timers.remove(&Position(0));
                    timers.extend(event.due().map(|due| (position, due)));
                }
                Event::AttemptFailed(_)
                | Event::StepCompleted(_)
                | Event::Recovered { .. }
                | Event::Halted(_)
                | Event::Resumed { .. }
                | Event::TimerSet(_)
                | Event::TimerFired(_)
                | Event::PromiseTaken(_)
                | Event::StepStarted(_)
                | Event::ChildStarted(_)
                | Event::ChildEnded(_)
                | Event::Published(_)
                | Event::UndoPlanned(_)
                | Event::Kept(_)
                | Event::Emitted(_) => {}
            }
        }
        Ok(Self { stage: legality.stage(), failed, cancelled, timers })
    }
}
