//! Pausing runs.

use crate::engine::NotReceived;
use crate::error::AdminError;
use crate::halt::{HaltReason, detail};
use crate::id::RunId;
use crate::journal::Halted;
use crate::replay::{Incoming, Sent};
use crate::runtime::Runtime;

impl Runtime {
    /// Stops a run until somebody [resumes](Self::resume) it: it is halted, with [`HaltReason::Paused`] and the reason that is given.
    ///
    /// No step of it begins any more; steps that are running are waited for, and what they return is recorded. When this
    /// returns, that is durable: also the next process that opens the store leaves the run alone. It may be wherever it is: in memory, suspended, not
    /// recovered yet, waiting for a place, or without its function. One that is halted already stays so, which is no error. If the caller
    /// stops waiting, the run is paused all the same; if the process dies before the steps have ended, it is not.
    ///
    /// A paused run receives signals, and can be cancelled; times go by, and what was due meanwhile is due at once when it is resumed.
    /// Whoever awaits it gets [`RunError::Halted`](crate::RunError::Halted). Its child runs go on. What it is undoing is undone further
    /// when it is resumed.
    ///
    /// Of the reason, at most 16 KiB are kept.
    ///
    /// # Errors
    /// [`AdminError::Finished`], [`AdminError::NotBegun`], [`AdminError::Unknown`], [`AdminError::InvalidId`],
    /// [`AdminError::ShuttingDown`]: nothing was changed. [`AdminError::Store`]: it is unknown whether it is paused.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, HaltReason, RunError, Runtime, durable};
    ///
    /// #[durable]
    /// async fn ships_when_paid(ctx: Context) -> String {
    ///     ctx.signal::<String>("payment").await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("order-1", ships_when_paid, ()).await?;
    /// runtime.pause("order-1", "the warehouse is moving").await?;
    /// assert!(matches!(run.await, Err(RunError::Halted { halt, .. }) if halt.reason == HaltReason::Paused));
    ///
    /// runtime.signal("order-1", "payment", "by card").await?;
    /// runtime.resume("order-1").await?;
    /// assert_eq!(runtime.attach("order-1", ships_when_paid).await?.await?, "by card");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pause(&self, id: impl AsRef<str>, reason: impl Into<String>) -> Result<(), AdminError> {
        let run = RunId::new(id)?;
        let engine = &self.inner.engine;
        let message = format!("paused: {}. `Runtime::resume` lets it go on", detail(reason.into()));
        let at = engine.environment.clock.now().0;
        let halted = Halted { reason: HaltReason::Paused, step: None, message, at };
        match engine.send(&run, &Incoming::Pause(halted)).await {
            Ok(Sent::NotBegun) => Err(AdminError::NotBegun { run }),
            Ok(_) => Ok(()),
            Err(NotReceived::Unknown) => Err(AdminError::Unknown { run }),
            Err(NotReceived::Finished(status)) => Err(AdminError::Finished { run, status }),
            Err(NotReceived::ShuttingDown) => Err(AdminError::ShuttingDown),
            Err(NotReceived::Store(error)) => Err(AdminError::Store(error)),
        }
    }
}
