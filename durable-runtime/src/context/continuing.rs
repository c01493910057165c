//! Going on with a journal that begins anew: `ctx.continue_as_new`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use super::Context;
use super::shared::RunShared;
use crate::DurableFunction;
use crate::halt::{Halt, HaltReason};
use crate::payload::Payload;
use crate::value;

/// What a type of functions returns: that of one that does not return can't be named otherwise.
pub trait Returns {
    /// The return type.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

type Never = <fn() -> ! as Returns>::Output;

/// The end of this part of a run, asked for with [`Context::continue_as_new`]; await it. It never resolves.
#[must_use = "nothing happens unless it is awaited"]
pub struct ContinueAsNew {
    shared: Arc<RunShared>,
    /// The input and its digest.
    next: Option<(Payload, u64)>,
}

impl Context {
    /// Ends what the run has done so far, and begins the function anew, in the same run, with this input and an empty journal: for a run
    /// that goes on for ever, whose journal would otherwise grow with all that it has ever done.
    ///
    /// `#[durable]` fills in the function: write `ctx.continue_as_new(a, b).await` with an argument for each parameter behind the context. In a
    /// helper, which does not know whose it is, name the function and give its input as a whole:
    /// `ctx.continue_as_new::<polls_account>((a, b)).await`; another function than that of the run halts it
    /// ([`HaltReason::Misuse`]). It takes effect when it is awaited, whatever else the code waits for then, and never resolves.
    ///
    /// It is one commit: before it the run has its old journal, behind it the new one, and no crash leaves anything in between. What the code has
    /// done before is settled, as when a function returns: an attempt that is running is dropped, what was planned to
    /// [undo](Self#undoing) is not, and a child that was not awaited goes on by itself.
    ///
    /// It is the same run, with its id, its tags, its place in its queue, its [deadline](crate::Start::timeout) and whoever waits for its end. Starting it again
    /// with its first input still finds it. It takes with it:
    ///
    /// * the signals that were not taken, in their order, and the ids of the newest 1,000 that were, so that one that is sent again is known;
    /// * the latest value of each name that it has [published](Self::publish), and how many there were: the numbers go on. A reader that
    ///   was not told of earlier ones does not find them any more.
    ///
    /// Keys begin anew, and [idempotency keys](crate::StepContext::idempotency_key) and the ids of children end with the number of the part: `poll:charge@2`.
    /// [Chance](Self::rng) is another one. The id of a promise of before is that of no promise. The code is the present one: a version or a patch of
    /// before means nothing any more.
    ///
    /// An input that can't be encoded or read back, or is larger than [`Limits::payload_bytes`](crate::Limits::payload_bytes), halts the run as it was
    /// ([`HaltReason::Value`]).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn deposit(total: u64, cents: u64) -> u64 {
    ///     total + cents
    /// }
    ///
    /// #[durable]
    /// async fn saves(ctx: Context, mut total: u64) -> u64 {
    ///     for _ in 0..100 {
    ///         let cents = ctx.signal::<u64>("deposit").await;
    ///         if cents == 0 {
    ///             return total;
    ///         }
    ///         total = ctx.run(deposit, total, cents).await;
    ///     }
    ///     ctx.continue_as_new(total).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("account-1", saves, 0).await?;
    /// for cents in (1..=250).rev().chain([0]) {
    ///     runtime.signal("account-1", "deposit", &cents).await?;
    /// }
    /// assert_eq!(run.await?, 31_375);
    /// let info = runtime.get("account-1").await?.expect("it was started");
    /// assert_eq!((info.continued, info.steps.len()), (2, 50));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside the code of its run (R10).
    #[expect(clippy::needless_pass_by_value, reason = "it is what the run goes on with")]
    #[track_caller]
    pub fn continue_as_new<F: DurableFunction>(&self, input: F::Input) -> ContinueAsNew {
        let (site, shared) = (Location::caller(), &self.shared);
        shared.check_place(&format_args!("`ctx.continue_as_new(…)` at {site}"));
        let mut next = None;
        if shared.function == F::NAME {
            let (codec, bytes_max) = (shared.environment.codec, shared.environment.limits.payload_bytes);
            let encoded = value::digest(&input).map_err(|error| error.to_string()).and_then(|digest| {
                let payload = Payload::encode(codec, &input, bytes_max).map_err(|error| error.to_string())?;
                // What can't be read back would be a part that can never begin, and what was before it would be gone (R7).
                payload.decode::<F::Input>().map_err(|error| error.to_string())?;
                Ok((payload, digest.0))
            });
            match encoded {
                Ok(encoded) => next = Some(encoded),
                Err(why) => {
                    let message = format!("the input of `ctx.continue_as_new(…)` at {site} can't be recorded: {why}");
                    shared.halt(Halt::new(HaltReason::Value, None, message));
                }
            }
        } else {
            let message = format!(
                "`ctx.continue_as_new(…)` at {site} names the function {}, and the run is one of {}: a run goes on with its own function. Call the helper from that function only, or let the function itself continue as new",
                F::NAME,
                shared.function
            );
            shared.halt(Halt::new(HaltReason::Misuse, None, message));
        }
        ContinueAsNew { shared: Arc::clone(shared), next }
    }
}

impl Future for ContinueAsNew {
    type Output = Never;

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Never> {
        self.shared.check_place(&"`ctx.continue_as_new(…)`");
        if let Some(next) = self.next.take() {
            self.shared.continue_as_new(next);
        }
        Poll::Pending
    }
}

impl fmt::Debug for ContinueAsNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinueAsNew").field("run", &self.shared.id).finish_non_exhaustive()
    }
}
