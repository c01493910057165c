//! The engine: which runs are active, how they come to be, and how they are stopped.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use super::committer::{CommitError, Committer, Link};
use super::driver::{Control, Driver};
use super::registry::{Registration, Registry};
use crate::context::{Context, Environment, RunShared};
use crate::error::StartError;
use crate::halt::{Halt, HaltReason};
use crate::id::{Fence, Position, RunId};
use crate::journal::{self, Event, Halted, Started};
use crate::panics::message_of;
use crate::payload::Payload;
use crate::replay::{CodeChange, Replay, Stage};
use crate::store::{Append, Record, Refused, RunHead, RunStatus, Store, StoreError};

/// What became of a run, as far as this process is concerned.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It returned this.
    Finished { result: Arc<Payload> },
    /// It is halted.
    Halted(Halt),
    /// The runtime stopped; the run goes on when the store is opened again.
    Stopped,
    /// It was never started.
    NotStarted(StartError),
}

/// Where an active run is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Not yet known to the store.
    Starting,
    /// Started durably.
    Running,
    /// Over.
    Over(Outcome),
}

/// Which function a run executes, on which input.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) function: String,
    pub(crate) input: Payload,
    pub(crate) input_digest: u64,
}

impl Identity {
    fn of(started: &Started) -> Self {
        Self {
            function: started.function.to_string(),
            input: started.input.clone(),
            input_digest: started.input_digest,
        }
    }
}

/// A run that is in memory.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: RunId,
    pub(crate) identity: OnceLock<Identity>,
    pub(crate) phase: watch::Sender<Phase>,
    control: Arc<Control>,
}

impl Active {
    fn new(id: RunId) -> Arc<Self> {
        let (phase, _) = watch::channel(Phase::Starting);
        Arc::new(Self { id, identity: OnceLock::new(), phase, control: Arc::default() })
    }

    /// Waits until the run is known to the store, and checks that it is the given function on the given input
    /// (R1). `false` if there is no such run after all: it was being deleted.
    pub(crate) async fn attached(&self, function: &str, input: Option<(&Payload, u64)>) -> Result<bool, StartError> {
        let mut phase = self.phase.subscribe();
        let known = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
        if let Ok(phase) = known
            && let Phase::Over(Outcome::NotStarted(error)) = &*phase
        {
            return Err(error.clone());
        }
        let Some(identity) = self.identity.get() else {
            let over = matches!(&*self.phase.borrow(), Phase::Over(Outcome::Stopped));
            return Ok(!over);
        };
        if identity.function != function {
            return Err(StartError::OtherFunction {
                run: self.id.clone(),
                recorded: identity.function.clone(),
                given: function.to_owned(),
            });
        }
        if let Some((input, digest)) = input
            && identity.input_digest != digest
        {
            return Err(StartError::OtherInput {
                run: self.id.clone(),
                function: function.to_owned(),
                recorded: identity.input.excerpt(),
                given: input.excerpt(),
            });
        }
        Ok(true)
    }
}

/// What recovery found when the store was opened (R12).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How many unfinished runs were continued.
    pub resumed: usize,
    /// Unfinished runs that were not: kept as they are, each with the reason.
    pub skipped: Vec<(RunId, Halt)>,
}

/// A run as it was read from the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) head: RunHead,
    pub(crate) events: Vec<Event>,
}

impl Loaded {
    /// The first event, which is always `Started`.
    pub(crate) fn started(&self) -> Option<&Started> {
        match self.events.first() {
            Some(Event::Started(started)) => Some(started),
            _ => None,
        }
    }
}

/// The inside of a runtime.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) environment: Arc<Environment>,
    pub(crate) registry: Registry,
    /// `None` once the runtime was shut down. Held for reading by whoever calls it, so that nobody does any more when
    /// the shutdown is over.
    store: Arc<RwLock<Option<Arc<dyn Store>>>>,
    committer: Arc<Committer>,
    active: Mutex<BTreeMap<RunId, Arc<Active>>>,
    /// Unfinished runs that this process can't continue, with the reason; the journal says they are running.
    stuck: Mutex<BTreeMap<RunId, Halt>>,
    permits: Arc<Semaphore>,
    stopping: AtomicBool,
    left: Notify,
    tasks: tokio::runtime::Handle,
}

/// Tells lives of runs apart across all runtimes of the process.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl Engine {
    pub(crate) fn new(
        environment: Environment,
        registry: Registry,
        store: Arc<dyn Store>,
        tasks: tokio::runtime::Handle,
    ) -> std::io::Result<Arc<Self>> {
        let committer = Arc::new(Committer::start(Arc::clone(&store), environment.counters.clone())?);
        let permits = environment.limits.active_runs.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Arc::new(Self {
            environment: Arc::new(environment),
            registry,
            store: Arc::new(RwLock::new(Some(store))),
            committer,
            active: Mutex::default(),
            stuck: Mutex::default(),
            permits: Arc::new(Semaphore::new(permits)),
            stopping: AtomicBool::new(false),
            left: Notify::new(),
            tasks,
        }))
    }

    /// The run, if it is in memory.
    pub(crate) fn active(&self, id: &RunId) -> Option<Arc<Active>> {
        self.active.lock().get(id).cloned()
    }

    /// Why this process can't continue the run, if that is so.
    pub(crate) fn stuck(&self, id: &RunId) -> Option<Halt> {
        self.stuck.lock().get(id).cloned()
    }

    /// Starts a run, or finds the one that has the id (R1). The caller then waits for [`Active::attached`].
    pub(crate) fn start(
        self: &Arc<Self>,
        id: RunId,
        registration: &'static Registration,
        input: Payload,
        input_digest: u64,
    ) -> Result<Arc<Active>, StartError> {
        let mut runs = self.active.lock();
        if let Some(active) = runs.get(&id) {
            return Ok(Arc::clone(active));
        }
        // Checked under the lock that shutting down takes: no run slips in behind it.
        if self.stopping.load(Ordering::Acquire) {
            return Err(StartError::ShuttingDown { run: id });
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(StartError::TooManyActiveRuns { run: id, limit: self.environment.limits.active_runs });
        };
        let active = Active::new(id.clone());
        runs.insert(id, Arc::clone(&active));
        drop(runs);
        let started = Started {
            function: registration.name.into(),
            version: registration.version,
            fingerprint: registration.fingerprint,
            input,
            input_digest,
            at: self.environment.clock.now().0,
        };
        let ended = StoreError::Broken { first: "the tokio runtime it was opened in has ended".to_owned() };
        let not_started = StartError::Store { run: active.id.clone(), source: ended };
        self.spawn(self.leaving(&active, Outcome::NotStarted(not_started)), {
            let (engine, active) = (Arc::clone(self), Arc::clone(&active));
            async move {
                let _permit = permit;
                engine.begin(&active, registration, started).await
            }
        });
        Ok(active)
    }

    /// Records that the run exists, and drives it; or finds what the store has under its id.
    async fn begin(&self, active: &Arc<Active>, registration: &'static Registration, started: Started) -> Outcome {
        let failed = |source| Outcome::NotStarted(StartError::Store { run: active.id.clone(), source });
        let event = Event::Started(started);
        let frame = match journal::encode(&event) {
            Ok(frame) => frame,
            Err(error) => {
                return Outcome::Halted(Halt::new(HaltReason::Limit, None, error.to_string()));
            }
        };
        let link = Arc::new(Link::default());
        let append = Append {
            run: active.id.clone(),
            expected: Position(0),
            fence: Fence(1),
            records: vec![Record { frame, due: None }],
            clears: Vec::new(),
            status: RunStatus::Running,
        };
        self.committer.submit(append, &link);
        match link.wait().await {
            Ok(_) => {
                self.environment.counters.started();
                let head = RunHead {
                    run: active.id.clone(),
                    status: RunStatus::Running,
                    length: Position(1),
                    fence: Fence(0),
                };
                self.drive(active, registration, Loaded { head, events: vec![event] }, false).await
            }
            Err(CommitError::Refused(Refused::WrongPosition { .. } | Refused::StaleFence { .. })) => {
                match self.load(&active.id).await {
                    Ok(Some(loaded)) => {
                        if let Some(started) = loaded.started() {
                            active.identity.get_or_init(|| Identity::of(started));
                        }
                        // Recorded by a start that was not acknowledged, and so not driven by anyone.
                        if loaded.head.status == RunStatus::Running
                            && self.stuck(&active.id).is_none()
                            && let Ok(registration) = self.code_of(&loaded)
                        {
                            return self.drive(active, registration, loaded, true).await;
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
        match loaded.events.last() {
            Some(Event::Finished(finished)) => Outcome::Finished { result: Arc::new(finished.result.clone()) },
            Some(Event::Halted(halted)) => Outcome::Halted(halt_of(halted)),
            _ => match self.stuck(&loaded.head.run) {
                Some(halt) => Outcome::Halted(halt),
                None => Outcome::Stopped,
            },
        }
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
        let called = self.tasks.spawn_blocking(move || call(&**store.as_ref().ok_or_else(shut_down)?));
        called.await.unwrap_or_else(|error| Err(did_not_return(&error)))
    }

    /// Drives a run whose journal is at hand.
    async fn drive(
        &self,
        active: &Arc<Active>,
        registration: &'static Registration,
        loaded: Loaded,
        recovered: bool,
    ) -> Outcome {
        let corrupt = |detail: String| {
            Outcome::Halted(Halt::new(
                HaltReason::Corrupt,
                None,
                format!("{detail}. Restore the run from a backup, or delete it"),
            ))
        };
        let Some(started) = loaded.started() else {
            return corrupt("the journal does not begin with Started".to_owned());
        };
        active.identity.get_or_init(|| Identity::of(started));
        let change = CodeChange {
            versions: (started.version, registration.version),
            fingerprints: (started.fingerprint, registration.fingerprint),
        };
        let input = started.input.clone();
        let replay = match Replay::of_journal(loaded.events) {
            Ok(replay) => replay,
            Err(illegal) => return corrupt(illegal.to_string()),
        };
        if replay.stage() != Stage::Running {
            return corrupt(format!("the store says running, the journal says {:?}", replay.stage()));
        }
        let recoveries = replay.recoveries();
        let shared = Arc::new(RunShared::new(
            active.id.clone(),
            INSTANCES.fetch_add(1, Ordering::Relaxed),
            Arc::clone(&self.environment),
            replay,
            recovered,
        ));
        let limits = self.environment.limits;
        let too_often = recoveries >= limits.recoveries_without_progress.max(1);
        let code = if too_often {
            Err(Halt::new(
                HaltReason::CrashLoop,
                None,
                format!(
                    "the process died {recoveries} times in a row after the run had gone on and before it recorded anything new: find out what it does to the process after its last recorded step, then resume the run"
                ),
            ))
        } else {
            let context = Context::new(Arc::clone(&shared));
            (registration.call)(context, &input, self.environment.codec, limits.payload_bytes).map_err(|detail| {
                Halt::new(HaltReason::Value, None, format!("its recorded input can't be used: {detail}"))
            })
        };
        let (code, halt) = match code {
            Ok(code) => (code, None),
            Err(halt) => (Box::pin(std::future::pending()) as _, Some(halt)),
        };
        if let Some(halt) = halt {
            shared.halt(halt);
        }
        active.phase.send_replace(Phase::Running);
        let driver = Driver {
            shared,
            control: Arc::clone(&active.control),
            committer: Arc::clone(&self.committer),
            code,
            fence: loaded.head.fence.next(),
            change,
            link: Arc::default(),
            committing: false,
        };
        driver.drive(registration.name).await
    }

    /// Continues all unfinished runs (R12).
    pub(crate) fn recover(self: &Arc<Self>) -> Result<Recovery, StoreError> {
        const PAGE: usize = 1_000;
        let store = self.store.blocking_read();
        let store = store.as_ref().ok_or_else(shut_down)?;
        let mut recovery = Recovery::default();
        let mut after: Option<RunId> = None;
        loop {
            let page = store.list(Some(RunStatus::Running), after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.run.clone());
            for head in page {
                match self.recover_one(&**store, &head.run)? {
                    None => recovery.resumed += 1,
                    Some(halt) => recovery.skipped.push((head.run, halt)),
                }
            }
        }
        for error in store.corrupt() {
            if let StoreError::Corrupt { run, .. } = &error {
                let halt = Halt::new(HaltReason::Corrupt, None, error.to_string());
                self.stuck.lock().insert(run.clone(), halt.clone());
                recovery.skipped.push((run.clone(), halt));
            }
        }
        for (run, halt) in &recovery.skipped {
            tracing::error!(%run, %halt, "an unfinished run was not continued");
        }
        Ok(recovery)
    }

    fn recover_one(self: &Arc<Self>, store: &dyn Store, id: &RunId) -> Result<Option<Halt>, StoreError> {
        let halt = match load(store, id) {
            Ok(Some(loaded)) => match self.code_of(&loaded) {
                Ok(registration) => {
                    self.environment.counters.recovered();
                    let active = Active::new(id.clone());
                    self.active.lock().insert(id.clone(), Arc::clone(&active));
                    self.adopt(self.leaving(&active, Outcome::Stopped), registration, loaded);
                    return Ok(None);
                }
                Err(halt) => halt,
            },
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Corrupt { .. }) => Halt::new(HaltReason::Corrupt, None, error.to_string()),
            Err(error) => return Err(error),
        };
        self.stuck.lock().insert(id.clone(), halt.clone());
        Ok(Some(halt))
    }

    /// The function that a stored run executes.
    fn code_of(&self, loaded: &Loaded) -> Result<&'static Registration, Halt> {
        let Some(started) = loaded.started() else {
            return Err(Halt::new(HaltReason::Corrupt, None, "the journal does not begin with Started"));
        };
        self.registry.get(&started.function).map_err(|not_found| {
            let function = &started.function;
            Halt::new(
                HaltReason::Unregistered,
                None,
                format!("the function {function} {not_found}: the run is kept, and goes on when a program that has it once opens the store"),
            )
        })
    }

    fn adopt(self: &Arc<Self>, leaving: Leaving, registration: &'static Registration, loaded: Loaded) {
        let (engine, active) = (Arc::clone(self), Arc::clone(&leaving.active));
        let permits = Arc::clone(&self.permits);
        if let Some(started) = loaded.started() {
            active.identity.get_or_init(|| Identity::of(started));
        }
        active.phase.send_replace(Phase::Running);
        self.spawn(leaving, async move {
            // Beyond the limit, recovered runs wait for their turn instead of being refused.
            let _permit = permits.acquire_owned().await;
            engine.drive(&active, registration, loaded, true).await
        });
    }

    /// Lets a halted run, or one that this process could not continue, go on.
    pub(crate) async fn resume(self: &Arc<Self>, id: &RunId) -> Result<(), ResumeRefused> {
        let active = {
            let mut runs = self.active.lock();
            if self.stopping.load(Ordering::Acquire) {
                return Err(ResumeRefused::ShuttingDown);
            }
            if runs.contains_key(id) {
                return Err(ResumeRefused::Running);
            }
            let active = Active::new(id.clone());
            runs.insert(id.clone(), Arc::clone(&active));
            active
        };
        let engine = Arc::clone(self);
        let leaving = self.leaving(&active, Outcome::Stopped);
        self.to_the_end(async move {
            let (registration, loaded) = engine.prepare_resume(&active.id).await?;
            engine.stuck.lock().remove(&active.id);
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
            RunStatus::Completed | RunStatus::Failed => return Err(ResumeRefused::Finished(loaded.head.status)),
            RunStatus::Running => return Ok((registration, loaded)),
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
            clears: Vec::new(),
            status: RunStatus::Running,
        };
        let link = Arc::new(Link::default());
        self.committer.submit(append, &link);
        let length = link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => ResumeRefused::Store(error),
            CommitError::Refused(_) => ResumeRefused::Running,
            CommitError::Closed => ResumeRefused::ShuttingDown,
        })?;
        loaded.events.push(event);
        loaded.head.length = length;
        loaded.head.fence = fence;
        Ok((registration, loaded))
    }

    /// Deletes a run that is not in memory. `None` if it is.
    pub(crate) async fn delete(self: &Arc<Self>, id: &RunId) -> Option<Result<bool, StoreError>> {
        let active = {
            let mut runs = self.active.lock();
            if runs.contains_key(id) {
                return None;
            }
            // Nobody starts or resumes the run while it is being deleted.
            let active = Active::new(id.clone());
            runs.insert(id.clone(), Arc::clone(&active));
            active
        };
        let engine = Arc::clone(self);
        let leaving = self.leaving(&active, Outcome::Stopped);
        let deleted = self.to_the_end(async move {
            let run = active.id.clone();
            let deleted = engine.blocking(move |store| store.delete(&run)).await;
            if deleted.is_ok() {
                engine.stuck.lock().remove(&active.id);
            }
            drop(leaving);
            deleted
        });
        Some(deleted.await.unwrap_or_else(Err))
    }

    /// Does something in a task of its own: a caller that stops waiting for it must not leave a run behind in
    /// memory that nobody drives and for which everybody waits.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.tasks.spawn(work).await.map_err(|error| did_not_return(&error))
    }

    fn leaving(self: &Arc<Self>, active: &Arc<Active>, outcome: Outcome) -> Leaving {
        Leaving { engine: Arc::clone(self), active: Arc::clone(active), outcome }
    }

    fn spawn(&self, mut leaving: Leaving, work: impl Future<Output = Outcome> + Send + 'static) {
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
        active.phase.send_replace(Phase::Over(outcome));
        runs.remove(&active.id);
        drop(runs);
        self.left.notify_waiters();
    }

    /// Begins no further step and no further run.
    pub(crate) fn drain(&self) {
        let runs = self.active.lock();
        self.stopping.store(true, Ordering::Release);
        for active in runs.values() {
            active.control.drain();
        }
    }

    /// Stops all runs where they are, and returns how many there were.
    pub(crate) fn stop(&self) -> usize {
        let runs = self.active.lock();
        self.stopping.store(true, Ordering::Release);
        self.permits.close();
        for active in runs.values() {
            active.control.stop();
        }
        runs.len()
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
        let closing = self.tasks.spawn_blocking(move || {
            committer.close();
            drop(store.take());
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the store failed");
        }
    }
}

/// Takes a run out of memory when it is dropped; also when the task that has it is, because tokio's runtime ended.
#[derive(Debug)]
struct Leaving {
    engine: Arc<Engine>,
    active: Arc<Active>,
    outcome: Outcome,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.engine.leave(&self.active, self.outcome.clone());
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

fn shut_down() -> StoreError {
    StoreError::Broken { first: "the runtime was shut down".to_owned() }
}

fn did_not_return(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Broken { first: format!("a call of the store did not return: {error}") }
}

/// A recorded halt as it is shown.
pub(crate) fn halt_of(halted: &Halted) -> Halt {
    Halt::new(halted.reason, halted.step.clone(), halted.message.clone())
}

/// Reads and decodes a run.
fn load(store: &dyn Store, id: &RunId) -> Result<Option<Loaded>, StoreError> {
    let Some(stored) = store.read(id)? else { return Ok(None) };
    let mut events = Vec::with_capacity(stored.frames.len());
    for (frame, position) in stored.frames.iter().zip(0..) {
        let event = journal::decode(frame).map_err(|error| StoreError::Corrupt {
            run: id.clone(),
            position: Some(Position(position)),
            detail: error.to_string(),
        })?;
        events.push(event);
    }
    Ok(Some(Loaded { head: stored.head, events }))
}
