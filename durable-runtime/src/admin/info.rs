//! What a journal says, for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::child_info::ChildInfo;
use crate::clock::Timestamp;
use crate::context::AtWork;
use crate::engine::{Loaded, halt_of};
use crate::halt::Halt;
use crate::id::RunId;
use crate::journal::event::AttemptError;
use crate::journal::{
    Emitted, Event, Kept, Operation, OperationKind, Outcome, Published, Settlement, SignalReceived, Started, TimerSet,
};
use crate::payload::Payload;
use crate::replay::PromiseState;
use crate::start::correlation_of;
use crate::store::RunStatus;

/// All that is recorded of a run. Returned by `Runtime::get`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run's id.
    pub id: RunId,
    /// Its status.
    pub status: RunStatus,
    /// The name of its function.
    pub function: String,
    /// The version of the function that started it.
    pub version: u32,
    /// What it was started with, or has [continued as new](crate::Context::continue_as_new) with last.
    pub input: Payload,
    /// How often it has continued as new. Steps, timers, signals and the like are those since the last time.
    pub continued: u64,
    /// What was said of it when it was started, by name: see [`Start::tag`](crate::Start::tag).
    pub tags: BTreeMap<String, String>,
    /// What it belongs to, together with others: see [`Start::correlation_id`](crate::Start::correlation_id).
    pub correlation_id: String,
    /// Its steps, in the order of their first record.
    pub steps: Vec<StepInfo>,
    /// The attempts of steps that this process is executing just now, in the order in which the steps were asked for. Nothing of
    /// that is recorded.
    pub running: Vec<RunningStep>,
    /// The times it has waited for, in the order in which they were set.
    pub timers: Vec<TimerInfo>,
    /// What it received from outside, in that order.
    pub signals: Vec<SignalInfo>,
    /// Its promises of which anything is recorded: that they are settled, or until when they can be. An open promise that
    /// has no time is not among them.
    pub promises: Vec<PromiseInfo>,
    /// The runs that it has started, in the order in which it has.
    pub children: Vec<ChildInfo>,
    /// The id of the run that has started it, if a run has.
    pub parent: Option<String>,
    /// What it has [published](crate::Context::publish): the latest value of each name, in the order of the names.
    pub published: Vec<PublishedInfo>,
    /// What it has [emitted](crate::Context::emit), in that order; also what it has from a run that it was forked from, which was delivered by that one.
    pub emitted: Vec<EmittedInfo>,
    /// What the function returned, if it has.
    pub result: Option<Payload>,
    /// Why it was cancelled, or is to be when what it has done is undone.
    pub cancelled: Option<String>,
    /// Why it is halted, or why this process can't continue it.
    pub halt: Option<Halt>,
    /// How often it was recovered and went on.
    pub recoveries: u32,
    /// How many events its journal has.
    pub events: u64,
    /// The run that it was [forked](crate::Runtime::fork) from, if it was.
    pub forked_from: Option<ForkedFrom>,
    /// When it was started, or forked.
    pub started_at: Timestamp,
    /// The time before which it does not begin, if it was started with one that was to come: see
    /// [`Start::not_before`](crate::Start::not_before).
    pub not_before: Option<Timestamp>,
    /// When it began: at once, unless it was to begin later. `None` if it has not begun yet.
    pub began_at: Option<Timestamp>,
    /// Its place in a queue, if it was started in one.
    pub queue: Option<QueueInfo>,
    /// When it is cancelled, unless it has ended, if it was started with a [timeout](crate::Start::timeout) and has begun.
    pub deadline: Option<Timestamp>,
    /// When its newest event was recorded, or it was forked.
    pub updated_at: Timestamp,
}

/// A run's place in a queue: see [`Start::queue`](crate::Start::queue).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The queue's name.
    pub name: String,
    /// How urgent the run is: the lowest is next.
    pub priority: u32,
    /// What it is about.
    pub key: Option<String>,
}

/// Where a run was forked from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkedFrom {
    /// The id of the other run.
    pub run: String,
    /// The key of the operation that it was forked from.
    pub from: String,
    /// How many of its events are the other run's.
    pub events: u64,
}

/// What is recorded of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo {
    /// Its key: `charge_card`, `charge_card#2` ….
    pub key: String,
    /// Where in the source it was asked for: file, line and column.
    pub site: String,
    /// Its arguments as a JSON list, for people: at most 1,024 bytes, then `…`. `None` if it has none, or if they have no
    /// JSON form.
    pub arguments: Option<String>,
    /// What became of it.
    pub status: StepStatus,
    /// What it returned, if that could be recorded.
    pub output: Option<Payload>,
    /// Its failed attempts, in order; the last attempt is not among them.
    pub failed_attempts: Vec<AttemptInfo>,
    /// How many attempts are recorded.
    pub attempts: u32,
    /// How long the last attempt took.
    pub took: Option<Duration>,
    /// When its newest event was recorded.
    pub updated_at: Timestamp,
}

/// What is recorded of a timer: a `ctx.sleep`, the limit of a `ctx.timeout` ….
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerInfo {
    /// Its key: `sleep`, `sleep#2` ….
    pub key: String,
    /// Where in the source it was asked for: file, line and column.
    pub site: String,
    /// When it was recorded.
    pub set_at: Timestamp,
    /// The time it waits, or waited, for.
    pub due: Timestamp,
    /// When it fired. `None` if the run still waits for it, or has stopped waiting for it.
    pub fired_at: Option<Timestamp>,
}

/// An attempt of a step that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningStep {
    /// The step's key.
    pub key: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it began.
    pub began_at: Timestamp,
    /// What it has [reported](crate::StepContext::report) last, if it has.
    pub progress: Option<Payload>,
}

/// What is recorded of a signal that the run received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalInfo {
    /// Its name.
    pub name: String,
    /// The sender's id, if it has one.
    pub id: Option<String>,
    /// What it says.
    pub value: Payload,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// The key of the wait that was given it. `None` if none was yet.
    pub taken_by: Option<String>,
    position: u64,
}

impl SignalInfo {
    fn new(position: u64, signal: &SignalReceived) -> Self {
        let SignalReceived { name, id, value, at, .. } = signal;
        let (name, id) = (name.to_string(), id.as_ref().map(ToString::to_string));
        Self { name, id, value: value.clone(), sent_at: Timestamp(*at), taken_by: None, position }
    }
}

/// What is recorded of a promise of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PromiseInfo {
    /// Its key.
    pub key: String,
    /// What became of it. `None` if it is open.
    pub state: Option<PromiseState>,
    /// What it was resolved with.
    pub value: Option<Payload>,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// Until when somebody could settle it, if it has a time and the code has awaited it.
    pub due: Option<Timestamp>,
    /// When it was settled, or found to be too late.
    pub settled_at: Option<Timestamp>,
    /// Whether the code was told what became of it.
    pub is_taken: bool,
}

impl PromiseInfo {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::TimerSet(set) => self.due = Some(Timestamp(set.due)),
            Event::TimerFired(fired) => {
                self.state = Some(PromiseState::TimedOut);
                (self.settled_at, self.is_taken) = (Some(Timestamp(fired.at)), true);
            }
            Event::PromiseSettled(settled) => {
                self.settled_at = Some(Timestamp(settled.at));
                match &settled.settlement {
                    Settlement::Resolved { value, .. } => {
                        (self.state, self.value) = (Some(PromiseState::Resolved), Some(value.clone()));
                    }
                    Settlement::Rejected(reason) => {
                        (self.state, self.reason) = (Some(PromiseState::Rejected), Some(reason.to_string()));
                    }
                }
            }
            Event::PromiseTaken(_) => self.is_taken = true,
            _ => {}
        }
    }
}

/// The latest value that a run has published under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedInfo {
    /// The name.
    pub name: String,
    /// The value's number among those of the name, from 0.
    pub number: u64,
    /// The value.
    pub value: Payload,
    /// When it was recorded.
    pub published_at: Timestamp,
}

/// An event that a run has emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmittedInfo {
    /// Its key: `sales`, `sales#2` …. The channel is what it begins with.
    pub key: String,
    /// The event.
    pub value: Payload,
    /// When it was recorded.
    pub emitted_at: Timestamp,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepStatus {
    /// An attempt failed, another one follows.
    Retrying {
        /// When it may begin.
        next_attempt_at: Timestamp,
    },
    /// It returned a value that is not an `Err`.
    Completed,
    /// It returned an `Err`, and that is its outcome.
    Failed,
    /// It returned, but its value could not be recorded, for this reason.
    Unusable(String),
    /// It runs [at most once](crate::Step::at_most_once), and an attempt has begun.
    Begun,
    /// It runs [at most once](crate::Step::at_most_once), and an attempt ended without an outcome.
    Interrupted,
    /// It is to [undo](crate::Context#undoing) something, should the run fail or be cancelled.
    Planned,
}

/// A failed attempt that another one followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// Which, from 1.
    pub attempt: u32,
    /// Its `Err` as it is encoded, the message of its panic, or that it took too long.
    pub error: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl RunInfo {
    /// Reads a journal; `None` if it does not begin with `Started`.
    pub(crate) fn of(loaded: &Loaded, stuck: Option<Halt>) -> Option<Self> {
        let started = loaded.started()?;
        let mut info = Self::begun(loaded, started);
        let mut by_key: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (event, position) in loaded.events.iter().zip(0..) {
            info.updated_at = info.started_at.max(Timestamp(event.at()));
            if let Some(operation) = event.operation()
                && operation.kind == OperationKind::Step
            {
                let index = *by_key.entry(operation.key.clone()).or_insert_with(|| {
                    info.steps.push(StepInfo::new(operation, event.at()));
                    info.steps.len() - 1
                });
                if let Some(step) = info.steps.get_mut(index) {
                    step.learn(event);
                }
            }
            let promise = match (event, event.operation()) {
                (Event::PromiseSettled(settled), _) => Some(&*settled.key),
                (_, Some(operation)) if operation.kind == OperationKind::Promise => Some(&*operation.key),
                _ => None,
            };
            if let Some(key) = promise {
                info.learn_of_promise(key, event);
                continue;
            }
            match event {
                Event::Recovered { .. } => info.recoveries += 1,
                Event::Begun { at, deadline } => {
                    (info.began_at, info.deadline) = (Some(Timestamp(*at)), deadline.map(Timestamp));
                }
                Event::Halted(halted) => info.halt = Some(halt_of(halted)),
                Event::Resumed { .. } => info.halt = None,
                Event::Cancelled(cancelled) => {
                    (info.halt, info.cancelled) = (None, Some(cancelled.reason.clone()));
                }
                Event::Finished(finished) => info.result = Some(finished.result.clone()),
                Event::TimerSet(set) => info.timers.push(TimerInfo::new(set)),
                Event::TimerFired(fired) => {
                    let timer = info.timers.iter_mut().rfind(|timer| *timer.key == *fired.operation.key);
                    if let Some(timer) = timer {
                        timer.fired_at = Some(Timestamp(fired.at));
                    }
                }
                Event::Published(published) => info.learn_of_publication(published),
                Event::SignalReceived(signal) => info.signals.push(SignalInfo::new(position, signal)),
                Event::SignalTaken(taken) => {
                    if let Some(signal) = info.signals.iter_mut().find(|signal| signal.position == taken.received) {
                        signal.taken_by = Some(taken.operation.key.to_string());
                    }
                }
                Event::Started(_)
                | Event::AttemptFailed(_)
                | Event::StepCompleted(_)
                | Event::Patched(_)
                | Event::PromiseSettled(_)
                | Event::PromiseTaken(_)
                | Event::StepStarted(_)
                | Event::UndoPlanned(_) => {}
                Event::Kept(kept) => info.published.push(PublishedInfo::of(kept)),
                Event::Emitted(emitted) => info.emitted.push(EmittedInfo::of(emitted)),
                Event::CancelRequested(cancelled) => info.cancelled = Some(cancelled.reason.clone()),
                // What was emitted is delivered.
                Event::ChildStarted(started) if started.operation.kind == OperationKind::Emission => {}
                Event::ChildStarted(started) => info.children.push(ChildInfo::new(started)),
                Event::ChildEnded(ended) => {
                    if let Some(child) = info.children.iter_mut().find(|child| *child.key == *ended.operation.key) {
                        child.learn(ended);
                    }
                }
            }
        }
        // Why this process could not continue it says nothing any more once it has ended.
        info.halt = info.halt.or(stuck.filter(|_| info.status.is_unfinished()));
        Some(info)
    }

    /// What `Started` says.
    fn begun(loaded: &Loaded, started: &Started) -> Self {
        Self {
            id: loaded.head.run.clone(),
            status: loaded.head.status,
            function: started.function.to_string(),
            version: started.version,
            input: started.input.clone(),
            continued: started.part() - 1,
            tags: tags_of(started),
            correlation_id: correlation_of(started.correlation.as_ref(), &loaded.head.run).to_owned(),
            steps: Vec::new(),
            running: Vec::new(),
            timers: Vec::new(),
            signals: Vec::new(),
            promises: Vec::new(),
            children: Vec::new(),
            parent: started.parent.as_ref().map(|parent| parent.run.to_string()),
            published: Vec::new(),
            emitted: Vec::new(),
            result: None,
            cancelled: None,
            halt: None,
            recoveries: 0,
            events: loaded.head.length.0,
            forked_from: started.forks.last().map(|fork| ForkedFrom {
                run: fork.run.to_string(),
                from: fork.from.to_string(),
                events: fork.records,
            }),
            started_at: started.created_at(),
            not_before: started.not_before.map(Timestamp),
            began_at: (!started.begins_later()).then_some(started.began_at()),
            queue: started.queue.as_ref().map(|queued| QueueInfo {
                name: queued.name.to_string(),
                priority: queued.priority,
                key: queued.key.as_ref().map(ToString::to_string),
            }),
            deadline: started.deadline(started.at).filter(|_| !started.begins_later()).map(Timestamp),
            updated_at: started.created_at(),
        }
    }

    /// With the attempts that are running.
    pub(super) fn with(self, at_work: Vec<AtWork>) -> Self {
        let running = at_work.into_iter().map(|AtWork { key, attempt, began_at, progress }| RunningStep {
            key: key.to_string(),
            attempt,
            began_at,
            progress,
        });
        Self { running: running.collect(), ..self }
    }

    fn learn_of_publication(&mut self, published: &Published) {
        let (name, value, at) = (published.operation.name(), published.value.clone(), Timestamp(published.at));
        match self.published.binary_search_by(|known| known.name.as_str().cmp(name)) {
            Ok(index) => {
                if let Some(known) = self.published.get_mut(index) {
                    (known.number, known.value, known.published_at) = (known.number + 1, value, at);
                }
            }
            Err(index) => {
                let first = PublishedInfo { name: name.to_owned(), number: 0, value, published_at: at };
                self.published.insert(index, first);
            }
        }
    }

    fn learn_of_promise(&mut self, key: &str, event: &Event) {
        if !self.promises.iter().any(|promise| promise.key == key) {
            let (state, value, reason, due, key) = (None, None, None, None, key.to_owned());
            self.promises.push(PromiseInfo { key, state, value, reason, due, settled_at: None, is_taken: false });
        }
        if let Some(promise) = self.promises.iter_mut().find(|promise| promise.key == key) {
            promise.learn(event);
        }
    }
}

/// What was said of a run when it was started.
pub(super) fn tags_of(started: &Started) -> BTreeMap<String, String> {
    started.tags.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

impl StepInfo {
    fn new(operation: &Operation, at: u64) -> Self {
        Self {
            key: operation.key.to_string(),
            site: operation.site.to_string(),
            arguments: operation.arguments.as_ref().map(ToString::to_string),
            status: StepStatus::Completed,
            output: None,
            failed_attempts: Vec::new(),
            attempts: 0,
            took: None,
            updated_at: Timestamp(at),
        }
    }

    fn learn(&mut self, event: &Event) {
        self.updated_at = Timestamp(event.at());
        match event {
            Event::AttemptFailed(failed) => {
                self.attempts = failed.attempt;
                self.status = StepStatus::Retrying { next_attempt_at: Timestamp(failed.retry_at) };
                let error = match &failed.error {
                    AttemptError::Err(payload) => payload.text(),
                    AttemptError::Panic(message) => format!("panicked: {message}"),
                    AttemptError::TimedOut => "took too long".to_owned(),
                };
                self.failed_attempts.push(AttemptInfo { attempt: failed.attempt, error, at: Timestamp(failed.at) });
            }
            Event::StepCompleted(completed) => {
                self.attempts = completed.attempts;
                self.took = Some(Timestamp(completed.at).since(Timestamp(completed.began_at)));
                (self.status, self.output) = match &completed.outcome {
                    Outcome::Ok(payload) => (StepStatus::Completed, Some(payload.clone())),
                    Outcome::Err(payload) => (StepStatus::Failed, Some(payload.clone())),
                    Outcome::Unusable(detail) => (StepStatus::Unusable(detail.clone()), None),
                    Outcome::Interrupted(payload) => (StepStatus::Interrupted, Some(payload.clone())),
                };
            }
            Event::UndoPlanned(_) => self.status = StepStatus::Planned,
            Event::StepStarted(started) => {
                (self.attempts, self.status) = (started.attempt, StepStatus::Begun);
            }
            Event::Started(_)
            | Event::Recovered { .. }
            | Event::Halted(_)
            | Event::Resumed { .. }
            | Event::Finished(_)
            | Event::Patched(_)
            | Event::TimerSet(_)
            | Event::TimerFired(_)
            | Event::SignalReceived(_)
            | Event::SignalTaken(_)
            | Event::PromiseSettled(_)
            | Event::PromiseTaken(_)
            | Event::Cancelled(_)
            | Event::ChildStarted(_)
            | Event::ChildEnded(_)
            | Event::Published(_)
            | Event::CancelRequested(_)
            | Event::Kept(_)
            | Event::Emitted(_)
            | Event::Begun { .. } => {}
        }
    }
}

impl EmittedInfo {
    fn of(emitted: &Emitted) -> Self {
        let (key, value) = (emitted.operation.key.to_string(), emitted.value.clone());
        Self { key, value, emitted_at: Timestamp(emitted.at) }
    }
}

impl PublishedInfo {
    fn of(kept: &Kept) -> Self {
        let (name, value, published_at) = (kept.name.to_string(), kept.value.clone(), Timestamp(kept.published_at));
        Self { name, number: kept.number, value, published_at }
    }
}

impl TimerInfo {
    fn new(set: &TimerSet) -> Self {
        let Operation { key, site, .. } = &set.operation;
        let (set_at, due) = (Timestamp(set.at), Timestamp(set.due));
        Self { key: key.to_string(), site: site.to_string(), set_at, due, fired_at: None }
    }
}
