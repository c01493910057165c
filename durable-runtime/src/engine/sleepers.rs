//! Runs that wait in the store, and the task that wakes them when their time comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::active::{Active, Identity, Outcome, Phase};
use super::committer::{CommitError, Link};
use super::recovery::Loaded;
use super::registry::Registration;
use super::runs::{Engine, Leaving, Watched};
use crate::clock::{Clock, Timestamp};
use crate::context::Origin;
use crate::halt::{Halt, HaltReason};
use crate::id::{Position, RunId};
use crate::journal::{self, CodeId, Event, Started};
use crate::store::{Append, DueTimer, Record, RunStatus, StoreError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How many timers that are due are looked at in one go.
const BATCH: usize = 256;

/// How long to wait before a store that could not tell what is due is asked again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What the task that wakes suspended runs is told by others.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    /// Whether there is such a task.
    watched: AtomicBool,
    /// Whether it may have passed over a run that was due, because somebody had it.
    passed_over: AtomicBool,
    /// The runs that were suspended since it began to look: it may have read before that what they have seen since. `None`
    /// if it does not look.
    suspended: Mutex<Option<BTreeSet<RunId>>>,
    /// When it will look by itself.
    next: Mutex<Option<Timestamp>>,
    changed: Notify,
}

impl Sleepers {
    /// Whether suspended runs are woken. If not, no run may be suspended.
    pub(super) fn are_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// A run is suspended, before anybody can take it. It is to be woken then, if that is known.
    pub(super) fn add(&self, id: &RunId, due: Option<Timestamp>) {
        if let Some(suspended) = &mut *self.suspended.lock() {
            suspended.insert(id.clone());
        }
        if due.is_some_and(|due| self.next.lock().is_none_or(|next| due < next)) {
            self.changed.notify_one();
        }
        // Something else of it may be due already, that a crash has left behind.
        self.let_go();
    }

    /// The task begins to look.
    fn look(&self) {
        *self.suspended.lock() = Some(BTreeSet::new());
    }

    /// The task does not look any more.
    fn looked(&self) {
        *self.suspended.lock() = None;
    }

    /// Whether the run was suspended since the task began to look.
    fn was_suspended_since(&self, id: &RunId) -> bool {
        self.suspended.lock().as_ref().is_some_and(|suspended| suspended.contains(id))
    }

    /// Nobody has a run any more that somebody had, or it is not suspended any more.
    pub(super) fn let_go(&self) {
        if self.passed_over.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
    }

    /// The runtime stops.
    pub(super) fn stop(&self) {
        self.changed.notify_one();
    }
}

/// What is to be done when timers were looked at.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Look again.
    Now,
    /// Look again then, or when something has changed.
    At(Timestamp),
    /// Look again when something has changed.
    Changed,
    /// The runtime stops.
    Never,
}

/// What came of looking at timers that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// Some run was woken, or is to be looked at again.
    Woken,
    /// None was, and somebody has one of them, who tells when that is over.
    PassedOver,
    /// There are none, or none that can go on.
    Stuck,
    /// The runtime stops.
    Stops,
}

/// What becomes of a run that is woken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Becomes {
    Running,
    /// It was to begin later, and does.
    Begun,
    /// It is to begin then, and not yet; or in its turn.
    Suspended(Option<Timestamp>),
}

impl Engine {
    /// Begins to wake suspended runs, unless that was begun.
    pub(super) fn watch_sleepers(self: &Arc<Self>) {
        if !self.sleepers.watched.swap(true, Ordering::AcqRel) {
            let (sleepers, clock) = (Arc::clone(&self.sleepers), Arc::clone(&self.environment.clock));
            self.tasks.spawn(watch(Arc::downgrade(self), sleepers, clock));
        }
    }

    /// Keeps a run among the active ones for whoever waits for its end, if it was suspended when it was loaded and still
    /// is.
    pub(crate) async fn watch_suspended(self: &Arc<Self>, loaded: &Loaded) -> Result<Option<Watched>, StoreError> {
        let is_kept = self.sleepers.are_watched() || !loaded.has_begun();
        if loaded.head.status != RunStatus::Suspended || !is_kept {
            return Ok(None);
        }
        let Some(mut leaving) = self.take(&loaded.head.run) else { return Ok(None) };
        let watched = Watched::new(&leaving.active);
        // Others may watch it, too, also if the caller waits no longer.
        leaving.outcome = Outcome::Suspended { due: None };
        // Nobody else changes it from here on.
        let loaded = self.load(&loaded.head.run).await?;
        if loaded.is_some_and(|loaded| self.suspended(&leaving.active, &loaded).is_some()) {
            return Ok(Some(watched));
        }
        leaving.outcome = Outcome::Stopped;
        Ok(None)
    }

    /// What becomes of an active run that turns out to be suspended: nothing, before what it waits for comes.
    pub(super) fn suspended(&self, active: &Active, loaded: &Loaded) -> Option<Outcome> {
        let is_suspended = loaded.head.status == RunStatus::Suspended || self.waits_for_place(&active.id);
        let is_suspended = is_suspended && self.stuck(&active.id).is_none();
        let started = loaded.started().filter(|_| is_suspended)?;
        active.identity.get_or_init(|| Identity::of(started));
        Some(Outcome::Suspended { due: None })
    }

    /// Whether a run that is not in memory is to be driven: not a suspended one, which is woken when its time comes.
    pub(super) fn is_to_go_on(&self, loaded: &Loaded) -> bool {
        match loaded.head.status {
            RunStatus::Running => true,
            RunStatus::Suspended => !self.sleepers.are_watched() && loaded.has_begun(),
            RunStatus::Halted | RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => false,
        }
    }

    /// Wakes those whose time has come.
    async fn wake_due(self: &Arc<Self>) -> Next {
        let mut limit = BATCH;
        loop {
            self.sleepers.look();
            let now = self.environment.clock.now();
            let timers = match self.blocking(move |store| store.due(now, limit)).await {
                Ok(timers) => timers,
                Err(error) => {
                    self.sleepers.looked();
                    return self.look_later(&error);
                }
            };
            let count = timers.len();
            let looked = self.wake_some(timers).await;
            self.sleepers.looked();
            match looked {
                Looked::Woken => return Next::Now,
                Looked::Stops => return Next::Never,
                Looked::PassedOver => return self.next_due(now, count).await,
                Looked::Stuck if count < limit => return self.next_due(now, count).await,
                // Those behind them must not wait for them.
                Looked::Stuck => limit *= 2,
            }
        }
    }

    /// When the first timer is due that was not yet, of which so many were.
    async fn next_due(&self, now: Timestamp, count: usize) -> Next {
        match self.blocking(move |store| store.due(Timestamp(u64::MAX), count + 1)).await {
            Ok(timers) => {
                let later = timers.into_iter().find(|timer| timer.due > now);
                later.map_or(Next::Changed, |timer| Next::At(timer.due))
            }
            Err(error) => self.look_later(&error),
        }
    }

    fn look_later(&self, error: &StoreError) -> Next {
        if self.stopping.load(Ordering::Acquire) {
            return Next::Never;
        }
        tracing::error!(%error, "the store could not tell which suspended runs are due");
        Next::At(self.environment.clock.now().after(PAUSE))
    }

    /// Wakes the runs of timers that are due.
    async fn wake_some(self: &Arc<Self>, timers: Vec<DueTimer>) -> Looked {
        self.sleepers.passed_over.store(false, Ordering::Release);
        let mut looked = Looked::Stuck;
        let mut dues: BTreeMap<RunId, Vec<Position>> = BTreeMap::new();
        for timer in &timers {
            dues.entry(timer.run.clone()).or_default().push(timer.position);
        }
        for timer in timers {
            // One that can't go on is not tried again and again.
            let Some(dues) = dues.remove(&timer.run).filter(|_| self.stuck(&timer.run).is_none()) else { continue };
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Looked::Stops };
            // Before it is tried, so that whoever has it tells us.
            self.sleepers.passed_over.store(true, Ordering::Release);
            if let Some(mut leaving) = self.take(&timer.run) {
                looked = Looked::Woken;
                if self.sleepers.was_suspended_since(&timer.run) {
                    // It may have seen what is due, and cleared it.
                    leaving.outcome = Outcome::Suspended { due: None };
                    continue;
                }
                let engine = Arc::clone(self);
                let active = Arc::clone(&leaving.active);
                self.spawn(leaving, async move {
                    let _permit = permit;
                    engine.wake(&active, dues.into()).await
                });
            } else if looked == Looked::Stuck {
                looked = Looked::PassedOver;
            }
        }
        looked
    }

    /// Records that a suspended run has work to do, because of the records that are due, and drives it.
    async fn wake(self: &Arc<Self>, active: &Arc<Active>, dues: Arc<[Position]>) -> Outcome {
        let id = active.id.clone();
        match self.blocking(move |store| store.head(&id)).await {
            Ok(Some(head)) if head.status == RunStatus::Suspended => {}
            Ok(_) => return Outcome::Stopped,
            Err(error) => return of_store(&error),
        }
        let mut loaded = match self.load(&active.id).await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Outcome::Stopped,
            Err(error) => return of_store(&error),
        };
        let its_time = |started: &Started| (started.not_before, started.queue.is_some());
        let becomes = match loaded.started().map(its_time).filter(|_| !loaded.has_begun()) {
            None => Becomes::Running,
            Some((Some(_), false)) if dues.contains(&Position(0)) => Becomes::Begun,
            // Its time has come, and it waits for its turn.
            Some((Some(_), true)) if dues.contains(&Position(0)) => Becomes::Suspended(None),
            // By a timer that no record of it asks for.
            Some((due, _)) => Becomes::Suspended(due.map(Timestamp)),
        };
        fail_point!("sleepers.wake.unwritten");
        // Before anything of it runs: should that take the process down, the run is recovered, and the deaths are
        // counted (R12).
        match self.write_woken(&mut loaded, becomes, &dues).await {
            Ok(()) => {}
            Err(error) => return write_failed(error),
        }
        fail_point!("sleepers.wake.durable");
        if let Becomes::Suspended(due) = becomes {
            if due.is_none() {
                self.wait_in_queue(&loaded);
            }
            return Outcome::Suspended { due };
        }
        self.sleepers.let_go();
        match self.code_of(&loaded) {
            Ok(registration) => {
                let other = Self::other_code(&loaded, registration);
                self.drive(active, registration, loaded, Origin::Woken(other, dues)).await
            }
            Err(halt) => Outcome::Halted(halt),
        }
    }

    /// The code by which a run goes on, if it is another one than it went on by last.
    pub(super) fn other_code(loaded: &Loaded, registration: &Registration) -> Option<CodeId> {
        let code = CodeId { version: registration.version, fingerprint: registration.fingerprint };
        (last_code(&loaded.events) != Some(code)).then_some(code)
    }

    /// Records what becomes of a run that was woken, also in what is known of it here.
    pub(super) async fn write_woken(
        &self,
        loaded: &mut Loaded,
        becomes: Becomes,
        dues: &[Position],
    ) -> Result<(), CommitError> {
        let begun = match becomes {
            Becomes::Begun => {
                let at = self.environment.clock.now().0;
                let deadline = loaded.started().and_then(|started| started.deadline(at));
                Some(Event::Begun { at, deadline })
            }
            Becomes::Running | Becomes::Suspended(_) => None,
        };
        let frame = begun.as_ref().map(journal::encode).transpose();
        let frame = frame.map_err(|error| CommitError::Store(StoreError::Broken { first: error.to_string() }))?;
        let fence = loaded.head.fence.next();
        let append = Append {
            run: loaded.head.run.clone(),
            expected: loaded.head.length,
            fence,
            records: frame
                .into_iter()
                .map(|frame| Record { frame, due: begun.as_ref().and_then(Event::due) })
                .collect(),
            replaces: false,
            // A run that goes on clears what it has seen with its next record.
            clears: if let Becomes::Running = becomes { Vec::new() } else { dues.to_vec() },
            status: if let Becomes::Suspended(_) = becomes { RunStatus::Suspended } else { RunStatus::Running },
        };
        let link = Arc::new(Link::default());
        self.committer.submit(append, &link);
        loaded.head.length = link.wait().await?;
        loaded.head.fence = fence;
        loaded.events.extend(begun);
        Ok(())
    }

    /// Takes a run that nobody has in memory, for the caller alone. `None` if somebody has, or the runtime stops.
    pub(super) fn take(self: &Arc<Self>, id: &RunId) -> Option<Leaving> {
        let mut runs = self.active.lock();
        if self.stopping.load(Ordering::Acquire) {
            return None;
        }
        let active = match runs.get(id) {
            Some(active) if active.is_suspended() => Arc::clone(active),
            Some(_) => return None,
            None => {
                let active = Active::new(id.clone());
                runs.insert(id.clone(), Arc::clone(&active));
                active
            }
        };
        if active.is_suspended() {
            active.phase.send_replace(Phase::Running);
        }
        drop(runs);
        Some(self.leaving(&active, Outcome::Stopped))
    }
}

/// What becomes, here, of a run that could not be read or written.
pub(super) fn of_store(error: &StoreError) -> Outcome {
    let reason = if matches!(error, StoreError::Corrupt { .. }) { HaltReason::Corrupt } else { HaltReason::Storage };
    Outcome::Halted(Halt::new(reason, None, error.to_string()))
}

/// What becomes, here, of a run of which nothing could be written.
pub(super) fn write_failed(error: CommitError) -> Outcome {
    match error {
        CommitError::Store(error) => of_store(&error),
        CommitError::Refused(_) | CommitError::Closed => Outcome::Stopped,
    }
}

/// By which code a run went on last, as far as its journal says.
fn last_code(events: &[Event]) -> Option<CodeId> {
    events.iter().rev().find_map(|event| match event {
        Event::Started(started) => Some(CodeId { version: started.version, fingerprint: started.fingerprint }),
        Event::Recovered { code, .. } => *code,
        _ => None,
    })
}

async fn watch(engine: Weak<Engine>, sleepers: Arc<Sleepers>, clock: Arc<dyn Clock>) {
    loop {
        // Whoever is suspended while we look tells us.
        *sleepers.next.lock() = None;
        let next = match engine.upgrade() {
            Some(engine) if !engine.stopping.load(Ordering::Acquire) => engine.wake_due().await,
            _ => return,
        };
        let due = match next {
            Next::Now => continue,
            Next::At(due) => Some(due),
            Next::Changed => None,
            Next::Never => return,
        };
        *sleepers.next.lock() = due;
        let changed = std::pin::pin!(sleepers.changed.notified());
        match due {
            Some(due) => drop(futures::future::select(changed, clock.sleep_until(due)).await),
            None => changed.await,
        }
    }
}
