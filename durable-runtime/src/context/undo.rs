//! Undoing what a run has done, should it fail or be cancelled: `ctx.undo`.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use super::fallible::{Fallible, MadeFrom};
use super::shared::RunShared;
use super::{Context, Step};
use crate::payload::Payload;
use crate::retry::{Retry, RetryOn};
use crate::timed_out::TimedOut;
use crate::value::Recorded;

/// A step that was asked for with `ctx.undo(…)`; it is run if the function returns an `Err`, or the run is cancelled.
///
/// Nothing is to be awaited: the step is planned when this is dropped, at the end of the statement.
pub struct Undo<O: Recorded + 'static> {
    step: Option<Step<'static, O>>,
    planned: Planned,
}

/// What a run has planned to undo, the newest last.
#[derive(Clone, Default)]
pub(crate) struct Planned(Arc<Mutex<Vec<PlannedStep>>>);

type PlannedStep = Pin<Box<dyn Future<Output = ()> + Send>>;

#[expect(clippy::return_self_not_must_use, reason = "the statement may end with it")]
impl<O: Recorded + 'static> Undo<O> {
    pub(super) fn new(context: &Context, step: Step<'static, O>) -> Self {
        Self { step: Some(step.undoing()), planned: context.planned.clone() }
    }

    fn with(mut self, change: impl FnOnce(Step<'static, O>) -> Step<'static, O>) -> Self {
        self.step = self.step.take().map(change);
        self
    }

    /// Gives the step another name, and with it another key, as [`Step::named`] does.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn release(sku: &str) {
    ///     println!("{sku} is free again");
    /// }
    ///
    /// #[durable]
    /// async fn reserves(ctx: Context, sku: String) -> Result<(), String> {
    ///     ctx.undo(release, &sku).named("release what was reserved");
    ///     Err(format!("{sku} is not for sale"))
    /// }
    /// ```
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with(|step| step.named(name))
    }

    /// Tries the step again when it returns `Err` or panics, as `policy` says. When the attempts are used up the run is halted;
    /// when it is resumed, the step is tried again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Retry, durable};
    ///
    /// async fn refund(charge: u64) -> Result<(), String> {
    ///     println!("charge {charge} is refunded");
    ///     Ok(())
    /// }
    ///
    /// #[durable]
    /// async fn charges(ctx: Context, charge: u64) -> Result<(), String> {
    ///     ctx.undo(refund, charge).retry(Retry::fixed(Duration::from_mins(1)).max_attempts(1_000));
    ///     Err("out of stock".to_owned())
    /// }
    /// ```
    pub fn retry<P>(self, policy: Retry<P>) -> Self
    where
        O: Fallible,
        P: RetryOn<O::Error> + Send + 'static,
    {
        self.with(|step| step.retry(policy))
    }

    /// Stops an attempt that takes longer than `limit`; it counts as failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Failure, durable};
    ///
    /// async fn refund(charge: u64) -> Result<(), Failure> {
    ///     println!("charge {charge} is refunded");
    ///     Ok(())
    /// }
    ///
    /// #[durable]
    /// async fn charges_quickly(ctx: Context, charge: u64) -> Result<(), Failure> {
    ///     ctx.undo(refund, charge).timeout(Duration::from_secs(10));
    ///     Err(Failure::new("out of stock"))
    /// }
    /// ```
    pub fn timeout(self, limit: Duration) -> Self
    where
        O: Fallible,
        O::Error: MadeFrom<TimedOut>,
    {
        self.with(|step| step.timeout(limit))
    }
}

impl<O: Recorded + 'static> Drop for Undo<O> {
    fn drop(&mut self) {
        if let Some(step) = self.step.take() {
            self.planned.0.lock().push(Box::pin(async move { drop(step.await) }));
        }
    }
}

impl<O: Recorded + 'static> fmt::Debug for Undo<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").field("step", &self.step).finish_non_exhaustive()
    }
}

/// How a durable function's code ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// It returned this, and if that is an `Err`, what it had done is undone.
    Returned(T),
    /// The run is cancelled, and what it had done is undone.
    Cancelled,
    /// It has continued as new, with this input, which has this digest. What it had planned to undo is settled.
    Continues(Payload, u64),
}

impl Planned {
    /// Runs the code of a run; if it fails or is to be cancelled, then what was planned, the newest first.
    pub(crate) async fn follow<T>(
        self,
        shared: Arc<RunShared>,
        code: impl Future<Output = T> + Send,
        has_failed: impl Fn(&T) -> bool,
    ) -> Ended<T> {
        let planned = Emptied(self);
        let mut code = Some(Box::pin(code));
        let returned = poll_fn(|task| {
            let polled = match &mut code {
                Some(_) if shared.is_cancel_told() => Poll::Ready(None),
                Some(running) => match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(task))) {
                    Ok(polled) => polled.map(Some),
                    // It has come as far as it can.
                    Err(_) if shared.is_to_be_cancelled() => Poll::Ready(None),
                    Err(panic) => resume_unwind(panic),
                },
                None => Poll::Pending,
            };
            // What else it has come to in that poll counts for nothing.
            if let Some((input, digest)) = shared.take_next() {
                code = None;
                return Poll::Ready(Ended::Continues(input, digest));
            }
            if polled.is_ready() {
                code = None;
            }
            polled.map(|returned| returned.map_or(Ended::Cancelled, Ended::Returned))
        })
        .await;
        let is_to_undo = match &returned {
            Ended::Returned(returned) => shared.is_to_be_cancelled() || has_failed(returned),
            Ended::Cancelled => true,
            Ended::Continues(..) => false,
        };
        if is_to_undo {
            // Not held while it is polled: its destructor may plan something.
            while let Some(step) = { planned.0.0.lock().pop() } {
                step.await;
            }
        }
        match returned {
            // It may have been cancelled meanwhile.
            Ended::Returned(_) if shared.is_to_be_cancelled() => Ended::Cancelled,
            ended => ended,
        }
    }
}

/// Drops what was planned when the code is dropped: it may hold the context, which holds it.
struct Emptied(Planned);

impl Drop for Emptied {
    fn drop(&mut self) {
        let steps = std::mem::take(&mut *self.0.0.lock());
        drop(steps);
    }
}
