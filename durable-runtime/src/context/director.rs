//! In simulated processes: who decides how long the attempts of steps take, what fails, and where the process dies.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use serde_json::Value;

use super::StepContext;
use super::shared::Environment;
use super::work::{Bounds, Work};
use crate::clock::Sleep;
use crate::id::RunId;
use crate::journal::{Arguments, Event};
use crate::payload::Payload;
use crate::value::Recorded;

/// An attempt of a step.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) step: StepContext,
    /// Whether another attempt follows if this one fails.
    pub(crate) may_fail: bool,
    /// How long it may take.
    pub(crate) limit: Option<Duration>,
    /// A list with one element for each argument, or why they can't be shown so.
    pub(crate) arguments: Result<Value, String>,
}

/// What becomes of an attempt.
#[derive(Debug)]
pub(crate) enum Cue {
    /// It goes on.
    Go,
    /// It goes on as if its body had returned this.
    Return(Payload),
    /// It fails with this panic.
    Fail(String),
    /// The process is dead: it never goes on.
    Die,
}

/// Decides what becomes of attempts.
pub(crate) trait Director: fmt::Debug + Send + Sync {
    /// The attempt is asked for. It acts when this resolves.
    fn asked(&self, attempt: &Attempt) -> Sleep;
    /// Its body is about to be called.
    fn acts(&self, attempt: &Attempt) -> Cue;
    /// Its body waits for something, or for the next thing.
    fn waits(&self, attempt: &Attempt);
    /// Its body returned this, which is not recorded.
    fn returned(&self, attempt: &Attempt, output: &Payload) -> Cue;
    /// What it returned is on its way: it arrives when this resolves.
    fn answers(&self, attempt: &Attempt) -> Sleep;
    /// The outcome of the operation with this key is appended.
    fn ended(&self, run: &RunId, key: &str);
    /// Whether the timer with this key, which is the next one, may fire, or the wait with this key may be given a signal. If
    /// so, the timer may be due now.
    fn may_fire(&self, run: &RunId, key: &str) -> bool;
    /// The child run with this key has ended, and the run that has started it is to be told when this resolves.
    fn may_end(&self, run: &RunId, key: &str) -> Sleep;
    /// How long an attempt may take that has this limit.
    fn limit(&self, limit: Option<Duration>) -> Option<Duration>;
    /// How many attempts a step with this key is to have whose policy depends on the time, if it is known.
    fn attempts(&self, run: &RunId, key: &str) -> Option<u32>;
    /// Whether the process is dead.
    fn is_dead(&self) -> bool;
}

/// The work of a step as the process's director says, if it has one.
pub(super) fn directed<'a, O: Recorded>(
    work: Box<dyn Work<O> + Send + 'a>,
    environment: &Arc<Environment>,
) -> Box<dyn Work<O> + Send + 'a> {
    match &environment.director {
        Some(director) => Box::new(Directed {
            work,
            director: Arc::clone(director),
            environment: Arc::clone(environment),
            phase: Phase::Over,
        }),
        None => work,
    }
}

/// When another attempt follows, as the process's director says, if it does.
pub(super) fn tries_again(
    environment: &Environment,
    run: &RunId,
    key: &str,
    attempt: u32,
    retry_after: Option<Duration>,
) -> Option<Duration> {
    match environment.director.as_ref().and_then(|director| director.attempts(run, key)) {
        Some(attempts) => (attempt < attempts).then(|| retry_after.unwrap_or_default()),
        None => retry_after,
    }
}

/// Tells the process's director, if it has one, of an outcome.
pub(crate) fn recorded(environment: &Environment, run: &RunId, event: &Event) {
    if let (Some(director), true, Some(operation)) = (&environment.director, event.is_outcome(), event.operation()) {
        director.ended(run, &operation.key);
    }
}

struct Directed<'a, O> {
    work: Box<dyn Work<O> + Send + 'a>,
    director: Arc<dyn Director>,
    environment: Arc<Environment>,
    phase: Phase<O>,
}

enum Phase<O> {
    Asked(Attempt, Bounds, Sleep),
    Acting(Attempt, Option<Arc<BodyWoken>>),
    Answering(O, Sleep),
    Over,
}

/// What a body is woken by, told apart from what else the code waits for: that polls the body, too.
struct BodyWoken {
    is_woken: AtomicBool,
    waker: Waker,
}

impl BodyWoken {
    /// The present one, or a new one if it is to wake another; one that is new counts as woken.
    fn of(present: Option<Arc<Self>>, waker: &Waker) -> Arc<Self> {
        let present = present.filter(|present| present.waker.will_wake(waker));
        present.unwrap_or_else(|| Arc::new(Self { is_woken: AtomicBool::new(true), waker: waker.clone() }))
    }
}

impl Wake for BodyWoken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

impl<O: Recorded> Directed<'_, O> {
    fn returned(&self, attempt: &Attempt, output: O) -> Phase<O> {
        let environment = &self.environment;
        let Ok(payload) = Payload::encode(environment.codec, &output, environment.limits.payload_bytes) else {
            // Told by the engine, which will see the same.
            return Phase::Answering(output, self.director.answers(attempt));
        };
        match self.director.returned(attempt, &payload) {
            Cue::Go => Phase::Answering(output, self.director.answers(attempt)),
            Cue::Return(payload) => Phase::Answering(decode(attempt, &payload), self.director.answers(attempt)),
            Cue::Fail(message) => resume_unwind(Box::new(message)),
            Cue::Die => Phase::Over,
        }
    }
}

fn decode<O: Recorded>(attempt: &Attempt, payload: &Payload) -> O {
    payload.decode().unwrap_or_else(|error| {
        panic!("the fake of {} returned what the step does not: {error}", attempt.step.key());
    })
}

impl<O: Recorded> Work<O> for Directed<'_, O> {
    fn arguments(&self) -> Option<Arguments> {
        self.work.arguments()
    }

    fn arguments_as_json(&self) -> Result<Value, serde_json::Error> {
        self.work.arguments_as_json()
    }

    fn begin(&mut self, step: StepContext, bounds: Bounds) {
        let arguments = self.work.arguments_as_json().map_err(|error| error.to_string());
        let attempt = Attempt { step, may_fail: bounds.may_panic, limit: bounds.limit, arguments };
        let sleep = self.director.asked(&attempt);
        self.phase = Phase::Asked(attempt, bounds, sleep);
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<O> {
        loop {
            if self.director.is_dead() {
                return Poll::Pending;
            }
            self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return Poll::Pending,
                Phase::Asked(attempt, bounds, mut sleep) => {
                    if sleep.as_mut().poll(task).is_pending() {
                        self.phase = Phase::Asked(attempt, bounds, sleep);
                        return Poll::Pending;
                    }
                    match self.director.acts(&attempt) {
                        Cue::Go => {
                            self.work.begin(attempt.step.clone(), bounds);
                            Phase::Acting(attempt, None)
                        }
                        Cue::Return(payload) => self.returned(&attempt, decode(&attempt, &payload)),
                        Cue::Fail(message) => resume_unwind(Box::new(message)),
                        Cue::Die => return Poll::Pending,
                    }
                }
                Phase::Acting(attempt, woken) => {
                    let woken = BodyWoken::of(woken, task.waker());
                    let is_woken = woken.is_woken.swap(false, Ordering::AcqRel);
                    let waker = Waker::from(Arc::clone(&woken));
                    match self.work.poll(&mut TaskContext::from_waker(&waker)) {
                        Poll::Pending => {
                            if is_woken {
                                self.director.waits(&attempt);
                            }
                            self.phase = Phase::Acting(attempt, Some(woken));
                            return Poll::Pending;
                        }
                        Poll::Ready(output) => self.returned(&attempt, output),
                    }
                }
                Phase::Answering(output, mut sleep) => {
                    if sleep.as_mut().poll(task).is_pending() {
                        self.phase = Phase::Answering(output, sleep);
                        return Poll::Pending;
                    }
                    return Poll::Ready(output);
                }
            }
        }
    }

    fn stop(&mut self) {
        self.work.stop();
        self.phase = Phase::Over;
    }
}
