//! What a step does when an attempt begins: its callee and its arguments.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use serde::Serialize;

use super::StepContext;
use crate::journal::Arguments;

/// What is known of an attempt when it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Whether no other attempt follows, even if this one fails.
    pub(super) last: bool,
    /// Whether another one follows if this one panics.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "of use to a director only"))]
    pub(super) may_panic: bool,
    /// How long it may take.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "of use to a director only"))]
    pub(super) limit: Option<Duration>,
}

/// A step's callee and arguments, without their types.
pub(super) trait Work<O> {
    /// The arguments as they are recorded.
    fn arguments(&self) -> Option<Arguments>;
    /// The arguments as JSON: a list with one element for each.
    #[cfg(feature = "testing")]
    fn arguments_as_json(&self) -> Result<serde_json::Value, serde_json::Error>;
    /// Starts an attempt. Unless it is the last one, the arguments are kept for another.
    fn begin(&mut self, step: StepContext, bounds: Bounds);
    /// Polls the attempt.
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<O>;
    /// Drops the attempt's future.
    fn stop(&mut self);
}

/// A callee that is called afresh for each attempt.
pub(super) struct Call<F, A, Fut> {
    callee: F,
    arguments: Option<A>,
    body: Option<Pin<Box<Fut>>>,
}

impl<F, A, Fut> Call<F, A, Fut> {
    pub(super) fn new(callee: F, arguments: A) -> Self {
        Self { callee, arguments: Some(arguments), body: None }
    }
}

impl<F, A, Fut> Work<Fut::Output> for Call<F, A, Fut>
where
    F: Fn(StepContext, A) -> Fut,
    A: Serialize + Clone,
    Fut: Future,
{
    fn arguments(&self) -> Option<Arguments> {
        self.arguments.as_ref().and_then(Arguments::of)
    }

    #[cfg(feature = "testing")]
    fn arguments_as_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::to_value(&self.arguments)
    }

    fn begin(&mut self, step: StepContext, bounds: Bounds) {
        let arguments = if bounds.last { self.arguments.take() } else { self.arguments.clone() };
        self.body = arguments.map(|arguments| Box::pin((self.callee)(step, arguments)));
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Fut::Output> {
        match &mut self.body {
            Some(body) => body.as_mut().poll(task),
            None => Poll::Pending,
        }
    }

    fn stop(&mut self) {
        self.body = None;
    }
}
