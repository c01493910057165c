//! One step: the future that `ctx.run` yields.

mod options;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::Span;

pub(super) use self::options::is_permanent;
use super::StepContext;
use super::answers::Arrival;
#[cfg(feature = "testing")]
use super::director;
use super::scope::Scope;
use super::shared::{AtWork, RunShared};
use super::wakes::BodyWaker;
use super::work::{Bounds, Call, Work};
use crate::clock::{Sleep, Timestamp};
use crate::halt::{Halt, HaltReason, detail};
use crate::interrupted::Interrupted;
use crate::journal::event::AttemptError;
use crate::journal::{Arguments, AttemptFailed, Event, OperationKind, Outcome, StepCompleted, StepStarted};
use crate::panics::message_of;
use crate::payload::{Codec, Payload, PayloadError};
use crate::replay::{Answer, Begun, ClaimNumber, Request};
use crate::retry::Tried;
use crate::timed_out::TimedOut;
use crate::value::{self, Recorded};

/// A step that was asked for with `ctx.run(…)`; await it for what the step returns.
///
/// Nothing runs until it is polled. It resolves to the value as it was recorded, live and on replay
/// alike (R7). Dropping it before it resolves, as a lost race does, stops the step's body; its effect
/// may have happened.
///
/// By default a step runs at least once, and exactly one outcome is ever recorded: after a crash between the
/// effect and its record, it runs again with the same [idempotency key](StepContext::idempotency_key).
///
/// An `Err` that a step returns is an outcome like any other: recorded, and returned with its type on
/// replay. Failures of the machinery are never returned here; they halt the run.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Step<'a, O> {
    values: Values<O>,
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    work: Box<dyn Work<O> + Send + 'a>,
    retry: Option<RetryRule<O>>,
    timeout: Option<Timeout<O>>,
    /// If it may not run twice: what it returns if it was interrupted.
    interrupted: Option<fn(Interrupted) -> O>,
    /// Whether it undoes something: its failure is no outcome, but halts the run.
    undoes: bool,
    /// By what the body will be woken of which it is recorded that it begins.
    begun: Option<Arc<BodyWaker>>,
    stage: Stage,
}

type RetryDelay<O> = dyn Fn(Option<&O>, Tried) -> Option<Duration> + Send;

/// When a step is tried again.
struct RetryRule<O> {
    /// Given what the step returned, if it has: how long to wait before the next attempt.
    delay: Box<RetryDelay<O>>,
    attempts_max: u32,
    /// Whether it depends on the time how many attempts there are.
    is_timed: bool,
}

/// How long an attempt may take, and what the step returns if none was fast enough.
type Timeout<O> = (Duration, fn(TimedOut) -> O);

/// How a step's result is recorded. Kept here and not asked of `O`, so that a result that can't be recorded is refused
/// once, where the step is asked for, and not again where it is awaited.
struct Values<O> {
    encode: fn(Codec, &O, usize) -> Result<Payload, PayloadError>,
    is_err: fn(&O) -> bool,
    decode: fn(&Payload) -> Result<O, PayloadError>,
}

enum Stage {
    /// Waits for its outcome or for permission to begin.
    Waiting,
    /// Waits for the time of its next attempt.
    BackingOff { sleep: Sleep, waker: Arc<BodyWaker> },
    /// Its body runs.
    Running(Running),
    /// Resolved, or never to resolve because the run is halted.
    Over,
}

struct Running {
    attempt: u32,
    began_at: Timestamp,
    deadline: Option<Sleep>,
    span: Span,
    /// For the record, if it is the step's first; taken before the attempt may consume them.
    arguments: Option<Arguments>,
    waker: Arc<BodyWaker>,
    /// Tells what the attempt has set off that it is over.
    cancellation: CancellationToken,
}

impl<'a, O> Step<'a, O> {
    #[track_caller]
    pub(super) fn claim<F, A, Fut>(
        shared: &Arc<RunShared>,
        name: &'static str,
        site: &'static Location<'static>,
        arguments: A,
        callee: F,
    ) -> Self
    where
        F: Fn(StepContext, A) -> Fut + Send + 'a,
        A: Serialize + Clone + Send + 'a,
        Fut: Future<Output = O> + Send + 'a,
        O: Recorded,
    {
        shared.check_place(&format_args!("`ctx.run({name}, …)` at {site}"));
        let (digest, has_digest) = match value::digest(&arguments) {
            Ok(digest) => (digest.0, true),
            Err(error) => {
                shared.halt(Halt::new(
                    HaltReason::Value,
                    Some(name.into()),
                    format!("its arguments at {site} can't be recorded: {error}"),
                ));
                (0, false)
            }
        };
        let (claim, differs) =
            shared.claim(Request { name: Cow::Borrowed(name), kind: OperationKind::Step, digest, site: site.into() });
        if differs && has_digest {
            // Outside of the lock: a `Serialize` is the user's code.
            shared.show(claim, Arguments::of(&arguments));
        }
        let work = Box::new(Call::new(callee, arguments));
        #[cfg(feature = "testing")]
        let work = director::directed(work, &shared.environment);
        Self {
            values: Values { encode: Payload::encode, is_err: value::is_err, decode: Payload::decode },
            shared: Arc::clone(shared),
            claim,
            work,
            retry: None,
            timeout: None,
            interrupted: None,
            undoes: false,
            begun: None,
            stage: Stage::Waiting,
        }
    }

    pub(super) fn claim_number(&self) -> ClaimNumber {
        self.claim
    }

    /// Gives the step another name, and with it another key: for steps whose name says too little,
    /// such as a generic function, or several of one name that are to be told apart.
    ///
    /// Write it directly behind `ctx.run(…)`. A name that was claimed before gets `#2`, `#3` ….
    /// A name that is empty, longer than [`STEP_NAME_BYTES_MAX`](crate::STEP_NAME_BYTES_MAX), or contains `#`, halts the run with
    /// [`HaltReason::Misuse`].
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn fetch(sku: &str) -> u32 {
    ///     sku.len() as u32
    /// }
    ///
    /// #[durable]
    /// async fn both(ctx: Context, sku: String) -> u32 {
    ///     ctx.run(fetch, &sku).named(format!("fetch {sku}")).await
    /// }
    /// ```
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.shared.name(self.claim, name.into());
        self
    }
}

impl<O> Future for Step<'_, O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<O> {
        let step = self.get_mut();
        step.shared.check_place(&"a step");
        loop {
            match &mut step.stage {
                Stage::Over => return Poll::Pending,
                Stage::Waiting => match step.shared.arrive(step.claim, task.waker()) {
                    Arrival::Wait => return Poll::Pending,
                    Arrival::Delivered(Answer::Step(outcome)) => return step.resolve(outcome),
                    // Not for a step: of which kind an operation is was compared (R9).
                    Arrival::Delivered(Answer::Fired | Answer::Signal(_) | Answer::Promise(_) | Answer::Child(_)) => {
                        step.stage = Stage::Over;
                    }
                    Arrival::Begin { attempt, not_before, begun } => match (not_before, step.interrupted, begun) {
                        (Some(due), ..) => {
                            let sleep = step.shared.environment.clock.sleep_until(due);
                            step.stage = Stage::BackingOff { sleep, waker: step.shared.wakes.waker() };
                        }
                        (None, Some(interrupted), Begun::Before) => step.conclude_interrupted(attempt, interrupted),
                        (None, Some(_), Begun::No) => step.record_begin(attempt, task),
                        (None, ..) => step.begin(attempt),
                    },
                },
                Stage::BackingOff { sleep, waker } => {
                    waker.attend(task.waker());
                    ready!(sleep.as_mut().poll(&mut TaskContext::from_waker(&Arc::clone(waker).into())));
                    // Asks again: the runtime may be shutting down by now.
                    step.stage = Stage::Waiting;
                }
                Stage::Running(running) => {
                    let over = ready!(running.poll(&mut *step.work, &step.shared, task));
                    // First: what the body drops may wait for what it has set off.
                    running.cancellation.cancel();
                    step.work.stop();
                    step.conclude(over);
                }
            }
        }
    }
}

/// How an attempt ended.
enum Attempt<O> {
    Returned(O),
    Panicked(String),
    /// It used an operation of another run (R10).
    Misused(String),
    TimedOut,
}

impl Running {
    fn poll<O>(
        &mut self,
        work: &mut (dyn Work<O> + Send + '_),
        shared: &RunShared,
        task: &mut TaskContext<'_>,
    ) -> Poll<Attempt<O>> {
        self.waker.attend(task.waker());
        let waker = Arc::clone(&self.waker).into();
        let task = &mut TaskContext::from_waker(&waker);
        let _scope = Scope::step(shared.instance);
        let _entered = self.span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| work.poll(task)));
        // Also if the step caught the panic itself.
        if let Some(misuse) = Scope::take_misuse() {
            return Poll::Ready(Attempt::Misused(misuse));
        }
        match polled {
            Ok(Poll::Ready(output)) => return Poll::Ready(Attempt::Returned(output)),
            Ok(Poll::Pending) => {}
            Err(panic) => return Poll::Ready(Attempt::Panicked(message_of(&*panic))),
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(task).map(|()| Attempt::TimedOut),
            None => Poll::Pending,
        }
    }
}

impl<O> Step<'_, O> {
    /// Records that the attempt begins, and goes back to waiting until that is durable.
    fn record_begin(&mut self, attempt: u32, task: &TaskContext<'_>) {
        let Some(mut operation) = self.shared.operation(self.claim) else { return };
        operation.arguments = if self.shared.is_recorded(self.claim) { None } else { self.work.arguments() };
        // From now on the run does not leave memory or stop, as if the body was running.
        let waker = self.shared.body_began(self.claim);
        waker.attend(task.waker());
        self.begun = Some(waker);
        let at = self.shared.environment.clock.now().0;
        self.shared.record(self.claim, Event::StepStarted(StepStarted { operation, attempt, at }));
        fail_point!("step.begin.recorded");
    }

    /// Records that the attempt had begun in an earlier life, and goes back to waiting for that to be delivered.
    fn conclude_interrupted(&mut self, attempt: u32, interrupted: fn(Interrupted) -> O) {
        let Some(operation) = self.shared.operation(self.claim) else { return };
        tracing::warn!(step = %operation.key, attempt, "interrupted, and not tried again");
        let outcome = match self.encode(&interrupted(Interrupted { step: operation.key.to_string(), attempt })) {
            Ok(payload) => Outcome::Interrupted(payload),
            Err(why) => Outcome::Unusable(why),
        };
        let at = self.shared.environment.clock.now().0;
        let completed = StepCompleted { operation, attempts: attempt, outcome, began_at: at, at };
        self.shared.record(self.claim, Event::StepCompleted(completed));
    }

    fn begin(&mut self, attempt: u32) {
        let environment = &self.shared.environment;
        let Some(operation) = self.shared.operation(self.claim) else { return };
        let began_at = environment.clock.now();
        let limit = self.timeout.map(|(limit, _)| limit);
        #[cfg(feature = "testing")]
        let limit = environment.director.as_ref().map_or(limit, |director| director.limit(limit));
        let deadline = limit.map(|limit| environment.clock.sleep(limit));
        let span = tracing::info_span!("step", key = %operation.key, attempt);
        let work = AtWork { key: Arc::clone(&operation.key), attempt, began_at, progress: None };
        self.shared.works(self.claim, work);
        let context = StepContext::new(Arc::clone(&self.shared), self.claim, operation.key, attempt);
        let cancellation = context.cancellation();
        environment.counters.executed();
        fail_point!("step.body.unbegun");
        let arguments = if self.shared.is_recorded(self.claim) { None } else { self.work.arguments() };
        let waker = self.begun.take().unwrap_or_else(|| self.shared.body_began(self.claim));
        self.stage = Stage::Running(Running { attempt, began_at, deadline, span, arguments, waker, cancellation });
        let last = self.retry.as_ref().is_none_or(|rule| attempt >= rule.attempts_max);
        let may_panic = !last && self.interrupted.is_none() && self.retry.as_ref().is_some_and(|rule| !rule.is_timed);
        let work = &mut self.work;
        // A callee may panic when it is only called, before its future is polled.
        let begun = {
            let _scope = Scope::step(self.shared.instance);
            catch_unwind(AssertUnwindSafe(|| work.begin(context, Bounds { last, may_panic, limit })))
        };
        if let Err(panic) = begun {
            if let Stage::Running(running) = &self.stage {
                running.cancellation.cancel();
            }
            let message = message_of(&*panic);
            self.conclude_attempt(
                attempt,
                began_at,
                Scope::take_misuse().map_or(Attempt::Panicked(message), Attempt::Misused),
            );
        }
    }

    fn conclude(&mut self, over: Attempt<O>) {
        if let Stage::Running(Running { attempt, began_at, .. }) = &self.stage {
            let (attempt, began_at) = (*attempt, *began_at);
            self.conclude_attempt(attempt, began_at, over);
        }
    }

    /// Records what became of the attempt, and goes back to waiting: for the next one, or for delivery.
    fn conclude_attempt(&mut self, attempt: u32, began_at: Timestamp, over: Attempt<O>) {
        fail_point!("step.outcome.unrecorded");
        let Some(mut operation) = self.shared.operation(self.claim) else { return };
        operation.arguments = match &mut self.stage {
            Stage::Running(running) => running.arguments.take(),
            Stage::Waiting | Stage::BackingOff { .. } | Stage::Over => None,
        };
        let environment = &self.shared.environment;
        let at = environment.clock.now();
        let tried = self.shared.tried(self.claim, attempt, at);
        let retry_after = self.retry.as_ref().and_then(|rule| match &over {
            Attempt::Returned(output) => (rule.delay)(Some(output), tried),
            Attempt::Panicked(_) | Attempt::TimedOut if self.interrupted.is_none() => (rule.delay)(None, tried),
            Attempt::Panicked(_) | Attempt::TimedOut | Attempt::Misused(_) => None,
        });
        #[cfg(feature = "testing")]
        let retry_after = match &self.retry {
            Some(rule) if rule.is_timed => {
                director::tries_again(environment, &self.shared.id, &operation.key, attempt, retry_after)
            }
            _ => retry_after,
        };
        self.shared.body_ended(self.claim);
        self.stage = Stage::Waiting;
        if let Some(delay) = retry_after
            && let Ok(error) = self.attempt_error(&over)
        {
            tracing::warn!(step = %operation.key, attempt, ?delay, "attempt failed, another one follows");
            let retry_at = at.after(delay).0;
            self.shared.record(
                self.claim,
                Event::AttemptFailed(AttemptFailed { operation, attempt, error, retry_at, at: at.0 }),
            );
            fail_point!("step.attempt.recorded");
            return;
        }
        let over = match self.not_undone(over) {
            Ok(over) => over,
            Err(error) => {
                let (retry_at, at) = (at.0, at.0);
                let failed = AttemptFailed { operation, attempt, error, retry_at, at };
                return self.shared.record(self.claim, Event::AttemptFailed(failed));
            }
        };
        let returned = match (over, self.timeout) {
            (Attempt::Returned(output), _) => output,
            (Attempt::TimedOut, Some((after, into_error))) => {
                into_error(TimedOut { step: operation.key.to_string(), attempt, after })
            }
            (Attempt::TimedOut, None) => return,
            (Attempt::Misused(message), _) => {
                self.stage = Stage::Over;
                self.shared.halt(Halt::new(HaltReason::Misuse, Some(operation.key), message));
                return;
            }
            (Attempt::Panicked(message), _) => {
                let what_next = match self.interrupted {
                    None => "tries it again",
                    Some(_) => "tells the code that it was interrupted",
                };
                self.stage = Stage::Over;
                self.shared.halt(Halt::new(
                    HaltReason::Panic,
                    Some(operation.key),
                    format!("attempt {attempt} panicked: {message}. Its effect may have happened; resuming the run {what_next}"),
                ));
                return;
            }
        };
        let outcome = match self.encode(&returned) {
            Ok(payload) if (self.values.is_err)(&returned) => Outcome::Err(payload),
            Ok(payload) => Outcome::Ok(payload),
            Err(why) => Outcome::Unusable(why),
        };
        self.shared.record(
            self.claim,
            Event::StepCompleted(StepCompleted {
                operation,
                attempts: attempt,
                outcome,
                began_at: began_at.0,
                at: at.0,
            }),
        );
        fail_point!("step.outcome.recorded");
    }

    /// The last attempt is over: if it was to undo something and has failed, the run halts, and when it is resumed the step is
    /// tried again.
    fn not_undone(&mut self, over: Attempt<O>) -> Result<Attempt<O>, AttemptError> {
        let error = match &over {
            Attempt::Returned(_) | Attempt::TimedOut if self.undoes => self.attempt_error(&over).ok(),
            _ => None,
        };
        let is_ok =
            |attempt: &Attempt<O>| matches!(attempt, Attempt::Returned(output) if !(self.values.is_err)(output));
        let Some(error) = error.filter(|_| !is_ok(&over)) else { return Ok(over) };
        let told = match &error {
            AttemptError::Err(error) => error.excerpt(),
            AttemptError::Panic(_) | AttemptError::TimedOut => "it took too long".to_owned(),
        };
        self.stage = Stage::Over;
        let key = self.shared.operation(self.claim).map(|operation| operation.key);
        let message = format!(
            "it was to undo what the run has done, and failed: {told}. What was done before it is not undone either. Mend the cause and resume the run: it is tried again, then the others"
        );
        self.shared.halt(Halt::new(HaltReason::NotUndone, key, message));
        Err(error)
    }

    /// The failed attempt as it is recorded; an error that can't be encoded is not tried again.
    fn attempt_error(&self, over: &Attempt<O>) -> Result<AttemptError, String> {
        match over {
            Attempt::Returned(output) => self.encode(output).map(AttemptError::Err),
            Attempt::Panicked(message) | Attempt::Misused(message) => Ok(AttemptError::Panic(message.clone())),
            Attempt::TimedOut => Ok(AttemptError::TimedOut),
        }
    }

    /// Encodes what the step returned, or says why it can't be, shortly enough to be recorded.
    fn encode(&self, output: &O) -> Result<Payload, String> {
        let environment = &self.shared.environment;
        // A `Serialize` of the user's may panic; that must not look like a panic of the function.
        catch_unwind(AssertUnwindSafe(|| {
            (self.values.encode)(environment.codec, output, environment.limits.payload_bytes)
        }))
        .map_err(|panic| format!("its serialization panicked: {}", message_of(&*panic)))?
        .map_err(|error| detail(error.to_string()))
    }

    /// The step's outcome is delivered: hands the code what was recorded (R7).
    fn resolve(&mut self, outcome: Outcome) -> Poll<O> {
        self.stage = Stage::Over;
        fail_point!("step.outcome.delivered");
        let message = match outcome {
            Outcome::Ok(payload) | Outcome::Err(payload) | Outcome::Interrupted(payload) => {
                let why = match catch_unwind(AssertUnwindSafe(|| (self.values.decode)(&payload))) {
                    Ok(Ok(value)) => return Poll::Ready(value),
                    Ok(Err(error)) => detail(error.to_string()),
                    Err(panic) => format!("its deserialization panicked: {}", message_of(&*panic)),
                };
                format!(
                    "its recorded result can't be read: {why}. Its effect is not repeated; deploy a type that reads it, and resume the run"
                )
            }
            Outcome::Unusable(why) => format!(
                "it ran, but its result could not be recorded and is lost: {why}. Its effect is not repeated, and resuming the run does not bring the result back: mend the step, delete the run, and do what is left of it under another run id"
            ),
        };
        let key = self.shared.operation(self.claim).map(|operation| operation.key);
        self.shared.halt(Halt::new(HaltReason::Value, key, message));
        Poll::Pending
    }
}

impl<O> Drop for Step<'_, O> {
    fn drop(&mut self) {
        if let Stage::Running(running) = &self.stage {
            // Before the body is dropped, which may wait for what it has set off.
            running.cancellation.cancel();
        }
        if self.begun.is_some() || matches!(self.stage, Stage::Running(_)) {
            self.shared.body_ended(self.claim);
        }
        self.shared.abandon(self.claim);
    }
}

impl<O> fmt::Debug for Step<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.shared.operation(self.claim).map(|operation| operation.key);
        f.debug_struct("Step").field("run", &self.shared.id).field("key", &key).finish_non_exhaustive()
    }
}
