//! Schedules: each has its next run in the store, and the task that lets it begin, or leaves it out, when it is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::incoming::NotReceived;
use super::recovery::Loaded;
use super::runs::Engine;
use super::starting::{Begins, Particulars, Starting};
use crate::clock::{Clock, Timestamp};
use crate::error::StartError;
use crate::id::RunId;
use crate::journal::{Cancelled, Queued};
use crate::replay::Incoming;
use crate::schedule::{CATCH_UP_MAX, CatchUp, Decision, Schedule, due_of, run_id};
use crate::store::{Store, StoreError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What is found to be due longer ago than this, in milliseconds, was missed.
const LATE: u64 = 60_000;

/// How long to wait before something that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The schedules of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    all: Mutex<BTreeMap<String, Schedule>>,
    is_begun: AtomicBool,
    changed: Notify,
}

/// Why a schedule could not be looked after.
#[derive(Debug)]
enum NotTended {
    Stops,
    Failed(String),
}

impl From<StoreError> for NotTended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Schedules {
    /// Before anything else; of two of one name, the later one.
    pub(crate) fn declare(&self, schedules: Vec<Schedule>) {
        let named = schedules.into_iter().map(|schedule| (schedule.name.clone(), schedule));
        self.all.lock().extend(named);
    }

    /// The runtime stops.
    pub(super) fn stop(&self) {
        self.changed.notify_one();
    }
}

impl Engine {
    /// Begins to look after the schedules, unless that was begun, if there are any.
    pub(super) fn watch_schedules(self: &Arc<Self>) {
        if !self.schedules.all.lock().is_empty() && !self.schedules.is_begun.swap(true, Ordering::AcqRel) {
            let clock = Arc::clone(&self.environment.clock);
            let opened = clock.now();
            self.tasks.spawn(watch(Arc::downgrade(self), Arc::clone(&self.schedules), clock, opened));
        }
    }

    /// Does what a schedule has due, and records its next run. When that is due, if there is one.
    async fn tend(self: &Arc<Self>, schedule: &Schedule, opened: Timestamp) -> Result<Option<Timestamp>, NotTended> {
        let now = self.environment.clock.now();
        let Some(newest) = self.newest_of(schedule).await? else {
            return self.record_next(schedule, opened).await;
        };
        self.admit_again(schedule, newest).await?;
        let waiting = self.waiting(schedule, newest).await?;
        let is_its_time = schedule.cron.next_after(Timestamp(newest.0.saturating_sub(1))) == Some(newest);
        if waiting && !is_its_time {
            self.leave_out(schedule, newest, "the schedule is another one now").await?;
            return self.record_next(schedule, now).await;
        }
        if newest > now {
            return Ok(Some(newest));
        }
        // If it waits, it is one of those that are due.
        let from = if waiting { Timestamp(newest.0.saturating_sub(1)) } else { newest };
        let due = due_now(schedule, from, opened, now);
        if waiting && !due.contains(&newest) {
            self.leave_out(schedule, newest, "no process was there when it was due").await?;
        }
        for due in due {
            self.let_begin(schedule, due).await?;
        }
        self.record_next(schedule, now).await
    }

    /// The time of the newest run of a schedule that is in the store. Ids are in the order of times, so that is found by halving.
    async fn newest_of(&self, schedule: &Schedule) -> Result<Option<Timestamp>, NotTended> {
        let name = schedule.name.clone();
        let newest = self.blocking(move |store| {
            let Some(mut newest) = first_behind(store, &name, &format!("{name}@"))? else { return Ok(None) };
            // It is `newest`, or between that and `end`, which is halved each time.
            let mut end = 253_402_207_200;
            while newest < end {
                let middle = newest.midpoint(end);
                match first_behind(store, &name, &run_id(&name, Timestamp(middle * 1_000)))? {
                    Some(found) => newest = found,
                    None => end = middle,
                }
            }
            Ok(Some(Timestamp(newest * 1_000)))
        });
        Ok(newest.await?)
    }

    /// Whether the run of that time has not begun, and can.
    async fn waiting(&self, schedule: &Schedule, due: Timestamp) -> Result<bool, NotTended> {
        let Ok(run) = RunId::new(run_id(&schedule.name, due)) else { return Ok(false) };
        match self.load(&run).await {
            Ok(loaded) => Ok(loaded.is_some_and(|loaded| loaded.head.status.is_unfinished() && !loaded.has_begun())
                && !self.queues.has_begun(&run)),
            // It can't begin.
            Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Records the first run that is due after this.
    async fn record_next(
        self: &Arc<Self>,
        schedule: &Schedule,
        after: Timestamp,
    ) -> Result<Option<Timestamp>, NotTended> {
        let next = schedule.cron.next_after(after);
        if let Some(next) = next {
            self.record_run(schedule, next).await?;
        }
        Ok(next)
    }

    /// Records the run of that time, unless it is.
    async fn record_run(self: &Arc<Self>, schedule: &Schedule, due: Timestamp) -> Result<RunId, NotTended> {
        let run = RunId::new(run_id(&schedule.name, due)).map_err(|error| NotTended::Failed(error.to_string()))?;
        // As it was recorded, also if the program says something else by now.
        if self.load(&run).await?.is_some() {
            return Ok(run);
        }
        let registration = self
            .registry
            .get(schedule.function)
            .map_err(|not_found| NotTended::Failed(format!("the function {} {not_found}", schedule.function)))?;
        let (codec, bytes_max) = (self.environment.codec, self.environment.limits.payload_bytes);
        let (input, input_digest) = (schedule.input)(due, codec, bytes_max)
            .map_err(|error| NotTended::Failed(format!("its input for {run} can't be recorded: {error}")))?;
        let queue = Some(Queued { name: schedule.queue().name().to_owned().into(), priority: 0, key: None });
        let particulars = Particulars { queue, begins: Begins::NotBefore(due), ..Particulars::default() };
        let starting = Starting { input: input.clone(), input_digest, particulars };
        loop {
            let failed = |error: StartError| match error {
                StartError::ShuttingDown { .. } => NotTended::Stops,
                error => NotTended::Failed(error.to_string()),
            };
            let watched = self.start(run.clone(), registration, &starting).map_err(failed)?;
            let known = watched.active.attached(schedule.function, Some((&input, input_digest))).await;
            if known.map_err(failed)? {
                return Ok(run);
            }
        }
    }

    /// The run of that time is due.
    async fn let_begin(self: &Arc<Self>, schedule: &Schedule, due: Timestamp) -> Result<(), NotTended> {
        let run = self.record_run(schedule, due).await?;
        let Some(loaded) = self.load(&run).await? else { return Ok(()) };
        if !loaded.head.status.is_unfinished() || loaded.has_begun() {
            return Ok(());
        }
        let (waiting, begun) = self.queues.of(schedule.queue().name());
        if waiting.contains(&run) || begun.contains(&run) {
            return Ok(());
        }
        match schedule.overlap.decide(!begun.is_empty(), !waiting.is_empty()) {
            Decision::Begin | Decision::Wait => {}
            Decision::Skip => {
                return self.leave_out(schedule, due, "the run before it had not ended").await;
            }
            Decision::CancelPrevious => {
                for other in waiting.iter().chain(&begun) {
                    self.cancel_scheduled(other, &format!("{run} is due, and takes its place")).await?;
                }
            }
        }
        self.admit(&loaded);
        Ok(())
    }

    /// When the store was opened: runs that wait though a later one is recorded were told to wait for the one before them.
    async fn admit_again(&self, schedule: &Schedule, newest: Timestamp) -> Result<(), NotTended> {
        for run in self.queues.not_admitted(schedule.queue().name()) {
            if due_of(run.as_str()).is_none_or(|(_, due)| due >= newest) {
                continue;
            }
            match self.load(&run).await {
                Ok(Some(loaded)) if loaded.head.status.is_unfinished() && !loaded.has_begun() => self.admit(&loaded),
                Ok(_) | Err(StoreError::Corrupt { .. }) => {}
                // They are found again when the store is opened the next time.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn admit(&self, loaded: &Loaded) {
        if let Some(started) = loaded.started() {
            self.queues.admit(&loaded.head.run, started);
        }
    }

    /// The run of that time is never to begin.
    async fn leave_out(self: &Arc<Self>, schedule: &Schedule, due: Timestamp, why: &str) -> Result<(), NotTended> {
        let run = self.record_run(schedule, due).await?;
        tracing::info!(%run, why, "a scheduled run is left out");
        self.cancel_scheduled(&run, &format!("left out: {why}")).await
    }

    async fn cancel_scheduled(self: &Arc<Self>, run: &RunId, reason: &str) -> Result<(), NotTended> {
        let at = self.environment.clock.now().0;
        match self.send(run, &Incoming::Cancel(Cancelled { reason: reason.to_owned(), at })).await {
            Ok(_) | Err(NotReceived::Unknown | NotReceived::Finished(_)) => Ok(()),
            Err(NotReceived::ShuttingDown) => Err(NotTended::Stops),
            Err(NotReceived::Store(error)) => Err(error.into()),
        }
    }
}

/// Of the times after `from` up to now, those whose runs are to begin: what was missed by the policy, and what is due now.
fn due_now(schedule: &Schedule, from: Timestamp, opened: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    // From here on the process was there.
    let there = opened.max(Timestamp(now.0.saturating_sub(LATE)));
    let before = Timestamp(there.0.saturating_sub(1)).max(from);
    let mut due = schedule.catch_up.missed(&schedule.cron, from, before);
    due.extend(CatchUp::All { at_most: CATCH_UP_MAX }.missed(&schedule.cron, before, now));
    due
}

/// The second at which the first run of the schedule behind this id is due, if there is one.
fn first_behind(store: &dyn Store, schedule: &str, id: &str) -> Result<Option<u64>, StoreError> {
    let Ok(mut after) = RunId::new(id) else { return Ok(None) };
    loop {
        let Some(head) = store.list(None, Some(&after), 1)?.pop() else { return Ok(None) };
        if !head.run.as_str().strip_prefix(schedule).is_some_and(|rest| rest.starts_with('@')) {
            return Ok(None);
        }
        match due_of(head.run.as_str()) {
            Some((name, due)) if name == schedule => return Ok(Some(due.0 / 1_000)),
            // Somebody else's, which only begins like one.
            _ => after = head.run,
        }
    }
}

async fn watch(engine: Weak<Engine>, schedules: Arc<Schedules>, clock: Arc<dyn Clock>, opened: Timestamp) {
    loop {
        let mut next = None::<Timestamp>;
        match engine.upgrade() {
            Some(engine) if !engine.stopping.load(Ordering::Acquire) => {
                // Which of its runs have begun must be known.
                engine.queues_opened().await;
                let all: Vec<Schedule> = schedules.all.lock().values().cloned().collect();
                for schedule in all {
                    let due = match engine.tend(&schedule, opened).await {
                        Ok(due) => due,
                        Err(NotTended::Stops) => return,
                        Err(NotTended::Failed(error)) => {
                            if engine.stopping.load(Ordering::Acquire) {
                                return;
                            }
                            tracing::error!(schedule = schedule.name, error, "a schedule could not be looked after");
                            Some(clock.now().after(PAUSE))
                        }
                    };
                    next = next.into_iter().chain(due).min();
                }
            }
            _ => return,
        }
        let changed = std::pin::pin!(schedules.changed.notified());
        match next {
            Some(due) => drop(futures::future::select(changed, clock.sleep_until(due)).await),
            None => changed.await,
        }
    }
}
