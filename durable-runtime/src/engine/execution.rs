//! A run's code in memory, and its turns: the code is polled and completions are delivered until neither makes
//! progress (R2). The driver of a run and its verifier take the same turns.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use super::registry::{Code, Registration, Returned};
use crate::context::{BodyWakes, Context, Ended, Environment, Named, Origin, RunShared, Scope, Stop, Wants};
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::{CodeId, Event, Operation};
use crate::panics::message_of;
use crate::replay::{CodeChange, Replay, Stage, went_on_since};
use crate::sync::AtomicWaker;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How often the code is polled without a pause before other tasks get a turn.
const POLLS_MAX: usize = 1_000;

/// Tells lives of runs apart across all runtimes of the process.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

/// Takes the lines that are not to be logged again.
///
/// Made once, since each new dispatcher makes tracing ask anew about every line of the program. Not
/// `Dispatch::none()`: a line that is first reached under that one is turned off for good, for all runs.
static SILENCE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// Wakes whoever polls a run's code, and remembers that the code asked to be polled.
#[derive(Debug, Default)]
pub(crate) struct RunWaker {
    woken: AtomicBool,
    pub(super) task: AtomicWaker,
}

impl RunWaker {
    /// Whether the code asked to be polled.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A swap, because a store would hide the wake-up of another thread that was not looked at yet: whoever sees only
        // the later of two stores need not see what the earlier one was about.
        self.woken.swap(true, Ordering::AcqRel);
        self.task.wake();
    }
}

/// Wakes whoever polls a run's code, and does not ask for a poll: the code has wakers of its own for what is to be
/// forwarded to it.
struct TaskWaker(Arc<RunWaker>);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.task.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.task.wake();
    }
}

/// Where a stretch of polling ended.
pub(super) enum Turn {
    /// The code waits.
    Waiting,
    /// The run is to leave memory, and to be replayed.
    Suspend,
    /// The code is not done, but others are to have a turn.
    Yield,
    /// The function returned.
    Returned(Ended<Result<Returned, String>>),
    /// The run is to be halted.
    Stopped(Stop),
}

/// A run in memory: its code, and what the code shares with whoever polls it.
pub(super) struct Execution {
    pub(super) shared: Arc<RunShared>,
    /// Where the journal had left the run.
    pub(super) stage: Stage,
    code: Code,
    change: CodeChange,
    run_waker: Arc<RunWaker>,
    waker: Waker,
}

impl Execution {
    /// The function of a run on the journal's input, before it is polled for the first time. A run that can't begin is
    /// told so by its first [`turn`](Self::turn).
    ///
    /// # Errors
    /// The halt of a journal that can't be that of one run; nothing can be added to it.
    pub(super) fn of_journal(
        run: RunId,
        events: Vec<Event>,
        registration: &Registration,
        environment: &Arc<Environment>,
        origin: &Origin,
        run_waker: Arc<RunWaker>,
    ) -> Result<Self, Halt> {
        let Some(Event::Started(started)) = events.first() else {
            return Err(corrupt("the journal does not begin with Started"));
        };
        let code = CodeId { version: registration.version, fingerprint: registration.fingerprint };
        let change = CodeChange {
            function: registration.name,
            versions: (started.version, code.version),
            fingerprints: (started.fingerprint, code.fingerprint),
            since: went_on_since(&events, code),
            on_change: registration.on_change,
            call_sites: registration.call_sites,
        };
        let input = started.input.clone();
        let correlation = started.correlation.clone();
        let known = doing(&events);
        let mut replay = Replay::of_journal(events).map_err(|illegal| corrupt(&illegal.to_string()))?;
        if change.is_by_key() {
            replay.match_by_key();
        }
        let (recoveries, stage) = (replay.recoveries(), replay.stage());
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let bodies = BodyWakes::new(Waker::from(Arc::new(TaskWaker(Arc::clone(&run_waker)))));
        // One that only left memory has not died.
        let is_new_here = matches!(origin, Origin::New | Origin::Recovered(_));
        let environment_of_run = Arc::clone(environment);
        let named = Named { id: run, function: registration.name, correlation };
        let shared = RunShared::new(named, instance, environment_of_run, bodies, replay, origin);
        let shared = Arc::new(shared);
        let limits = environment.limits;
        let code = if is_new_here && recoveries >= limits.recoveries_without_progress.max(1) {
            Err(Halt::new(
                HaltReason::CrashLoop,
                None,
                format!(
                    "the process died {recoveries} times in a row after the run had gone on and before it recorded anything new. {known}. `Runtime::verify` tells which steps come next, without running them: find out which of them ends the process, or whether the code before them does, then resume the run"
                ),
            ))
        } else {
            let context = Context::new(Arc::clone(&shared));
            (registration.call)(context, &input, environment.codec, limits.payload_bytes).map_err(|detail| {
                Halt::new(HaltReason::Value, None, format!("its recorded input can't be used: {detail}"))
            })
        };
        let code = code.unwrap_or_else(|halt| {
            shared.halt(halt);
            Box::pin(std::future::pending())
        });
        let waker = Waker::from(Arc::clone(&run_waker));
        Ok(Self { shared, stage, code, change, run_waker, waker })
    }

    /// Polls the code and delivers completions until neither makes progress (R2).
    pub(super) fn turn(&mut self) -> Turn {
        for _ in 0..POLLS_MAX {
            // Before the swap: what these wake-ups tell the code's waker needs no further poll.
            self.shared.wakes.forward();
            // A swap, because a store would not see what the wake-up that it erases was about: the code could be polled
            // without that, and then nobody would wake it again.
            self.run_waker.woken.swap(false, Ordering::AcqRel);
            match self.poll_code() {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(returned)) => return Turn::Returned(returned),
                Err(halt) => return Turn::Stopped(Stop::Halt(halt)),
            }
            if self.is_woken() {
                continue;
            }
            match self.shared.settle() {
                Wants::Poll => {}
                Wants::Suspend => return Turn::Suspend,
                Wants::Stop(stop) => return Turn::Stopped(stop),
                Wants::Wait if self.is_woken() => {}
                Wants::Wait => return Turn::Waiting,
            }
        }
        Turn::Yield
    }

    /// Like [`turn`](Self::turn), but nothing that the code logs is seen.
    pub(super) fn silent_turn(&mut self) -> Turn {
        tracing::dispatcher::with_default(&SILENCE, || self.turn())
    }

    /// Like [`drop_code`](Self::drop_code), but nothing that destructors log is seen.
    pub(super) fn drop_code_silently(&mut self) {
        tracing::dispatcher::with_default(&SILENCE, || self.drop_code());
    }

    /// Whether the code, or the body of a step, asked to be polled.
    fn is_woken(&self) -> bool {
        self.run_waker.is_woken() || !self.shared.wakes.is_empty()
    }

    fn poll_code(&mut self) -> Result<Poll<Ended<Result<Returned, String>>>, Halt> {
        // tokio's budget would make ready futures answer Pending at places that depend on the load, and
        // with them the order of claims.
        let mut code = tokio::task::unconstrained(self.code.as_mut());
        let mut poll = || {
            let _scope = Scope::run(self.shared.instance);
            let code = std::pin::Pin::new(&mut code);
            let polled = catch_unwind(AssertUnwindSafe(|| code.poll(&mut TaskContext::from_waker(&self.waker))));
            // Also if the code caught the panic itself.
            if let Some(misuse) = Scope::take_misuse() {
                return Err(Halt::new(HaltReason::Misuse, None, misuse));
            }
            polled.map_err(|panic| {
                let message = message_of(&*panic);
                let message = format!("the function panicked: {message}. Deploy a fix and resume the run");
                Halt::new(HaltReason::Panic, None, message)
            })
        };
        if self.shared.is_repeating() {
            // These lines were logged when the code came here first.
            tracing::dispatcher::with_default(&SILENCE, poll)
        } else {
            poll()
        }
    }

    /// The code has ended: how, unless it may not end here, or not with this.
    pub(super) fn result(&self, ended: Ended<Result<Returned, String>>) -> Result<Ended<Returned>, Stop> {
        if let Some(stop) = self.shared.end() {
            return Err(stop);
        }
        match ended {
            Ended::Returned(Ok(returned)) => Ok(Ended::Returned(returned)),
            Ended::Returned(Err(detail)) => {
                let message = format!("the function returned, but its result can't be recorded: {detail}");
                Err(Stop::Halt(Halt::new(HaltReason::Value, None, message)))
            }
            Ended::Cancelled => Ok(Ended::Cancelled),
            Ended::Continues(input, digest) => Ok(Ended::Continues(input, digest)),
        }
    }

    /// What is told of a stop, and recorded of it.
    pub(super) fn explain(&self, stop: Stop) -> Halt {
        match stop {
            Stop::Halt(halt) => halt,
            Stop::Diverged(divergence) => {
                let message = divergence.explain(&self.shared.id, &self.change);
                Halt::new(HaltReason::Divergence, divergence.key(), message)
            }
        }
    }

    /// Drops the code and the bodies of its steps.
    pub(super) fn drop_code(&mut self) {
        let code = std::mem::replace(&mut self.code, Box::pin(std::future::pending()));
        let _scope = Scope::leaving(self.shared.instance);
        // A destructor of the user's may panic; the run is stopping anyway.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(code))) {
            tracing::warn!(message = message_of(&*panic), "a destructor panicked while the run was stopped");
        }
    }
}

impl Drop for Execution {
    /// Whoever drove it was dropped, because tokio's runtime ends.
    fn drop(&mut self) {
        self.drop_code();
    }
}

/// What a run was doing when its process died, as far as its journal tells: what it had recorded last, and what had begun.
fn doing(events: &[Event]) -> String {
    let told = |operation: &Operation| format!("{} {:?} ({})", operation.kind, operation.key, operation.site);
    let mut last = "It had recorded nothing of what its code asks for".to_owned();
    let mut begun: BTreeMap<u32, String> = BTreeMap::new();
    for event in events {
        let Some(operation) = event.operation() else { continue };
        last = format!("It had recorded last: {} of the {}", event.name(), told(operation));
        match event {
            Event::StepStarted(started) => {
                begun.insert(operation.claim, format!("{}, attempt {}", told(operation), started.attempt));
            }
            Event::AttemptFailed(failed) => {
                let next = failed.attempt.saturating_add(1);
                begun.insert(operation.claim, format!("{}, attempt {next} being due", told(operation)));
            }
            _ => drop(begun.remove(&operation.claim)),
        }
    }
    if begun.is_empty() {
        return last;
    }
    // There may be thousands, and a message is for people.
    let some: Vec<&str> = begun.values().take(3).map(String::as_str).collect();
    let more = if begun.len() > some.len() { format!(" and {} more", begun.len() - some.len()) } else { String::new() };
    format!("{last}; without an outcome: {}{more}", some.join(", "))
}

/// The halt of a run whose journal says what no run can have done.
pub(super) fn corrupt(detail: &str) -> Halt {
    Halt::new(HaltReason::Corrupt, None, format!("{detail}. Restore the run from a backup, or delete it"))
}
