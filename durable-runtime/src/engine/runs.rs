//! The engine: which runs are active, how they come to be, and how they are stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use super::active::{Active, Identity, Outcome, Phase};
use super::committer::{CommitError, Commits, Link};
use super::driver::{Driven, Driver};
use super::execution::{Execution, corrupt};
use super::followers::Followers;
use super::nursery::Nursery;
use super::pruning::Pruning;
use super::queues::Queues;
use super::recovery::{Loaded, load};
use super::registry::{Registration, Registry};
use super::schedules::Schedules;
use super::sleepers::Sleepers;
use super::sound;
use super::tasks::Tasks;
use crate::context::{AtWork, Environment, Origin};
use crate::error::StartError;
use crate::halt::{Halt, HaltReason};
use crate::id::{Fence, Position, RunId};
use crate::journal::{self, CodeId, Event, Halted};
use crate::panics::message_of;
use crate::replay::Stage;
use crate::store::{Refused, RunHead, RunStatus, Store, StoreError};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{JoinError, Mutex};

/// The inside of a runtime.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) environment: Arc<Environment>,
    pub(crate) registry: Registry,
    /// `None` once the runtime was shut down. Held for reading by whoever calls it, so that nobody does any more when
    /// the shutdown is over.
    pub(super) store: Arc<RwLock<Option<Arc<dyn Store>>>>,
    pub(super) committer: Arc<dyn Commits>,
    pub(super) active: Mutex<BTreeMap<RunId, Arc<Active>>>,
    /// Unfinished runs that this process can't continue, with the reason; the journal says they are running.
    pub(super) stuck: Mutex<BTreeMap<RunId, Halt>>,
    pub(super) permits: Arc<Semaphore>,
    /// Runs that wait for one of those.
    pub(super) waiting: Mutex<BTreeSet<RunId>>,
    pub(super) stopping: AtomicBool,
    pub(super) left: Notify,
    pub(super) sleepers: Arc<Sleepers>,
    pub(super) pruning: Arc<Pruning>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) schedules: Arc<Schedules>,
    pub(super) followers: Arc<Followers>,
    pub(super) tasks: Tasks,
    this: Weak<Self>,
}

impl Engine {
    pub(crate) fn new(
        environment: Environment,
        registry: Registry,
        store: Arc<dyn Store>,
        committer: Arc<dyn Commits>,
        tasks: Tasks,
    ) -> Arc<Self> {
        let permits = environment.limits.active_runs.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            environment: Arc::new(environment),
            registry,
            store: Arc::new(RwLock::new(Some(store))),
            committer,
            active: Mutex::default(),
            stuck: Mutex::default(),
            permits: Arc::new(Semaphore::new(permits)),
            waiting: Mutex::default(),
            stopping: AtomicBool::new(false),
            left: Notify::new(),
            sleepers: Arc::default(),
            pruning: Arc::default(),
            queues: Arc::default(),
            schedules: Arc::default(),
            followers: Arc::default(),
            tasks,
        })
    }

    /// The run, if it is active, and what becomes of it.
    pub(crate) fn active(&self, id: &RunId) -> Option<Watched> {
        self.active.lock().get(id).map(Watched::new)
    }

    /// The attempts of the run's steps that are running here.
    pub(crate) fn at_work(&self, id: &RunId) -> Vec<AtWork> {
        let active = self.active.lock().get(id).map(Arc::clone);
        active.map(|active| active.at_work()).unwrap_or_default()
    }

    /// Why this process can't continue the run, if that is so.
    pub(crate) fn stuck(&self, id: &RunId) -> Option<Halt> {
        self.stuck.lock().get(id).cloned()
    }

    /// Waits until it is recorded that the run exists, and drives it; or finds what the store has under its id.
    pub(super) async fn begin(
        self: &Arc<Self>,
        active: &Arc<Active>,
        registration: &'static Registration,
        event: Event,
        link: &Link,
        has_place: bool,
    ) -> Outcome {
        let failed = |source| Outcome::NotStarted(StartError::Store { run: active.id.clone(), source });
        match link.wait().await {
            Ok(_) => {
                fail_point!("run.start.durable");
                self.environment.counters.started();
                if let Event::Started(started) = &event
                    && started.begins_later()
                {
                    active.identity.get_or_init(|| Identity::of(started));
                    if started.not_before.is_none() {
                        self.queues.wait(&active.id, started);
                    }
                    return Outcome::Suspended { due: event.due() };
                }
                let head = RunHead {
                    run: active.id.clone(),
                    status: RunStatus::Running,
                    length: Position(1),
                    fence: Fence(0),
                };
                let loaded = Loaded { head, events: vec![event], winds_up: false };
                if !has_place {
                    if let Some(started) = loaded.started() {
                        active.identity.get_or_init(|| Identity::of(started));
                    }
                    self.wait_for_place(active.id.clone());
                    return Outcome::Suspended { due: None };
                }
                self.drive(active, registration, loaded, Origin::New).await
            }
            Err(CommitError::Refused(Refused::WrongPosition { .. } | Refused::StaleFence { .. })) => {
                match self.load(&active.id).await {
                    Ok(Some(loaded)) => {
                        if let Some(started) = loaded.started() {
                            active.identity.get_or_init(|| Identity::of(started));
                        }
                        self.queues.found(&loaded, self.environment.clock.now());
                        // Recorded by a start that was not acknowledged, and so not driven by anyone.
                        if self.is_to_go_on(&loaded)
                            && self.stuck(&active.id).is_none()
                            && let Ok(registration) = self.code_of(&loaded)
                        {
                            return self.drive(active, registration, loaded, recovered_by(registration)).await;
                        }
                        if let Some(suspended) = self.suspended(active, &loaded) {
                            return suspended;
                        }
                        self.recorded_outcome(&loaded)
                    }
                    // Deleted in between: the caller may simply start again.
                    Ok(None) => Outcome::Stopped,
                    Err(error @ StoreError::Corrupt { .. }) => {
                        Outcome::Halted(Halt::new(HaltReason::Corrupt, None, error.to_string()))
                    }
                    Err(error) => failed(error),
                }
            }
            Err(CommitError::Store(error)) => failed(error),
            Err(CommitError::Closed) => Outcome::NotStarted(StartError::ShuttingDown { run: active.id.clone() }),
        }
    }

    /// What the journal of a run that is not in memory says of its end.
    pub(crate) fn recorded_outcome(&self, loaded: &Loaded) -> Outcome {
        match journal::last_of(&loaded.events) {
            Some(Event::Finished(finished)) => Outcome::Finished { result: Arc::new(finished.result.clone()) },
            Some(Event::Cancelled(cancelled)) => Outcome::Cancelled { reason: cancelled.reason.as_str().into() },
            Some(Event::Halted(halted)) => Outcome::Halted(halt_of(halted)),
            _ => match self.stuck(&loaded.head.run) {
                Some(halt) => Outcome::Halted(halt),
                None => Outcome::Stopped,
            },
        }
    }

    /// A run that is not in memory, as its journal has it. `None` if there is no such run.
    pub(crate) async fn recorded(&self, id: &RunId) -> Result<Option<Watched>, StartError> {
        let failed = |source| StartError::Store { run: id.clone(), source };
        let Some(loaded) = self.load(id).await.map_err(failed)? else { return Ok(None) };
        let active = Active::new(id.clone());
        if let Some(started) = loaded.started() {
            active.identity.get_or_init(|| Identity::of(started));
        }
        active.phase.send_replace(Phase::Over(self.recorded_outcome(&loaded)));
        Ok(Some(Watched::new(&active)))
    }

    /// Reads a run. `None` if there is no such run.
    pub(crate) async fn load(&self, id: &RunId) -> Result<Option<Loaded>, StoreError> {
        let id = id.clone();
        self.blocking(move |store| load(store, &id)).await
    }

    /// Calls the store where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store).read_owned().await;
        let called = self.tasks.blocking(move || call(&**store.as_ref().ok_or_else(shut_down)?));
        called.await.unwrap_or_else(|error| Err(did_not_return(&error)))
    }

    /// Drives a run whose journal is at hand.
    pub(super) async fn drive(
        self: &Arc<Self>,
        active: &Arc<Active>,
        registration: &'static Registration,
        loaded: Loaded,
        origin: Origin,
    ) -> Outcome {
        if let Some(started) = loaded.started() {
            active.identity.get_or_init(|| Identity::of(started));
        }
        if let Some(started) = loaded.started() {
            self.queues.begin(&active.id, started);
        }
        let mut fence = loaded.head.fence.next();
        let mut origin = origin;
        let mut events = loaded.events;
        loop {
            let (id, waker) = (active.id.clone(), Arc::clone(&active.control.waker));
            let execution = match Execution::of_journal(id, events, registration, &self.environment, &origin, waker) {
                Ok(execution) if execution.stage == Stage::Running => execution,
                Ok(execution) => {
                    let told = format!("the store says running, the journal says {:?}", execution.stage);
                    return Outcome::Halted(corrupt(&told));
                }
                Err(halt) => return Outcome::Halted(halt),
            };
            *active.shared.lock() = Arc::downgrade(&execution.shared);
            active.phase.send_replace(Phase::Running);
            let (control, committer) = (Arc::clone(&active.control), Arc::clone(&self.committer));
            let (sleepers, followers) = (Arc::clone(&self.sleepers), Arc::clone(&self.followers));
            let nursery = Nursery::new(Weak::clone(&self.this));
            let driver = Driver::new(execution, control, committer, fence, sleepers, followers, nursery);
            match driver.drive(registration.name).await {
                Driven::Over(outcome) => return outcome,
                Driven::WindsUp(outcome) => {
                    // As it is over if that fails.
                    if matches!(outcome, Outcome::Finished { .. } | Outcome::Cancelled { .. }) {
                        active.control.wind_up();
                        self.wind_up(&active.id).await;
                    }
                    return outcome;
                }
                Driven::Suspended(suspension) => origin = Origin::Suspended(suspension),
                Driven::Continues(input, digest) => {
                    match self.continue_as_new(&active.id, registration, input, digest).await {
                        Ok(continued) => {
                            (events, fence, origin) = (continued.events, continued.head.fence, Origin::New);
                        }
                        Err(outcome) => return outcome,
                    }
                    continue;
                }
            }
            events = match self.load(&active.id).await {
                Ok(Some(loaded)) => loaded.events,
                Ok(None) => return Outcome::Stopped,
                Err(error @ StoreError::Corrupt { .. }) => {
                    return Outcome::Halted(Halt::new(HaltReason::Corrupt, None, error.to_string()));
                }
                Err(error) => return Outcome::Halted(Halt::new(HaltReason::Storage, None, error.to_string())),
            };
        }
    }

    /// Deletes a run that is neither active nor suspended, and for which no other one waits.
    pub(crate) async fn delete(self: &Arc<Self>, id: &RunId) -> Result<bool, DeleteRefused> {
        self.delete_if(id, |_| Ok(true)).await
    }

    /// As [`delete`](Self::delete), if that is so while nobody can start or resume it.
    pub(super) async fn delete_if(
        self: &Arc<Self>,
        id: &RunId,
        is_to_go: impl FnOnce(&dyn Store) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<bool, DeleteRefused> {
        // Nobody starts or resumes the run while it is being deleted.
        let leaving = self.take_when_left(id).await?;
        let engine = Arc::clone(self);
        let deleted = self.to_the_end(async move {
            let run = leaving.active.id.clone();
            let are_watched = engine.sleepers.are_watched();
            let delete = move |store: &dyn Store| {
                let is_suspended = |head: RunHead| head.status == RunStatus::Suspended;
                // One that can't be read may be deleted.
                if are_watched && store.head(&run).ok().flatten().is_some_and(is_suspended) {
                    return Ok(Err(DeleteRefused::Running));
                }
                if let Some(parent) = awaited_by(store, &run)? {
                    return Ok(Err(DeleteRefused::Awaited { parent }));
                }
                if is_to_go(store)? { store.delete(&run).map(Ok) } else { Ok(Ok(false)) }
            };
            let deleted = engine.blocking(delete).await;
            fail_point!("run.delete.done");
            if let Ok(Ok(_)) = deleted {
                engine.stuck.lock().remove(&leaving.active.id);
            }
            if let Ok(Ok(true)) = deleted {
                engine.followers.part_with(&leaving.active.id);
            }
            drop(leaving);
            deleted
        });
        deleted.await.and_then(|deleted| deleted).unwrap_or_else(|error| Err(DeleteRefused::Store(error)))
    }

    /// Makes the run an active one, for who resumes or deletes it. One that has ended or is halted, as everybody can see, and is
    /// about to leave memory, is waited for.
    pub(super) async fn take_when_left(self: &Arc<Self>, id: &RunId) -> Result<Leaving, NotTaken> {
        loop {
            let mut watched = {
                let mut runs = self.active.lock();
                if self.stopping.load(Ordering::Acquire) {
                    return Err(NotTaken::ShuttingDown);
                }
                let Some(active) = runs.get(id) else {
                    let active = Active::new(id.clone());
                    runs.insert(id.clone(), Arc::clone(&active));
                    drop(runs);
                    return Ok(self.leaving(&active, Outcome::Stopped));
                };
                Watched::new(active)
            };
            let run = id.clone();
            let may_be_active = |ends| sound::decode_ends(ends).map_or(true, |ends| ends.head.status.is_unfinished());
            let ends = self.blocking(move |store| store.ends(&run)).await.map_err(NotTaken::Store)?;
            if ends.is_some_and(may_be_active) {
                return Err(NotTaken::Running);
            }
            let _ = watched.phases.changed().await;
        }
    }

    /// Does something in a task of its own: a caller that stops waiting for it must not leave a run behind in
    /// memory that nobody drives and for which everybody waits.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.tasks.to_the_end(work).await.map_err(|error| did_not_return(&error))
    }

    pub(super) fn leaving(self: &Arc<Self>, active: &Arc<Active>, outcome: Outcome) -> Leaving {
        Leaving { engine: Arc::clone(self), active: Arc::clone(active), outcome }
    }

    pub(super) fn spawn(&self, mut leaving: Leaving, work: impl Future<Output = Outcome> + Send + 'static) {
        self.tasks.spawn(async move {
            leaving.outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
                Outcome::Halted(Halt::new(
                    HaltReason::Panic,
                    None,
                    format!("the runtime itself panicked, which is a bug in it: {}", message_of(&*panic)),
                ))
            });
            drop(leaving);
        });
    }

    /// The run leaves memory.
    fn leave(&self, active: &Active, outcome: Outcome) {
        let mut runs = self.active.lock();
        if let Outcome::Halted(halt) = &outcome
            && matches!(halt.reason, HaltReason::Storage | HaltReason::Corrupt | HaltReason::Unregistered)
        {
            self.stuck.lock().insert(active.id.clone(), halt.clone());
        }
        // Who sent them sends them again, to where the run is now.
        drop(active.control.take_messages());
        match &outcome {
            Outcome::Suspended { .. } | Outcome::Stopped => {}
            Outcome::Finished { .. } | Outcome::Cancelled { .. } | Outcome::Halted(_) | Outcome::NotStarted(_) => {
                self.queues.end(&active.id);
            }
        }
        *active.shared.lock() = Weak::new();
        fail_point!("run.leave.untold");
        if let Outcome::Suspended { due } = outcome {
            let is_watched = active.phase.receiver_count() > 0 || self.waits_for_place(&active.id);
            if is_watched && !self.stopping.load(Ordering::Acquire) {
                active.phase.send_replace(Phase::Suspended);
            } else {
                active.phase.send_replace(Phase::Over(Outcome::Stopped));
                runs.remove(&active.id);
            }
            self.sleepers.add(&active.id, due);
        } else {
            active.phase.send_replace(Phase::Over(outcome));
            runs.remove(&active.id);
            self.sleepers.let_go();
        }
        drop(runs);
        self.followers.tell(&active.id);
        self.left.notify_waiters();
    }

    /// Begins no further step and no further run.
    pub(crate) fn drain(&self) {
        let mut runs = self.active.lock();
        self.stopping.store(true, Ordering::Release);
        self.stop_suspended(&mut runs);
        for active in runs.values() {
            active.control.drain();
        }
    }

    /// Stops all runs where they are, and returns how many there were.
    pub(crate) fn stop(&self) -> usize {
        let mut runs = self.active.lock();
        self.stopping.store(true, Ordering::Release);
        self.stop_suspended(&mut runs);
        self.permits.close();
        for active in runs.values() {
            active.control.stop();
        }
        runs.len()
    }

    /// Tells those who wait for suspended runs that these go on when the store is opened again.
    fn stop_suspended(&self, runs: &mut BTreeMap<RunId, Arc<Active>>) {
        runs.retain(|_, active| {
            let is_suspended = active.is_suspended();
            if is_suspended {
                active.phase.send_replace(Phase::Over(Outcome::Stopped));
            }
            !is_suspended
        });
        self.sleepers.stop();
        self.queues.stop();
        self.schedules.stop();
        self.pruning.stop();
        self.followers.tell_all();
        self.left.notify_waiters();
    }

    /// Waits until no run is in memory.
    pub(crate) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.active.lock().is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Ends the committer and closes the store, once all runs have left.
    pub(crate) async fn close(&self) {
        let committer = Arc::clone(&self.committer);
        // Waits for calls that are under way, and for another shutdown that is closing it.
        let mut store = Arc::clone(&self.store).write_owned().await;
        let closing = self.tasks.blocking(move || {
            committer.close();
            fail_point!("shutdown.committer.ended");
            drop(store.take());
            fail_point!("shutdown.store.closed");
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the store failed");
        }
    }
}

/// Why a run is not there for who would resume or delete it.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// Or suspended.
    Running,
    ShuttingDown,
    Store(StoreError),
}

/// Why a run was not deleted.
#[derive(Debug)]
pub(crate) enum DeleteRefused {
    Running,
    ShuttingDown,
    Awaited { parent: RunId },
    Store(StoreError),
}

impl From<NotTaken> for DeleteRefused {
    fn from(refused: NotTaken) -> Self {
        match refused {
            NotTaken::Running => Self::Running,
            NotTaken::ShuttingDown => Self::ShuttingDown,
            NotTaken::Store(error) => Self::Store(error),
        }
    }
}

/// The run that waits for the end of this one, and was not told of it.
fn awaited_by(store: &dyn Store, id: &RunId) -> Result<Option<RunId>, StoreError> {
    // One that can't be read may be deleted.
    let Ok(Some(_)) = store.head(id).map(|head| head.filter(|head| !head.status.is_over())) else { return Ok(None) };
    let Ok(Some(loaded)) = load(store, id) else { return Ok(None) };
    let parent = loaded.started().and_then(|started| started.parent.as_ref()).filter(|parent| parent.attached);
    let Some(parent) = parent else { return Ok(None) };
    let Ok(parent) = RunId::new(&*parent.run) else { return Ok(None) };
    Ok(store.head(&parent)?.filter(|head| !head.status.is_over()).map(|_| parent))
}

/// An active run, and what becomes of it: as long as somebody watches it, it stays among the active ones, also while it
/// is suspended.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) active: Arc<Active>,
    pub(crate) phases: watch::Receiver<Phase>,
}

impl Watched {
    /// Under the lock of the active runs, or of one that is not among them.
    pub(super) fn new(active: &Arc<Active>) -> Self {
        Self { active: Arc::clone(active), phases: active.phase.subscribe() }
    }
}

/// Takes a run out of memory when it is dropped; also when the task that has it is, because tokio's runtime ended.
#[derive(Debug)]
pub(super) struct Leaving {
    engine: Arc<Engine>,
    pub(super) active: Arc<Active>,
    pub(super) outcome: Outcome,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.engine.leave(&self.active, self.outcome.clone());
    }
}

pub(super) fn shut_down() -> StoreError {
    StoreError::Broken { first: "the runtime was shut down".to_owned() }
}

pub(super) fn did_not_return(error: &JoinError) -> StoreError {
    StoreError::Broken { first: format!("a call of the store did not return: {error}") }
}

/// A run that was found in the store goes on by this code.
pub(super) fn recovered_by(registration: &Registration) -> Origin {
    Origin::Recovered(CodeId { version: registration.version, fingerprint: registration.fingerprint })
}

/// A recorded halt as it is shown.
pub(crate) fn halt_of(halted: &Halted) -> Halt {
    Halt::new(halted.reason, halted.step.clone(), halted.message.clone())
}
