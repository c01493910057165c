//! A run that goes on from the middle of another one.

use std::collections::BTreeSet;

use crate::engine::{Loaded, NotCreated, Verification, verify};
use crate::error::AdminError;
use crate::id::RunId;
use crate::journal::{Event, Started};
use crate::replay::forked;
use crate::runtime::Runtime;

/// The most keys that [`AdminError::NoSuchOperation`] names; the others are counted.
pub const FORK_KEYS_MAX: usize = 20;

impl Runtime {
    /// Starts a new run, `fork`, that has behind it what this one had when it came to the operation with the key `from`, and
    /// goes on from there with the present code. The run itself stays as it is, whatever state it is in. Attach to
    /// the fork to await its result.
    ///
    /// The fork has all records before the first one of `from`; those of other operations behind that are not in it, nor what others
    /// have sent since, nor the signal or the settlement that `from` itself was given: it waits for another one, sent to the
    /// fork. Its code is told what was recorded, runs none of those steps again, and asks for the same: in that part time,
    /// chance and [`Context::run_id`](crate::Context::run_id) are those of the run, and a promise's id is the run's, not
    /// the fork's. From there on the fork has an id, a chance and idempotency keys of its own: to the world outside, its steps are others
    /// than the run's, and an effect that the run has had is had again. A step that runs at most once and has begun is interrupted.
    /// A timer that is set keeps its time.
    ///
    /// When it returns, the fork is recorded, in one append. Called again with the same arguments, it answers the same and
    /// does nothing. Before anything is recorded, the code is replayed over what the fork begins with, as by [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`AdminError::Unknown`], [`AdminError::NoSuchOperation`]; [`AdminError::Taken`] if another run has the fork's id;
    /// [`AdminError::Unforkable`] if the function is not in this program, or does not go on with those records;
    /// [`AdminError::InvalidId`], [`AdminError::ShuttingDown`]: nothing was changed. [`AdminError::Store`]: it is unknown
    /// whether there is a fork; calling again is safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, StepContext, durable};
    ///
    /// async fn rate(step: StepContext, _city: &str) -> u32 {
    ///     if step.run_id().as_str() == "quote-1" { 900 } else { 100 } // the fee table was wrong, and was mended
    /// }
    ///
    /// #[durable]
    /// async fn quote(ctx: Context, city: String) -> u32 {
    ///     let base = ctx.run("base", async || 50).await;
    ///     base + ctx.run(rate, &city).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// assert_eq!(runtime.start("quote-1", quote, "Rome".to_owned()).await?.await?, 950);
    /// runtime.fork("quote-1", "rate", "quote-1-again").await?;
    /// assert_eq!(runtime.attach("quote-1-again", quote).await?.await?, 150);
    /// let steps = runtime.get("quote-1-again").await?.expect("it was forked").steps;
    /// assert_eq!(steps.iter().map(|step| step.key.as_str()).collect::<Vec<_>>(), ["base", "rate"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fork(
        &self,
        id: impl AsRef<str>,
        from: impl AsRef<str>,
        fork: impl AsRef<str>,
    ) -> Result<(), AdminError> {
        let (run, fork, from) = (RunId::new(id)?, RunId::new(fork)?, from.as_ref());
        let engine = &self.inner.engine;
        if let Some(there) = engine.load(&fork).await? {
            return if is_fork(&there, &run, from) { Ok(()) } else { Err(AdminError::Taken { run: fork }) };
        }
        let loaded = engine.load(&run).await?.ok_or(AdminError::Unknown { run: run.clone() })?;
        let registration = match engine.code_of(&loaded) {
            Ok(registration) => registration,
            Err(halt) => return Err(AdminError::Unforkable { run, fork, halt }),
        };
        let (seed, now) = (engine.environment.entropy.seed(), engine.environment.clock.now().0);
        let Some(events) = forked(&run, &loaded.events, from, seed, now) else {
            let (keys, more) = keys(&loaded.events);
            return Err(AdminError::NoSuchOperation { run, from: from.to_owned(), keys, more });
        };
        let verification = verify(fork.clone(), events.clone(), registration, &engine.environment).await;
        if let Verification::Differs { halt } = verification {
            return Err(AdminError::Unforkable { run, fork, halt });
        }
        match engine.create(&fork, events).await {
            Ok(()) => Ok(()),
            // Somebody else has just done the same.
            Err(NotCreated::Taken(there)) if is_fork(&there, &run, from) => Ok(()),
            Err(NotCreated::Taken(_)) => Err(AdminError::Taken { run: fork }),
            Err(NotCreated::Illegal(detail)) => Err(AdminError::NotAJournal { run, detail }),
            Err(NotCreated::ShuttingDown) => Err(AdminError::ShuttingDown),
            Err(NotCreated::Store(error)) => Err(AdminError::Store(error)),
        }
    }
}

/// Whether a run is what was forked from that place.
fn is_fork(loaded: &Loaded, run: &RunId, from: &str) -> bool {
    let last = loaded.started().map(|Started { forks, .. }| forks).and_then(|forks| forks.last());
    last.is_some_and(|last| *last.run == *run.as_str() && *last.from == *from)
}

/// The keys of operations, in the order of their first records, and how many there are besides.
fn keys(events: &[Event]) -> (Vec<String>, usize) {
    let mut known = BTreeSet::new();
    let mut keys = Vec::new();
    for operation in events.iter().filter_map(Event::operation) {
        if known.insert(&*operation.key) && keys.len() < FORK_KEYS_MAX {
            keys.push(operation.key.to_string());
        }
    }
    let more = known.len() - keys.len();
    (keys, more)
}
