//! One step: the future that `ctx.run` yields.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use tracing::Span;

use super::StepContext;
use super::answers::Arrival;
#[cfg(feature = "testing")]
use super::director;
use super::scope::Scope;
use super::shared::RunShared;
use super::wakes::BodyWaker;
use super::work::{Bounds, Call, Work};
use crate::clock::{Sleep, Timestamp};
use crate::failure::Failure;
use crate::halt::{Halt, HaltReason, detail};
use crate::journal::event::AttemptError;
use crate::journal::{Arguments, AttemptFailed, Event, OperationKind, Outcome, StepCompleted};
use crate::panics::message_of;
use crate::payload::{Codec, Payload, PayloadError};
use crate::replay::{Answer, ClaimNumber, Request};
use crate::retry::{Retry, RetryOn};
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
    stage: Stage,
}

/// Given what the step returned and the attempt's number: how long to wait before the next attempt.
type RetryRule<O> = Box<dyn Fn(Option<&O>, u32) -> Option<Duration> + Send>;

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
            stage: Stage::Waiting,
        }
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

impl<T, E> Step<'_, Result<T, E>>
where
    T: 'static,
    E: 'static,
{
    /// Tries the step again when it returns `Err` or panics, as `policy` says.
    ///
    /// Attempts made and the time of the next one are recorded, so they survive restarts (R11). When the
    /// attempts are used up, or `policy` makes an exception, the last `Err` is the step's outcome; a
    /// panic halts the run. A [`Failure`] marked permanent is never tried again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Retry, durable};
    ///
    /// async fn reserve(sku: &str) -> Result<u32, String> {
    ///     Ok(sku.len() as u32)
    /// }
    ///
    /// #[durable]
    /// async fn reserve_patiently(ctx: Context, sku: String) -> Result<u32, String> {
    ///     let patient = Retry::exponential(Duration::from_millis(500)).max_attempts(5);
    ///     ctx.run(reserve, &sku).retry(patient.unless(|error: &String| error == "unknown sku")).await
    /// }
    /// ```
    pub fn retry<P>(mut self, policy: Retry<P>) -> Self
    where
        P: RetryOn<E> + Send + 'static,
    {
        self.retry = Some(Box::new(move |returned, attempt| {
            let worthwhile = match returned {
                None => true,
                Some(Ok(_)) => false,
                Some(Err(error)) => {
                    let permanent = (error as &dyn Any).downcast_ref::<Failure>().is_some_and(Failure::is_permanent);
                    !permanent && policy.retries_on(error)
                }
            };
            if worthwhile { policy.delay_after(attempt) } else { None }
        }));
        self
    }

    /// Stops an attempt that takes longer than `limit`; it counts as failed. If no further attempt follows,
    /// the step's outcome is `Err(E::from(TimedOut))`.
    ///
    /// The time runs from the attempt's beginning and not across restarts. A step that blocks its thread
    /// can't be stopped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Failure, durable};
    ///
    /// async fn ask() -> Result<u32, Failure> {
    ///     Ok(42)
    /// }
    ///
    /// #[durable]
    /// async fn answer(ctx: Context) -> Result<u32, Failure> {
    ///     ctx.run(ask).timeout(Duration::from_secs(5)).await
    /// }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self
    where
        E: From<TimedOut>,
    {
        self.timeout = Some((limit, |timed_out| Err(timed_out.into())));
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
                    Arrival::Delivered(Answer::Fired | Answer::Signal(_) | Answer::Promise(_)) => {
                        step.stage = Stage::Over;
                    }
                    Arrival::Begin { attempt, not_before } => match not_before {
                        Some(due) => {
                            let sleep = step.shared.environment.clock.sleep_until(due);
                            step.stage = Stage::BackingOff { sleep, waker: step.shared.wakes.waker() };
                        }
                        None => step.begin(attempt),
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
    fn begin(&mut self, attempt: u32) {
        let environment = &self.shared.environment;
        let Some(operation) = self.shared.operation(self.claim) else { return };
        let began_at = environment.clock.now();
        let limit = self.timeout.map(|(limit, _)| limit);
        #[cfg(feature = "testing")]
        let limit = environment.director.as_ref().map_or(limit, |director| director.limit(limit));
        let deadline = limit.map(|limit| environment.clock.sleep(limit));
        let span = tracing::info_span!("step", key = %operation.key, attempt);
        let context = StepContext::new(Arc::clone(&self.shared), operation.key, attempt);
        environment.counters.executed();
        fail_point!("step.body.unbegun");
        let arguments = if self.shared.is_recorded(self.claim) { None } else { self.work.arguments() };
        let waker = self.shared.body_began(self.claim);
        self.stage = Stage::Running(Running { attempt, began_at, deadline, span, arguments, waker });
        // What becomes of a panic becomes of every failure that may be tried again.
        let last = self.retry.as_ref().is_none_or(|rule| rule(None, attempt).is_none());
        let work = &mut self.work;
        // A callee may panic when it is only called, before its future is polled.
        let begun = {
            let _scope = Scope::step(self.shared.instance);
            catch_unwind(AssertUnwindSafe(|| work.begin(context, Bounds { last, limit })))
        };
        if let Err(panic) = begun {
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
        let retry_after = self.retry.as_ref().and_then(|rule| match &over {
            Attempt::Returned(output) => rule(Some(output), attempt),
            Attempt::Panicked(_) | Attempt::TimedOut => rule(None, attempt),
            Attempt::Misused(_) => None,
        });
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
                self.stage = Stage::Over;
                self.shared.halt(Halt::new(
                    HaltReason::Panic,
                    Some(operation.key),
                    format!("attempt {attempt} panicked: {message}. Its effect may have happened; resuming the run tries it again"),
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
            Outcome::Ok(payload) | Outcome::Err(payload) => {
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
        match self.stage {
            Stage::Running(_) => self.shared.body_ended(self.claim),
            Stage::Waiting | Stage::BackingOff { .. } | Stage::Over => {}
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
