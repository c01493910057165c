//! Queues: who waits in them, and the task that lets the next one begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::active::{Active, Outcome};
use super::recovery::Loaded;
use super::runs::Engine;
use super::sleepers::{Becomes, write_failed};
use super::sound::decode_ends;
use crate::clock::{Clock, Timestamp};
use crate::context::Origin;
use crate::id::{Position, RunId};
use crate::journal::{Queued, Started};
use crate::queue::{Next, Places, Queue, QueueStats};
use crate::schedule::is_of_schedule;
use crate::store::{RunStatus, Store, StoreError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How many runs are looked at in one go when the store was opened.
const PAGE: usize = 1_000;

/// How long to wait before a store that could not be read is asked again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// The queues of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    places: Mutex<Places>,
    /// Until all runs of the store are known: those that have ended since it was opened.
    ended: Mutex<Option<BTreeSet<RunId>>>,
    /// Runs that were due when the store was opened, and wait for their schedule.
    not_admitted: Mutex<BTreeMap<String, Vec<RunId>>>,
    is_begun: AtomicBool,
    is_open: AtomicBool,
    opened: Notify,
    changed: Notify,
}

impl Queues {
    /// Before anything else.
    pub(crate) fn declare(&self, queues: Vec<Queue>) {
        self.places.lock().declare(queues);
        *self.ended.lock() = Some(BTreeSet::new());
    }

    pub(crate) fn stats(&self, queue: &str) -> Option<QueueStats> {
        let (waiting, begun) = self.places.lock().count(queue)?;
        Some(QueueStats { waiting, begun, is_open: self.is_open.load(Ordering::Acquire) })
    }

    /// The names of all, unless this is one of them.
    pub(super) fn others_than(&self, queue: &str) -> Option<Vec<String>> {
        let places = self.places.lock();
        let is_unknown = places.count(queue).is_none();
        is_unknown.then(|| places.names().filter(|name| !is_of_schedule(name)).map(str::to_owned).collect())
    }

    /// A run is to be recorded that will wait at once. How many may wait, if that is one too many.
    pub(super) fn promise(&self, run: &RunId, queued: &Queued) -> Result<(), usize> {
        self.places.lock().promise(run, queued)
    }

    /// The run waits for its turn.
    pub(super) fn wait(&self, run: &RunId, started: &Started) {
        if let Some(queued) = &started.queue {
            self.places.lock().wait(run, queued, started.at);
            self.changed.notify_one();
        }
    }

    /// The run waits for its turn, and need not be asked for by its schedule any more.
    pub(super) fn admit(&self, run: &RunId, started: &Started) {
        if let Some(queued) = &started.queue {
            self.places.lock().admit(run, queued, started.at);
            self.changed.notify_one();
        }
    }

    /// The runs of a queue that wait, and those that have begun.
    pub(super) fn of(&self, queue: &str) -> (Vec<RunId>, Vec<RunId>) {
        self.places.lock().of(queue)
    }

    /// Whether the run has a place in this queue.
    pub(super) fn has_place(&self, run: &str, queue: &str) -> bool {
        RunId::new(run).is_ok_and(|run| self.places.lock().has_place(&run, queue))
    }

    /// Whether the run has a place.
    pub(super) fn has_begun(&self, run: &RunId) -> bool {
        self.places.lock().has_begun(run)
    }

    /// The run goes on, and has its place.
    pub(super) fn begin(&self, run: &RunId, started: &Started) {
        if let Some(queued) = &started.queue {
            self.places.lock().begin(run, queued);
        }
    }

    /// The run has ended, is halted, or was not recorded.
    pub(super) fn end(&self, run: &RunId) {
        if let Some(ended) = &mut *self.ended.lock() {
            ended.insert(run.clone());
        }
        self.places.lock().end(run);
        self.changed.notify_one();
    }

    /// What the store had of a run when it was read. What is known already is newer.
    fn learn(&self, run: &RunId, started: &Started, has_begun: bool, now: Timestamp) {
        let Some(queued) = &started.queue else { return };
        let ended = self.ended.lock();
        let mut places = self.places.lock();
        if places.knows(run) || ended.as_ref().is_some_and(|ended| ended.contains(run)) {
            return;
        }
        if has_begun {
            places.begin(run, queued);
        } else if started.not_before.is_none_or(|due| due <= now.0) {
            places.wait(run, queued, started.at);
            if !places.knows(run) {
                self.not_admitted.lock().entry(queued.name.to_string()).or_default().push(run.clone());
            }
        }
    }

    /// The runs of a queue that were due when the store was opened, and wait for their schedule.
    pub(super) fn not_admitted(&self, queue: &str) -> Vec<RunId> {
        self.not_admitted.lock().remove(queue).unwrap_or_default()
    }

    /// A start has found the run in the store, where it was before: what it promised is as that says.
    pub(super) fn found(&self, loaded: &Loaded, now: Timestamp) {
        let run = &loaded.head.run;
        self.places.lock().retract(run);
        let Some(started) = loaded.started().filter(|_| loaded.head.status.is_unfinished()) else { return };
        if loaded.has_begun() {
            self.begin(run, started);
        } else if started.not_before.is_none_or(|due| due <= now.0) {
            self.wait(run, started);
        }
    }

    /// The runtime stops.
    pub(super) fn stop(&self) {
        self.changed.notify_one();
        self.opened.notify_waiters();
    }
}

impl Engine {
    /// Begins to let runs begin that wait in queues, unless that was begun, if there are queues.
    pub(super) fn watch_queues(self: &Arc<Self>) {
        if !self.queues.places.lock().is_empty() && !self.queues.is_begun.swap(true, Ordering::AcqRel) {
            let (queues, clock) = (Arc::clone(&self.queues), Arc::clone(&self.environment.clock));
            self.tasks.spawn(watch(Arc::downgrade(self), queues, clock));
        }
    }

    /// Lets a run that has not begun wait for its turn, if it is its turn for which it waits and not its time.
    pub(super) fn wait_in_queue(&self, loaded: &Loaded) {
        let now = self.environment.clock.now();
        if let Some(started) = loaded.started().filter(|_| !loaded.has_begun())
            && started.not_before.is_none_or(|due| due <= now.0)
        {
            self.queues.wait(&loaded.head.run, started);
        }
    }

    /// Takes in all runs of queues that are in the store, page by page.
    async fn open_queues(self: &Arc<Self>) -> Result<(), StoreError> {
        for status in [RunStatus::Running, RunStatus::Suspended] {
            let mut after = None::<RunId>;
            loop {
                let (engine, from) = (Arc::clone(self), after.take());
                after = self.blocking(move |store| engine.learn_page(store, status, from.as_ref())).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        let now = self.environment.clock.now();
        self.queues.places.lock().open(now);
        *self.queues.ended.lock() = None;
        self.queues.is_open.store(true, Ordering::Release);
        self.queues.opened.notify_waiters();
        Ok(())
    }

    /// Waits until all runs of queues are known, or the runtime stops.
    pub(super) async fn queues_opened(&self) {
        loop {
            let opened = std::pin::pin!(self.queues.opened.notified());
            let mut opened = opened;
            opened.as_mut().enable();
            if self.queues.is_open.load(Ordering::Acquire) || self.stopping.load(Ordering::Acquire) {
                return;
            }
            opened.await;
        }
    }

    /// The last run of a page, if more follow.
    fn learn_page(
        &self,
        store: &dyn Store,
        status: RunStatus,
        after: Option<&RunId>,
    ) -> Result<Option<RunId>, StoreError> {
        let now = self.environment.clock.now();
        let heads = store.list(Some(status), after, PAGE)?;
        for head in &heads {
            let ends = match store.ends(&head.run) {
                Ok(ends) => ends,
                Err(StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            let Some(ends) = ends.and_then(|ends| decode_ends(ends).ok()) else { continue };
            if ends.started.queue.is_none() || !ends.head.status.is_unfinished() {
                continue;
            }
            // Whether it has begun, only its second record tells, or a later one.
            let loaded = match super::load(store, &head.run) {
                Ok(loaded) => loaded,
                Err(StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            if let Some(loaded) = loaded.filter(|loaded| loaded.head.status.is_unfinished()) {
                self.queues.learn(&head.run, &ends.started, loaded.has_begun(), now);
            }
        }
        Ok(heads.last().filter(|_| heads.len() == PAGE).map(|last| last.run.clone()))
    }

    /// Begins a run that was given its place, if it waits for that. `None` if it does not.
    pub(super) async fn begin_in_queue(self: &Arc<Self>, active: &Arc<Active>, loaded: &mut Loaded) -> Option<Outcome> {
        let waits = loaded.head.status == RunStatus::Suspended && !loaded.has_begun();
        if !waits || !self.queues.has_begun(&active.id) {
            return None;
        }
        // Before it is recorded that it begins: one that this program can't continue waits for one that can.
        let registration = match self.code_of(loaded) {
            Ok(registration) => registration,
            Err(halt) => return Some(Outcome::Halted(halt)),
        };
        // Its time, if it had one, has come.
        if let Err(error) = self.write_woken(loaded, Becomes::Begun, &[Position(0)]).await {
            return Some(write_failed(error));
        }
        let other = Self::other_code(loaded, registration);
        let events = std::mem::take(&mut loaded.events);
        let loaded = Loaded { head: loaded.head.clone(), events, winds_up: false };
        Some(self.drive(active, registration, loaded, Origin::Woken(other, Arc::default())).await)
    }
}

async fn watch(engine: Weak<Engine>, queues: Arc<Queues>, clock: Arc<dyn Clock>) {
    while !queues.is_open.load(Ordering::Acquire) {
        match engine.upgrade() {
            Some(engine) if !engine.stopping.load(Ordering::Acquire) => match engine.open_queues().await {
                Ok(()) => break,
                Err(_) if engine.stopping.load(Ordering::Acquire) => return,
                Err(error) => tracing::error!(%error, "the store could not tell which runs wait in queues"),
            },
            _ => return,
        }
        let changed = std::pin::pin!(queues.changed.notified());
        drop(futures::future::select(changed, clock.sleep_until(clock.now().after(PAUSE))).await);
    }
    loop {
        let next = match engine.upgrade() {
            Some(engine) if !engine.stopping.load(Ordering::Acquire) => {
                let next = queues.places.lock().next(clock.now());
                if let Next::Begin(run) = &next {
                    engine.wait_for_place(run.clone());
                }
                next
            }
            _ => return,
        };
        let changed = std::pin::pin!(queues.changed.notified());
        match next {
            Next::Begin(_) => {}
            Next::At(due) => drop(futures::future::select(changed, clock.sleep_until(due)).await),
            Next::Nothing => changed.await,
        }
    }
}
