//! Going on with runs that are in the store: all unfinished ones when it is opened, a halted one when an
//! operator says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::active::{Active, Identity, Outcome, Phase};
use super::committer::{CommitError, Link};
use super::registry::Registration;
use super::runs::{Engine, Leaving, NotTaken, recovered_by, shut_down};
use super::sleepers::of_store;
use super::sound;
use crate::clock::Timestamp;
use crate::context::Origin;
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::{self, Event, Started};
use crate::store::{Append, Record, RunHead, RunStatus, Store, StoreError};
use crate::sync::atomic::Ordering;

/// What recovery found when the store was opened, or when `Runtime::recover` was called (R12).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How many unfinished runs were continued. Those that are [suspended](crate::RunStatus::Suspended), because they only wait, for their
    /// time to begin or their turn in a queue, too, are not counted: they stay in the store until what they wait for comes.
    /// Neither are halted ones, which wait for `Runtime::resume`.
    pub resumed: usize,
    /// Unfinished runs that could not be: kept as they are, each with the reason.
    pub skipped: Vec<(RunId, Halt)>,
}

/// A run as it was read from the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) head: RunHead,
    pub(crate) events: Vec<Event>,
    /// Whether it has ended and has something left to do, until which the store says that it is running.
    pub(crate) winds_up: bool,
}

impl Loaded {
    /// The first event, which is always `Started`.
    pub(crate) fn started(&self) -> Option<&Started> {
        match self.events.first() {
            Some(Event::Started(started)) => Some(started),
            _ => None,
        }
    }

    /// Whether the run's code may be polled: it was not to begin later, or has begun.
    pub(crate) fn has_begun(&self) -> bool {
        let begins_later = self.started().is_some_and(Started::begins_later);
        !begins_later || self.events.iter().any(|event| matches!(event, Event::Begun { .. }))
    }
}

/// What became of a run that recovery came to.
pub(super) enum Recovered {
    Continued,
    /// It is active, or not unfinished any more.
    NothingToDo,
    Skipped(Halt),
}

impl Engine {
    /// Continues all unfinished runs that are not active (R12).
    pub(crate) fn recover(self: &Arc<Self>, store: &dyn Store) -> Result<Recovery, StoreError> {
        const PAGE: usize = 1_000;
        let mut recovery = Recovery::default();
        let mut after: Option<RunId> = None;
        loop {
            let page = store.list(Some(RunStatus::Running), after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.run.clone());
            for head in page {
                match self.recover_one(store, &head.run)? {
                    Recovered::Continued => recovery.resumed += 1,
                    Recovered::NothingToDo => {}
                    Recovered::Skipped(halt) => recovery.skipped.push((head.run, halt)),
                }
            }
        }
        let listed: BTreeSet<RunId> = recovery.skipped.iter().map(|(run, _)| run.clone()).collect();
        for error in store.corrupt() {
            // What the store noticed only now was listed.
            if let StoreError::Corrupt { run, .. } = &error
                && !listed.contains(run)
            {
                let halt = Halt::new(HaltReason::Corrupt, None, error.to_string());
                self.stuck.lock().insert(run.clone(), halt.clone());
                recovery.skipped.push((run.clone(), halt));
            }
        }
        fail_point!("recovery.store.scanned");
        for (run, halt) in &recovery.skipped {
            tracing::error!(%run, %halt, "an unfinished run was not continued");
        }
        self.watch_sleepers();
        self.watch_queues();
        self.watch_schedules();
        self.prune_regularly();
        Ok(recovery)
    }

    /// Like [`recover`](Self::recover), where it may block.
    pub(crate) async fn recover_in_background(self: &Arc<Self>) -> Result<Recovery, StoreError> {
        let engine = Arc::clone(self);
        self.blocking(move |store| engine.recover(store)).await
    }

    /// Continues this run, if it is unfinished and not active.
    pub(crate) async fn recover_alone(self: &Arc<Self>, id: &RunId) -> Result<(), StoreError> {
        let (engine, id) = (Arc::clone(self), id.clone());
        self.blocking(move |store| engine.recover_one(store, &id).map(drop)).await
    }

    fn recover_one(self: &Arc<Self>, store: &dyn Store, id: &RunId) -> Result<Recovered, StoreError> {
        // In memory before it is read: from here on nobody else starts, resumes or deletes it, or writes to it.
        let active = {
            let mut runs = self.active.lock();
            if self.stopping.load(Ordering::Acquire) {
                return Err(shut_down());
            }
            if runs.contains_key(id) {
                return Ok(Recovered::NothingToDo);
            }
            let active = Active::new(id.clone());
            runs.insert(id.clone(), Arc::clone(&active));
            active
        };
        let mut leaving = self.leaving(&active, Outcome::Stopped);
        let halt = match load(store, id) {
            Ok(Some(loaded)) if loaded.winds_up => {
                if let Some(started) = loaded.started() {
                    active.identity.get_or_init(|| Identity::of(started));
                }
                leaving.outcome = self.recorded_outcome(&loaded);
                self.wind_up_later(leaving);
                return Ok(Recovered::NothingToDo);
            }
            Ok(Some(loaded)) if !self.is_to_go_on(&loaded) => return Ok(Recovered::NothingToDo),
            Ok(Some(loaded)) => return Ok(self.go_on_alone(leaving, loaded)),
            Ok(None) => return Ok(Recovered::NothingToDo),
            Err(error @ StoreError::Corrupt { .. }) => Halt::new(HaltReason::Corrupt, None, error.to_string()),
            Err(error) => return Err(error),
        };
        self.stuck.lock().insert(id.clone(), halt.clone());
        Ok(Recovered::Skipped(halt))
    }

    /// Continues an unfinished run that nobody has, if this program can.
    pub(super) fn go_on_alone(self: &Arc<Self>, mut leaving: Leaving, loaded: Loaded) -> Recovered {
        match self.code_of(&loaded) {
            Ok(registration) => {
                fail_point!("recovery.run.found");
                self.environment.counters.recovered();
                self.adopt(leaving, registration, loaded);
                Recovered::Continued
            }
            Err(halt) => {
                // Leaving memory for this reason, it is stuck.
                leaving.outcome = Outcome::Halted(halt.clone());
                Recovered::Skipped(halt)
            }
        }
    }

    /// The function that a stored run executes.
    pub(crate) fn code_of(&self, loaded: &Loaded) -> Result<&'static Registration, Halt> {
        let Some(started) = loaded.started() else {
            return Err(Halt::new(HaltReason::Corrupt, None, "the journal does not begin with Started"));
        };
        self.registry.get(&started.function).map_err(|not_found| {
            let function = &started.function;
            Halt::new(
                HaltReason::Unregistered,
                None,
                format!("the function {function} {not_found}: the run is kept, and goes on when a program that has it once opens the store. If it was renamed, keep its recorded name: #[durable(name = \"{function}\")]"),
            )
        })
    }

    pub(super) fn adopt(self: &Arc<Self>, mut leaving: Leaving, registration: &'static Registration, loaded: Loaded) {
        let (engine, active) = (Arc::clone(self), Arc::clone(&leaving.active));
        if let Some(started) = loaded.started() {
            active.identity.get_or_init(|| Identity::of(started));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            // Beyond the limit, recovered runs wait for their turn instead of being refused.
            self.wait_for_place(active.id.clone());
            leaving.outcome = Outcome::Suspended { due: None };
            return;
        };
        active.phase.send_replace(Phase::Running);
        self.spawn(leaving, async move {
            let _permit = permit;
            engine.drive(&active, registration, loaded, recovered_by(registration)).await
        });
    }

    /// Lets a run that is in the store, and to go on, do so when there is a place for it among the active ones. Until then nobody
    /// has it in memory, so that what others send to it is recorded.
    pub(super) fn wait_for_place(self: &Arc<Self>, id: RunId) {
        self.waiting.lock().insert(id.clone());
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                let left = engine.left.notified();
                let mut left = std::pin::pin!(left);
                left.as_mut().enable();
                let Ok(permit) = Arc::clone(&engine.permits).acquire_owned().await else { return };
                if engine.stopping.load(Ordering::Acquire) {
                    return;
                }
                if let Some(leaving) = engine.take(&id) {
                    engine.waiting.lock().remove(&id);
                    let (here, active) = (Arc::clone(&engine), Arc::clone(&leaving.active));
                    engine.spawn(leaving, async move {
                        let _permit = permit;
                        here.go_on(&active).await
                    });
                    return;
                }
                // Somebody has it for a moment.
                drop(permit);
                left.await;
            }
        });
    }

    /// Whether the run waits for a place among the active ones.
    pub(super) fn waits_for_place(&self, id: &RunId) -> bool {
        self.waiting.lock().contains(id)
    }

    /// Drives a run that has waited for its place.
    async fn go_on(self: &Arc<Self>, active: &Arc<Active>) -> Outcome {
        let mut loaded = match self.load(&active.id).await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => {
                self.queues.end(&active.id);
                return Outcome::Stopped;
            }
            Err(error) => return of_store(&error),
        };
        if let Some(outcome) = self.begin_in_queue(active, &mut loaded).await {
            return outcome;
        }
        if let Some(suspended) = self.suspended(active, &loaded) {
            return suspended;
        }
        if !self.is_to_go_on(&loaded) {
            return self.recorded_outcome(&loaded);
        }
        match self.code_of(&loaded) {
            Ok(registration) => {
                // A run of which nothing is recorded but what others have sent has not begun.
                let is_new = matches!(journal::last_of(&loaded.events), Some(Event::Started(_)));
                let origin = if is_new { Origin::New } else { recovered_by(registration) };
                self.drive(active, registration, loaded, origin).await
            }
            Err(halt) => Outcome::Halted(halt),
        }
    }

    /// Lets a halted run, or one that this process could not continue, go on.
    pub(crate) async fn resume(self: &Arc<Self>, id: &RunId) -> Result<(), ResumeRefused> {
        let mut leaving = self.take_when_left(id).await?;
        let engine = Arc::clone(self);
        self.to_the_end(async move {
            let (registration, loaded) = engine.prepare_resume(&leaving.active.id).await?;
            engine.stuck.lock().remove(&leaving.active.id);
            if !loaded.has_begun() {
                let due = loaded.started().and_then(|started| started.not_before).map(Timestamp);
                leaving.outcome = Outcome::Suspended { due };
                engine.wait_in_queue(&loaded);
                drop(leaving);
                return Ok(());
            }
            engine.adopt(leaving, registration, loaded);
            Ok(())
        })
        .await
        .unwrap_or_else(|error| Err(ResumeRefused::Store(error)))
    }

    async fn prepare_resume(&self, id: &RunId) -> Result<(&'static Registration, Loaded), ResumeRefused> {
        let mut loaded = self.load(id).await.map_err(ResumeRefused::Store)?.ok_or(ResumeRefused::Unknown)?;
        let registration = self.code_of(&loaded).map_err(ResumeRefused::Stuck)?;
        match loaded.head.status {
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => {
                return Err(ResumeRefused::Finished(loaded.head.status));
            }
            status if self.is_to_go_on(&loaded) || (status.is_unfinished() && self.stuck(id).is_some()) => {
                return Ok((registration, loaded));
            }
            RunStatus::Running | RunStatus::Suspended => return Err(ResumeRefused::Running),
            RunStatus::Halted => {}
        }
        let event = Event::Resumed { at: self.environment.clock.now().0 };
        let frame = journal::encode(&event)
            .map_err(|error| ResumeRefused::Store(StoreError::Broken { first: error.to_string() }))?;
        let fence = loaded.head.fence.next();
        let append = Append {
            run: id.clone(),
            expected: loaded.head.length,
            fence,
            records: vec![Record { frame, due: None }],
            replaces: false,
            clears: Vec::new(),
            status: RunStatus::Running,
        };
        let link = Arc::new(Link::default());
        fail_point!("recovery.resume.unsubmitted");
        self.committer.submit(append, &link);
        let length = link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => ResumeRefused::Store(error),
            CommitError::Refused(_) => ResumeRefused::Running,
            CommitError::Closed => ResumeRefused::ShuttingDown,
        })?;
        fail_point!("recovery.resume.durable");
        loaded.events.push(event);
        loaded.head.length = length;
        loaded.head.fence = fence;
        Ok((registration, loaded))
    }
}

impl From<NotTaken> for ResumeRefused {
    fn from(refused: NotTaken) -> Self {
        match refused {
            NotTaken::Running => Self::Running,
            NotTaken::ShuttingDown => Self::ShuttingDown,
            NotTaken::Store(error) => Self::Store(error),
        }
    }
}

/// Why a run can't be resumed.
#[derive(Debug)]
pub(crate) enum ResumeRefused {
    Unknown,
    Running,
    Finished(RunStatus),
    Stuck(Halt),
    ShuttingDown,
    Store(StoreError),
}

/// Reads and decodes a run. One that can't be a run's is corrupt, whoever asks for it.
pub(crate) fn load(store: &dyn Store, id: &RunId) -> Result<Option<Loaded>, StoreError> {
    let Some(stored) = store.read(id)? else { return Ok(None) };
    let (loaded, _) = sound::decode(stored).map_err(|unsound| unsound.of(id))?;
    Ok(Some(loaded))
}
