//! Waiting for a time: `ctx.sleep`, `ctx.sleep_until`, `ctx.timeout`.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shared::RunShared;
use crate::clock::Timestamp;
use crate::journal::{Arguments, OperationKind};
use crate::replay::{ClaimNumber, Request};
use crate::value;

/// A wait for a time, asked for with [`Context::sleep`](crate::Context::sleep) or
/// [`Context::sleep_until`](crate::Context::sleep_until); await it.
///
/// The time is fixed when the timer is asked for, and recorded once it is awaited: a restart does not begin the wait
/// anew, and if the process was down when the time came, the timer fires when the run is recovered. Of several timers of
/// a run, the one that is due first fires first, also when all of them are overdue. Dropping a timer ends it.
#[must_use = "a timer does nothing unless it is awaited"]
pub struct Timer {
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    due: Timestamp,
    /// For its record.
    arguments: Option<Arguments>,
    is_over: bool,
}

impl Timer {
    #[track_caller]
    pub(super) fn claim<A: Serialize>(
        shared: &Arc<RunShared>,
        name: &'static str,
        due: Timestamp,
        argument: &A,
        shown: &dyn fmt::Debug,
    ) -> Self {
        Self::claim_at(shared, name, due, argument, shown, Location::caller())
    }

    /// One that is written there.
    pub(super) fn claim_at<A: Serialize>(
        shared: &Arc<RunShared>,
        name: &'static str,
        due: Timestamp,
        argument: &A,
        shown: &dyn fmt::Debug,
        site: &'static Location<'static>,
    ) -> Self {
        shared.check_place(&format_args!("`ctx.{name}(…)` at {site}"));
        // A time is not nested, and its `Serialize` does not fail.
        let digest = value::digest(&(argument,)).map_or(0, |digest| digest.0);
        let request = Request { name: Cow::Borrowed(name), kind: OperationKind::Timer, digest, site: site.into() };
        let (claim, differs) = shared.claim(request);
        let arguments = Arguments::of(&(format!("{shown:?}"),));
        if differs {
            shared.show(claim, arguments.clone());
        }
        Self { shared: Arc::clone(shared), claim, due, arguments, is_over: false }
    }

    /// Gives the timer another name, and with it another key, to tell it from others in the journal.
    ///
    /// Write it directly behind the call that asks for the timer. For what can be a name, see
    /// [`Step::named`](crate::Step::named).
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn trial(ctx: Context) {
    ///     ctx.sleep(Duration::from_secs(30 * 86_400)).named("trial period").await;
    /// }
    /// ```
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.shared.name(self.claim, name.into());
        self
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let timer = self.get_mut();
        timer.shared.check_place(&"a timer");
        if timer.is_over || !timer.shared.has_fired(timer.claim, timer.due, &mut timer.arguments, task.waker()) {
            return Poll::Pending;
        }
        timer.is_over = true;
        Poll::Ready(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.abandon(self.claim);
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.shared.operation(self.claim).map(|operation| operation.key);
        f.debug_struct("Timer")
            .field("run", &self.shared.id)
            .field("key", &key)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A durable future with a limit, made by [`Context::timeout`](crate::Context::timeout); await it.
    #[derive(Debug)]
    #[must_use = "a durable future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: Option<F>,
        timer: Option<Timer>,
        after: Duration,
    }
}

impl<F> Timeout<F> {
    pub(super) fn new(future: F, timer: Timer, after: Duration) -> Self {
        Self { future: Some(future), timer: Some(timer), after }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let output = match this.future.as_mut().as_pin_mut().map(|future| future.poll(task)) {
            Some(Poll::Ready(output)) => Ok(output),
            Some(Poll::Pending) => match this.timer.as_mut().map(|timer| Pin::new(timer).poll(task)) {
                Some(Poll::Ready(())) => Err(Elapsed { after: *this.after }),
                Some(Poll::Pending) | None => return Poll::Pending,
            },
            None => return Poll::Pending,
        };
        // What has lost ends here, and not when the caller happens to drop this.
        *this.timer = None;
        this.future.set(None);
        Poll::Ready(output)
    }
}

/// What was awaited with [`Context::timeout`](crate::Context::timeout) took longer than it was given.
///
/// It was dropped where it was: steps of it that were running may or may not have had their effect.
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::Elapsed;
/// assert_eq!(Elapsed { after: Duration::from_secs(5) }.to_string(), "[D0307] it took longer than 5s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error("[D0307] it took longer than {after:?}")]
pub struct Elapsed {
    /// How long it was given.
    pub after: Duration,
}
