//! Starting runs: with what, and their first records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::active::{Active, Outcome};
use super::committer::Link;
use super::registry::Registration;
use super::runs::{Engine, Leaving, Watched};
use crate::clock::Timestamp;
use crate::error::StartError;
use crate::halt::{Halt, HaltReason};
use crate::id::{Fence, Position, RunId};
use crate::journal::{self, Event, Parent, Queued, Started, Text};
use crate::payload::Payload;
use crate::store::{Append, Record, RunStatus, StoreError};
use crate::sync::atomic::Ordering;

/// What whoever starts a run gives. All of it is recorded; only function and input tell one start from another (R1).
#[derive(Debug, Clone)]
pub(crate) struct Starting {
    pub(crate) input: Payload,
    pub(crate) input_digest: u64,
    pub(crate) particulars: Particulars,
}

/// What is said of a run besides its function and its input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Particulars {
    pub(crate) tags: BTreeMap<Text, Text>,
    /// `None`: the run's own id.
    pub(crate) correlation: Option<Text>,
    /// The run that starts it, if a run does.
    pub(crate) parent: Option<Parent>,
    pub(crate) begins: Begins,
    /// Where it waits for its turn, if it does.
    pub(crate) queue: Option<Queued>,
    /// How long it may take from its beginning to its end.
    pub(crate) timeout: Option<Duration>,
}

/// When a run is to begin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Begins {
    #[default]
    AtOnce,
    /// So long after it is started.
    After(Duration),
    NotBefore(Timestamp),
}

/// A run whose first record is on its way.
struct Beginning {
    leaving: Leaving,
    /// `None` if it has to wait for its place.
    permit: Option<OwnedSemaphorePermit>,
    registration: &'static Registration,
    event: Event,
    link: Arc<Link>,
}

impl Engine {
    /// Starts a run, or finds the one that has the id (R1). The caller then waits for [`Active::attached`].
    pub(crate) fn start(
        self: &Arc<Self>,
        id: RunId,
        registration: &'static Registration,
        starting: &Starting,
    ) -> Result<Watched, StartError> {
        let (watched, begins) = self.enlist(id, registration, starting)?;
        if let Some((append, beginning)) = begins {
            self.record(vec![append], vec![beginning]);
        }
        Ok(watched)
    }

    /// Like [`start`](Self::start) for each, in order, with one commit for all that are new.
    pub(crate) fn start_all<'a>(
        self: &Arc<Self>,
        registration: &'static Registration,
        runs: impl IntoIterator<Item = (&'a RunId, &'a Starting)>,
    ) -> Vec<Result<Watched, StartError>> {
        let (mut appends, mut beginnings) = (Vec::new(), Vec::new());
        let started = runs.into_iter().map(|(id, starting)| {
            let (watched, begins) = self.enlist(id.clone(), registration, starting)?;
            if let Some((append, beginning)) = begins {
                appends.push(append);
                beginnings.push(beginning);
            }
            Ok(watched)
        });
        let started = started.collect();
        if !appends.is_empty() {
            self.record(appends, beginnings);
        }
        started
    }

    /// Hands the first records over, and lets each run go on when its own is durable.
    fn record(self: &Arc<Self>, appends: Vec<Append>, beginnings: Vec<Beginning>) {
        let links = beginnings.iter().map(|beginning| Arc::clone(&beginning.link));
        let appends = appends.into_iter().zip(links).collect();
        fail_point!("run.start.unsubmitted");
        self.committer.submit_all(appends);
        for Beginning { leaving, permit, registration, event, link } in beginnings {
            let (engine, active) = (Arc::clone(self), Arc::clone(&leaving.active));
            self.spawn(leaving, async move {
                let has_place = permit.is_some();
                let _permit = permit;
                engine.begin(&active, registration, event, &link, has_place).await
            });
        }
    }

    /// Makes the run one of the active ones, unless it is: what is to be recorded of it.
    fn enlist(
        self: &Arc<Self>,
        id: RunId,
        registration: &'static Registration,
        starting: &Starting,
    ) -> Result<(Watched, Option<(Append, Beginning)>), StartError> {
        let mut runs = self.active.lock();
        if let Some(active) = runs.get(&id) {
            return Ok((Watched::new(active), None));
        }
        // Checked under the lock that shutting down takes: no run slips in behind it.
        if self.stopping.load(Ordering::Acquire) {
            return Err(StartError::ShuttingDown { run: id });
        }
        let particulars = &starting.particulars;
        if let Some(queued) = &particulars.queue {
            if let Some(known) = self.queues.others_than(&queued.name) {
                return Err(StartError::NoSuchQueue { run: id, queue: queued.name.to_string(), known });
            }
            // One that waits for its time does not take up the room of those that wait for their turn. A run that has begun is not
            // refused its children.
            if let (Begins::AtOnce, None) = (&particulars.begins, &particulars.parent)
                && let Err(capacity) = self.queues.promise(&id, queued)
            {
                return Err(StartError::QueueFull { run: id, queue: queued.name.to_string(), capacity });
            }
        }
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            // It waits for its place: should it be refused, a run that has its own could not go on.
            Err(_) if particulars.parent.is_some() || particulars.queue.is_some() => None,
            Err(_) => {
                return Err(StartError::TooManyActiveRuns { run: id, limit: self.environment.limits.active_runs });
            }
        };
        let active = Active::new(id.clone());
        let watched = Watched::new(&active);
        runs.insert(id.clone(), Arc::clone(&active));
        drop(runs);
        let ended = StoreError::Broken { first: "the tokio runtime it was opened in has ended".to_owned() };
        let not_started = StartError::Store { run: id.clone(), source: ended };
        let mut leaving = self.leaving(&active, Outcome::NotStarted(not_started));
        let started = self.started(registration, starting.clone());
        let status = if started.begins_later() { RunStatus::Suspended } else { RunStatus::Running };
        let event = Event::Started(started);
        let frame = match journal::encode(&event) {
            Ok(frame) => frame,
            Err(error) => {
                leaving.outcome = Outcome::Halted(Halt::new(HaltReason::Limit, None, error.to_string()));
                return Ok((watched, None));
            }
        };
        let append = Append {
            run: id,
            expected: Position(0),
            fence: Fence(1),
            records: vec![Record { frame, due: event.due() }],
            replaces: false,
            clears: Vec::new(),
            status,
        };
        let link = Arc::new(Link::default());
        Ok((watched, Some((append, Beginning { leaving, permit, registration, event, link }))))
    }

    /// The first event of a run that begins now.
    fn started(&self, registration: &Registration, starting: Starting) -> Started {
        let Starting { input, input_digest, particulars } = starting;
        let Particulars { tags, correlation, parent, begins, queue, timeout } = particulars;
        let now = self.environment.clock.now();
        let not_before = match begins {
            Begins::AtOnce => None,
            Begins::After(delay) => Some(now.after(delay)),
            Begins::NotBefore(due) => Some(due),
        };
        Started {
            function: registration.name.into(),
            version: registration.version,
            fingerprint: registration.fingerprint,
            input,
            input_digest,
            at: now.0,
            patches: self.registry.patches().map(Into::into).collect(),
            seed: self.environment.entropy.seed(),
            tags,
            correlation,
            forks: Vec::new(),
            parent,
            // One that is past delays nothing.
            not_before: not_before.filter(|due| *due > now).map(|due| due.0),
            queue: queue.map(Box::new),
            timeout: timeout.map(|timeout| Timestamp(0).after(timeout).0),
            continued: None,
        }
    }
}
