//! How a step is run: what can be said behind `ctx.run(…)`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{RetryRule, Step};
use crate::context::fallible::{Fallible, MadeFrom};
use crate::failure::Failure;
use crate::interrupted::Interrupted;
use crate::retry::{Retry, RetryOn};
use crate::timed_out::TimedOut;
use crate::value::{self, Recorded};

/// How long after its first failed attempt something is tried again that undoes, how long at most after a later one, and how
/// often in all, if nothing else is said: for about an hour.
const UNDO_DELAY: Duration = Duration::from_secs(1);
const UNDO_DELAY_MAX: Duration = Duration::from_mins(5);
const UNDO_ATTEMPTS_MAX: u32 = 20;

impl<O> Step<'_, O> {
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
        O: Fallible,
        P: RetryOn<O::Error> + Send + 'static,
    {
        let (attempts_max, is_timed) = (policy.attempts_max(), policy.is_timed());
        let delay = Box::new(move |returned: Option<&O>, tried| match returned.map(O::error) {
            None => policy.next_delay(None, tried),
            Some(None) => None,
            Some(Some(error)) if is_permanent(error) => None,
            Some(Some(error)) => policy.next_delay(Some(error), tried),
        });
        self.retry = Some(RetryRule { delay, attempts_max, is_timed });
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
        O: Fallible,
        O::Error: MadeFrom<TimedOut>,
    {
        self.timeout = Some((limit, |timed_out| O::failed(timed_out.into())));
        self
    }

    /// Never begins an attempt again of which it is not known what became of it (R6). For effects that must not happen twice,
    /// on the other side of something that knows no idempotency keys.
    ///
    /// That it begins is made durable before the body is called, which is one sync more. If the process ends before
    /// the outcome is recorded, the step is not run again: its outcome is `Err(E::from(Interrupted))`, and the code decides.
    /// With [`retry`](Self::retry), an attempt that returned an `Err` is followed by another one, because it is known to
    /// have failed; one that panicked or took too long is not.
    ///
    /// ```
    /// use durable_runtime::{Context, Failure, Interrupted, durable};
    ///
    /// #[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
    /// enum FaxError {
    ///     #[error("the line is busy")]
    ///     Busy,
    ///     #[error(transparent)]
    ///     Interrupted(#[from] Interrupted),
    /// }
    ///
    /// async fn fax(page: &str) -> Result<(), FaxError> {
    ///     println!("dialling… {page}");
    ///     Ok(())
    /// }
    ///
    /// #[durable]
    /// async fn faxes_once(ctx: Context, page: String) -> Result<String, FaxError> {
    ///     match ctx.run(fax, &page).at_most_once().await {
    ///         Ok(()) => Ok("sent".to_owned()),
    ///         Err(FaxError::Interrupted(_)) => Ok("perhaps sent: call them".to_owned()),
    ///         Err(busy) => Err(busy),
    ///     }
    /// }
    /// ```
    pub fn at_most_once(mut self) -> Self
    where
        O: Fallible,
        O::Error: MadeFrom<Interrupted>,
    {
        self.interrupted = Some(|interrupted| O::failed(interrupted.into()));
        self
    }
}

/// Whether the step itself says that a further attempt can't mend it.
pub(in crate::context) fn is_permanent<E: 'static>(error: &E) -> bool {
    (error as &dyn Any).downcast_ref::<Failure>().is_some_and(Failure::is_permanent)
}

impl<O: Recorded> Step<'_, O> {
    /// The step undoes something: whatever `Err` it returns, or panic, it is tried again as often as a policy does by itself, and
    /// then halts the run.
    pub(in crate::context) fn undoing(mut self) -> Self {
        let policy = Retry::exponential(UNDO_DELAY).max_delay(UNDO_DELAY_MAX).max_attempts(UNDO_ATTEMPTS_MAX);
        let attempts_max = policy.attempts_max();
        let delay = Box::new(move |returned: Option<&O>, tried| match returned {
            // A `Serialize` of the user's may panic; what then becomes of the attempt is found out when it is recorded.
            Some(output) if !catch_unwind(AssertUnwindSafe(|| value::is_err(output))).unwrap_or(false) => None,
            Some(_) | None => policy.next_delay(None::<&()>, tried),
        });
        (self.undoes, self.retry) = (true, Some(RetryRule { delay, attempts_max, is_timed: policy.is_timed() }));
        self
    }
}
