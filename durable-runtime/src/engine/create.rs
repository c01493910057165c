//! Runs that begin with a past: they were imported, or another one was forked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::active::{Active, Identity, Outcome, Phase};
use super::committer::{CommitError, Link};
use super::recovery::Loaded;
use super::runs::{Engine, Leaving, Watched};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::journal::{self, Event};
use crate::replay::{Stage, Whole};
use crate::store::{Append, Record, RunHead, RunStatus, StoreError};
use crate::sync::atomic::Ordering;

/// Why a run was not created. Unless it is [`Store`](Self::Store), nothing was changed.
#[derive(Debug)]
pub(crate) enum NotCreated {
    /// There is a run of this id.
    Taken(Loaded),
    /// The events can't be those of a run.
    Illegal(String),
    ShuttingDown,
    Store(StoreError),
}

impl Engine {
    /// Records a run that has these events already, in one append, and lets it go on if it is unfinished.
    pub(crate) async fn create(self: &Arc<Self>, id: &RunId, events: Vec<Event>) -> Result<(), NotCreated> {
        let past = Past::of(id, &events)?;
        let leaving = self.reserve(id).await?;
        let engine = Arc::clone(self);
        let created = self.to_the_end(async move { engine.write_down(leaving, past, events).await });
        created.await.unwrap_or_else(|error| Err(NotCreated::Store(error)))
    }

    /// Takes an id that no run has.
    async fn reserve(self: &Arc<Self>, id: &RunId) -> Result<Leaving, NotCreated> {
        loop {
            if let Some(loaded) = self.load(id).await.map_err(NotCreated::Store)? {
                return Err(NotCreated::Taken(loaded));
            }
            let other = {
                let mut runs = self.active.lock();
                if self.stopping.load(Ordering::Acquire) {
                    return Err(NotCreated::ShuttingDown);
                }
                let Some(active) = runs.get(id) else {
                    let active = Active::new(id.clone());
                    runs.insert(id.clone(), Arc::clone(&active));
                    drop(runs);
                    return Ok(self.leaving(&active, Outcome::Stopped));
                };
                Watched::new(active)
            };
            // It is being started, or deleted.
            let mut phases = other.phases;
            drop(phases.wait_for(|phase| !matches!(phase, Phase::Starting)).await);
        }
    }

    async fn write_down(
        self: Arc<Self>,
        mut leaving: Leaving,
        past: Past,
        events: Vec<Event>,
    ) -> Result<(), NotCreated> {
        let Past { append, head } = past;
        let id = head.run.clone();
        // Started, perhaps, and ended between the look into the store and now.
        if let Some(loaded) = self.load(&id).await.map_err(NotCreated::Store)? {
            return Err(NotCreated::Taken(loaded));
        }
        let link = Arc::new(Link::default());
        self.committer.submit(append, &link);
        link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => NotCreated::Store(error),
            CommitError::Refused(refused) => NotCreated::Store(StoreError::Broken { first: refused.to_string() }),
            CommitError::Closed => NotCreated::ShuttingDown,
        })?;
        self.environment.counters.started();
        let loaded = Loaded { head, events, winds_up: false };
        if let Some(started) = loaded.started() {
            leaving.active.identity.get_or_init(|| Identity::of(started));
        }
        if loaded.head.status == RunStatus::Suspended {
            leaving.outcome = Outcome::Suspended { due: loaded.events.first().and_then(Event::due) };
            self.wait_in_queue(&loaded);
            return Ok(());
        }
        if loaded.head.status != RunStatus::Running {
            leaving.outcome = self.recorded_outcome(&loaded);
            return Ok(());
        }
        match self.code_of(&loaded) {
            Ok(registration) => self.adopt(leaving, registration, loaded),
            // Kept, and told to whoever asks, as one that is found when the store is opened (R12).
            Err(halt) => leaving.outcome = Outcome::Halted(halt),
        }
        Ok(())
    }
}

/// A run as it is to be written down.
pub(super) struct Past {
    pub(super) append: Append,
    pub(super) head: RunHead,
}

impl Past {
    pub(super) fn of(id: &RunId, events: &[Event]) -> Result<Self, NotCreated> {
        let whole = Whole::of(events).map_err(|illegal| NotCreated::Illegal(illegal.to_string()))?;
        let status = match whole.stage {
            Stage::Empty => return Err(NotCreated::Illegal("it has no events".to_owned())),
            // It is woken when it is to begin.
            Stage::Waiting => RunStatus::Suspended,
            Stage::Running => RunStatus::Running,
            Stage::Halted => RunStatus::Halted,
            Stage::Finished if whole.cancelled => RunStatus::Cancelled,
            Stage::Finished if whole.failed => RunStatus::Failed,
            Stage::Finished => RunStatus::Completed,
        };
        let dues = dues(events, whole.timers);
        let mut records = Vec::with_capacity(events.len());
        for (event, position) in events.iter().zip(0..) {
            let frame = journal::encode(event).map_err(|error| NotCreated::Illegal(error.to_string()))?;
            records.push(Record { frame, due: dues.get(&Position(position)).copied() });
        }
        let (run, length, fence) = (id.clone(), Position(events.len() as u64), Fence(1));
        let head = RunHead { run: run.clone(), status, length, fence };
        let append = Append { run, expected: Position(0), fence, records, replaces: false, clears: Vec::new(), status };
        Ok(Self { append, head })
    }
}

/// The times that the run still waits for: not those of what it was told already.
fn dues(events: &[Event], mut timers: BTreeMap<Position, Timestamp>) -> BTreeMap<Position, Timestamp> {
    let mut settled: BTreeMap<&str, Position> = BTreeMap::new();
    for (event, position) in events.iter().zip(0..) {
        let told = match event {
            Event::PromiseSettled(promise) => {
                settled.insert(&promise.key, Position(position));
                None
            }
            Event::SignalTaken(taken) => Some(Position(taken.received)),
            Event::PromiseTaken(taken) => settled.get(&*taken.operation.key).copied(),
            Event::ChildEnded(_) => Some(Position(position)),
            Event::Begun { .. } => Some(Position(0)),
            Event::Started(_)
            | Event::AttemptFailed(_)
            | Event::StepCompleted(_)
            | Event::Recovered { .. }
            | Event::Halted(_)
            | Event::Resumed { .. }
            | Event::Finished(_)
            | Event::Patched(_)
            | Event::TimerSet(_)
            | Event::TimerFired(_)
            | Event::SignalReceived(_)
            | Event::StepStarted(_)
            | Event::Cancelled(_)
            | Event::ChildStarted(_)
            | Event::Published(_)
            | Event::UndoPlanned(_)
            | Event::Kept(_)
            | Event::Emitted(_)
            | Event::CancelRequested(_) => None,
        };
        told.map(|told| timers.remove(&told));
    }
    timers
}
