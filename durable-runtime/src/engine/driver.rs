//! The driver of one run: polls its code, delivers completions one by one, and commits what it did.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Instrument as _};

use super::active::Outcome;
use super::committer::{CommitError, Committer, Link};
use super::registry::{Code, Returned};
use crate::context::{RunShared, Scope, Stop, Wants};
use crate::halt::{Halt, HaltReason};
use crate::id::Fence;
use crate::journal::{Event, Finished, Halted};
use crate::panics::message_of;
use crate::replay::CodeChange;
use crate::store::{Append, RunStatus};

/// How often the code is polled without a pause before other tasks get a turn.
const POLLS_MAX: usize = 1_000;

/// Takes the lines that are not to be logged again.
///
/// Made once, since each new dispatcher makes tracing ask anew about every line of the program. Not
/// `Dispatch::none()`: a line that is first reached under that one is turned off for good, for all runs.
static SILENCE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// Wakes a driver, and remembers that the code asked to be polled.
#[derive(Debug, Default)]
pub(crate) struct RunWaker {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Wakes a driver only: the code has wakers of its own for what is to be forwarded to it.
struct DriverWaker(Arc<RunWaker>);

impl Wake for DriverWaker {
    fn wake(self: Arc<Self>) {
        self.0.task.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.task.wake();
    }
}

/// How a driver is told to stop.
#[derive(Debug, Default)]
pub(crate) struct Control {
    request: AtomicU8,
    pub(crate) waker: Arc<RunWaker>,
}

impl Control {
    /// Begin no further step, and stop when none is running.
    pub(crate) fn drain(&self) {
        self.request.fetch_max(1, Ordering::AcqRel);
        self.waker.wake_by_ref();
    }

    /// Stop at once.
    pub(crate) fn stop(&self) {
        self.request.fetch_max(2, Ordering::AcqRel);
        self.waker.wake_by_ref();
    }

    /// What wakes the driver when the body of a step was woken.
    pub(crate) fn body_waker(&self) -> Waker {
        Arc::new(DriverWaker(Arc::clone(&self.waker))).into()
    }

    fn requested(&self) -> Requested {
        match self.request.load(Ordering::Acquire) {
            0 => Requested::Nothing,
            1 => Requested::Drain,
            _ => Requested::Stop,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requested {
    Nothing,
    Drain,
    Stop,
}

/// Everything a driver works with.
pub(crate) struct Driver {
    pub(crate) shared: Arc<RunShared>,
    pub(crate) control: Arc<Control>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) code: Code,
    pub(crate) fence: Fence,
    pub(crate) change: CodeChange,
    pub(crate) link: Arc<Link>,
    pub(crate) committing: bool,
}

/// Where a stretch of polling ended.
enum Turn {
    /// The code waits.
    Waiting,
    /// The code is not done, but others are to have a turn.
    Yield,
    /// The function returned.
    Returned(Result<Returned, String>),
    /// The run is to be halted.
    Stopped(Stop),
}

impl Driver {
    /// Drives the run to its end, to a halt, or until it is told to stop.
    pub(crate) async fn drive(self, function: &'static str) -> Outcome {
        let span = tracing::info_span!("run", id = %self.shared.id, function);
        self.run().instrument(span).await
    }

    async fn run(mut self) -> Outcome {
        self.shared.mark_recovered();
        if let Err(error) = self.flush(RunStatus::Running).await {
            return self.interrupted(&error);
        }
        let waker = Waker::from(Arc::clone(&self.control.waker));
        loop {
            // Asked before the code is polled, too: a run that was told to stop begins no step.
            if self.control.requested() != Requested::Nothing {
                self.shared.stop();
            }
            match self.turn(&waker) {
                Turn::Waiting => {}
                Turn::Yield => {
                    self.control.waker.wake_by_ref();
                    tokio::task::yield_now().await;
                }
                Turn::Returned(returned) => return self.finish(returned).await,
                Turn::Stopped(stop) => return self.halt(stop).await,
            }
            match self.control.requested() {
                Requested::Nothing => {}
                Requested::Drain => {
                    self.shared.stop();
                    if self.shared.bodies() == 0 {
                        return self.stop().await;
                    }
                }
                Requested::Stop => return self.stop().await,
            }
            self.submit(RunStatus::Running);
            if let Err(error) = self.wait().await {
                return self.interrupted(&error);
            }
        }
    }

    /// Polls the code and delivers completions until neither makes progress (R2).
    fn turn(&mut self, waker: &Waker) -> Turn {
        for _ in 0..POLLS_MAX {
            // Before the swap: what these wake-ups tell the code's waker needs no further poll.
            self.shared.wakes.forward();
            // A swap, because a store would not see what the wake-up that it erases was about: the code could be polled
            // without that, and then nobody would wake it again.
            self.control.waker.woken.swap(false, Ordering::AcqRel);
            match self.poll_code(waker) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(returned)) => return Turn::Returned(returned),
                Err(message) => {
                    return Turn::Stopped(Stop::Halt(Halt::new(
                        HaltReason::Panic,
                        None,
                        format!("the function panicked: {message}. Deploy a fix and resume the run"),
                    )));
                }
            }
            if self.is_woken() {
                continue;
            }
            match self.shared.settle() {
                Wants::Poll => {}
                Wants::Stop(stop) => return Turn::Stopped(stop),
                Wants::Wait if self.is_woken() => {}
                Wants::Wait => return Turn::Waiting,
            }
        }
        Turn::Yield
    }

    /// Whether the code, or the body of a step, asked to be polled.
    fn is_woken(&self) -> bool {
        self.control.waker.woken.load(Ordering::Acquire) || !self.shared.wakes.is_empty()
    }

    fn poll_code(&mut self, waker: &Waker) -> Result<Poll<Result<Returned, String>>, String> {
        // tokio's budget would make ready futures answer Pending at places that depend on the load, and
        // with them the order of claims.
        let mut code = tokio::task::unconstrained(self.code.as_mut());
        let mut poll = || {
            let _scope = Scope::run(self.shared.instance);
            let code = std::pin::Pin::new(&mut code);
            catch_unwind(AssertUnwindSafe(|| code.poll(&mut TaskContext::from_waker(waker))))
                .map_err(|panic| message_of(&*panic))
        };
        if self.shared.is_repeating() {
            // These lines were logged when the code came here first.
            tracing::dispatcher::with_default(&SILENCE, poll)
        } else {
            poll()
        }
    }

    /// Hands what waits to the committer, unless an append is still under way.
    fn submit(&mut self, status: RunStatus) {
        if self.committing {
            return;
        }
        if let Some((expected, outbox)) = self.shared.take_outbox() {
            let append = Append {
                run: self.shared.id.clone(),
                expected,
                fence: self.fence,
                records: outbox.records,
                clears: outbox.clears,
                // Only the last append of several changes the status.
                status: if self.shared.is_outbox_empty() { status } else { RunStatus::Running },
            };
            self.committing = true;
            self.committer.submit(append, &self.link);
        }
    }

    /// Waits until the code wants to be polled, the committer answers, or somebody wants the run to stop.
    async fn wait(&mut self) -> Result<(), CommitError> {
        let control = Arc::clone(&self.control);
        std::future::poll_fn(|task| {
            control.waker.task.register(task.waker());
            self.link.register(task.waker());
            if let Some(answer) = self.link.take() {
                self.committing = false;
                return Poll::Ready(answer.map(|length| self.shared.set_durable(length)));
            }
            if self.is_woken() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Waits until everything appended is durable; the last append carries `status`.
    async fn flush(&mut self, status: RunStatus) -> Result<(), CommitError> {
        loop {
            if self.committing {
                let length = self.link.wait().await?;
                self.committing = false;
                self.shared.set_durable(length);
            }
            self.submit(status);
            if !self.committing {
                return Ok(());
            }
        }
    }

    async fn finish(mut self, returned: Result<Returned, String>) -> Outcome {
        if let Some(stop) = self.shared.end() {
            return self.halt(stop).await;
        }
        let Returned { result, failed } = match returned {
            Ok(returned) => returned,
            Err(detail) => {
                let message = format!("the function returned, but its result can't be recorded: {detail}");
                return self.halt(Stop::Halt(Halt::new(HaltReason::Value, None, message))).await;
            }
        };
        let at = self.shared.environment.clock.now().0;
        let status = if failed { RunStatus::Failed } else { RunStatus::Completed };
        let kept = Arc::new(result.clone());
        if self.shared.append(Event::Finished(Finished { result, failed, at })).is_none() {
            let halt = Halt::new(HaltReason::Limit, None, "its result can't be recorded");
            return self.halt(Stop::Halt(halt)).await;
        }
        match self.flush(status).await {
            Ok(()) => {
                self.shared.environment.counters.finished();
                tracing::debug!(failed, "run finished");
                Outcome::Finished { result: kept }
            }
            Err(error) => self.interrupted(&error),
        }
    }

    async fn halt(mut self, stop: Stop) -> Outcome {
        self.drop_code();
        let halt = match stop {
            Stop::Halt(halt) => halt,
            Stop::Diverged(divergence) => {
                let key = divergence.recorded.as_ref().map(|operation| operation.key.clone());
                Halt::new(HaltReason::Divergence, key, divergence.explain(self.change))
            }
        };
        tracing::error!(%halt, "run halted");
        let Halt { reason, step, message } = halt.clone();
        let at = self.shared.environment.clock.now().0;
        self.shared.append(Event::Halted(Halted { reason, step, message, at }));
        match self.flush(RunStatus::Halted).await {
            Ok(()) => Outcome::Halted(halt),
            Err(error) => self.interrupted(&error),
        }
    }

    async fn stop(mut self) -> Outcome {
        self.drop_code();
        match self.flush(RunStatus::Running).await {
            Ok(()) => Outcome::Stopped,
            Err(error) => self.interrupted(&error),
        }
    }

    /// The append failed: the run in memory is dropped, nothing outside has seen what it did since (R5).
    fn interrupted(&mut self, error: &CommitError) -> Outcome {
        self.drop_code();
        let message = match error {
            CommitError::Closed => return Outcome::Stopped,
            CommitError::Store(error) => format!(
                "the store failed: {error}. The run goes on from its last acknowledged record once it is resumed, or when the store is opened anew"
            ),
            CommitError::Refused(refused) => {
                format!("the store refused a record: {refused}. Another process or runtime has gone on with this run")
            }
        };
        tracing::error!(message, "run interrupted");
        Outcome::Halted(Halt::new(HaltReason::Storage, None, message))
    }

    /// Drops the code and the bodies of its steps.
    fn drop_code(&mut self) {
        let code = std::mem::replace(&mut self.code, Box::pin(std::future::pending()));
        // A destructor of the user's may panic; the run is stopping anyway.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(code))) {
            tracing::warn!(message = message_of(&*panic), "a destructor panicked while the run was stopped");
        }
    }
}
