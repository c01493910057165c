//! Looking at runs, and looking after them: get, journal, list, verify, check, verify the store, delete,
//! cancel, pause, resume, fork, import, prune.

mod check;
mod child_info;
mod fork;
mod import;
mod info;
mod list;
mod pause;
mod prune;
mod verify_store;

pub use check::{CHECK_LIST_MAX, Check, Stranded};
pub use child_info::ChildInfo;
pub use fork::FORK_KEYS_MAX;
pub use info::{
    AttemptInfo, EmittedInfo, ForkedFrom, PromiseInfo, PublishedInfo, QueueInfo, RunInfo, RunningStep, SignalInfo,
    StepInfo, StepStatus, TimerInfo,
};
pub use list::{LIST_LOOKS_MAX, LIST_MAX, RunFilter, RunPage, RunSummary};
pub use prune::Retention;
pub use verify_store::{Finding, StoreReport};

use crate::engine::{DeleteRefused, Loaded, NotReceived, ResumeRefused};
use crate::error::AdminError;
use crate::halt::detail;
use crate::id::RunId;
use crate::journal::{Cancelled, Journal};
use crate::replay::Incoming;
use crate::runtime::Runtime;
use crate::store::Store;

impl Runtime {
    /// All that is recorded of a run: function, input, status, steps with their attempts and errors,
    /// result, times. `None` if there is no such run. Shows what is durable; what is under way is in
    /// [`RunInfo::running`] only.
    ///
    /// # Errors
    /// [`AdminError::InvalidId`], [`AdminError::Store`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, RunStatus, Runtime, durable};
    ///
    /// async fn add(a: u32, b: u32) -> u32 {
    ///     a + b
    /// }
    ///
    /// #[durable]
    /// async fn sum(ctx: Context, a: u32, b: u32) -> u32 {
    ///     ctx.run(add, a, b).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("sum-1", sum, (1, 2)).await?.await?;
    /// let info = runtime.get("sum-1").await?.expect("it was started");
    /// assert_eq!(info.status, RunStatus::Completed);
    /// assert_eq!(info.input.text(), "[1,2]");
    /// assert_eq!(info.steps[0].key, "add");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, id: impl AsRef<str>) -> Result<Option<RunInfo>, AdminError> {
        let id = RunId::new(id)?;
        let engine = &self.inner.engine;
        match engine.load(&id).await {
            Ok(Some(loaded)) => Ok(RunInfo::of(&loaded, engine.stuck(&id)).map(|info| info.with(engine.at_work(&id)))),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All that is recorded of a run, as it lies in the store: to be kept as text, or replayed in a test. `None` if there
    /// is no such run.
    ///
    /// # Errors
    /// [`AdminError::InvalidId`], [`AdminError::Store`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn silent(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("s-1", silent, ()).await?.await?;
    /// let journal = runtime.journal("s-1").await?.expect("it was started");
    /// assert_eq!((journal.function(), journal.length()), (Some("silent"), 2)); // started and finished
    /// assert_eq!(runtime.journal("s-2").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn journal(&self, id: impl AsRef<str>) -> Result<Option<Journal>, AdminError> {
        let run = RunId::new(id)?;
        let loaded = self.inner.engine.load(&run).await?;
        Ok(loaded.map(|Loaded { events, .. }| Journal { run, events }))
    }

    /// Deletes a run that has ended or is halted, with all its records; also an unfinished one that is not active, because
    /// it was skipped or [not recovered yet](crate::RuntimeBuilder::recover_later). `false` if there was none. Its id can
    /// then be started anew.
    ///
    /// # Errors
    /// [`AdminError::Running`] while the run is active, [`AdminError::Awaited`] while another one waits for its end,
    /// [`AdminError::ShuttingDown`], [`AdminError::InvalidId`], [`AdminError::Store`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn short_lived(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("once", short_lived, ()).await?.await?;
    /// assert!(runtime.delete("once").await?);
    /// assert!(!runtime.delete("once").await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete(&self, id: impl AsRef<str>) -> Result<bool, AdminError> {
        let id = RunId::new(id)?;
        self.inner.engine.delete(&id).await.map_err(|refused| match refused {
            DeleteRefused::Running => AdminError::Running { run: id },
            DeleteRefused::ShuttingDown => AdminError::ShuttingDown,
            DeleteRefused::Awaited { parent } => AdminError::Awaited { run: id, parent },
            DeleteRefused::Store(error) => AdminError::Store(error),
        })
    }

    /// Lets a halted run go on, after whatever halted it was mended, or one that was [paused](Self::pause): it is replayed, and continues where
    /// it stopped. Attach to it to await its result.
    ///
    /// # Errors
    /// An [`AdminError`] that says why there is nothing to resume; nothing was changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{AdminError, Runtime};
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// assert!(matches!(runtime.resume("ord_1").await, Err(AdminError::Unknown { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resume(&self, id: impl AsRef<str>) -> Result<(), AdminError> {
        let run = RunId::new(id)?;
        self.inner.engine.resume(&run).await.map_err(|refused| match refused {
            ResumeRefused::Unknown => AdminError::Unknown { run },
            ResumeRefused::Running => AdminError::Running { run },
            ResumeRefused::Finished(status) => AdminError::Finished { run, status },
            ResumeRefused::Stuck(halt) => AdminError::Stuck { run, halt },
            ResumeRefused::ShuttingDown => AdminError::ShuttingDown,
            ResumeRefused::Store(error) => AdminError::Store(error),
        })
    }

    /// Ends a run that has not ended, for good. Its code is dropped at its next `.await`, and the bodies of its steps with it, which
    /// may or may not have had their effect; a body can be told by [`StepContext::cancellation`](crate::StepContext::cancellation).
    ///
    /// When it returns, that is durable, and whoever awaits the run gets [`RunError::Cancelled`](crate::RunError::Cancelled). It may
    /// be wherever it is: in memory, suspended, halted, not recovered yet, waiting for a place, or without its function. Whichever comes first, its result or this,
    /// is what became of it. A run that was cancelled before stays so, which is no error. Its [child runs](crate::Child) that are
    /// attached and have not ended are cancelled, too, soon after: if the process dies before, when the store is opened again.
    ///
    /// If the run has something to [undo](crate::Context#undoing), or that is not certain, this returns when the request is durable. No step of its code begins any more; what it
    /// has done is undone, and then the run has ended. Until then its status is what it was, or running, and [`RunInfo::cancelled`] has the reason.
    ///
    /// Of the reason, at most 16 KiB are kept.
    ///
    /// # Errors
    /// [`AdminError::Finished`] if the run has a result, [`AdminError::Unknown`], [`AdminError::InvalidId`],
    /// [`AdminError::ShuttingDown`]: nothing was changed. [`AdminError::Store`]: it is unknown whether it is cancelled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, RunError, Runtime, durable};
    ///
    /// #[durable]
    /// async fn waits_for_payment(ctx: Context) {
    ///     ctx.signal::<()>("payment").await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("order-1", waits_for_payment, ()).await?;
    /// runtime.cancel("order-1", "the customer has changed her mind").await?;
    /// assert!(matches!(run.await, Err(RunError::Cancelled { reason, .. }) if reason.starts_with("the customer")));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(&self, id: impl AsRef<str>, reason: impl Into<String>) -> Result<(), AdminError> {
        let run = RunId::new(id)?;
        let engine = &self.inner.engine;
        let cancelled = Cancelled { reason: detail(reason.into()), at: engine.environment.clock.now().0 };
        match engine.send(&run, &Incoming::Cancel(cancelled)).await {
            Ok(_) => Ok(()),
            Err(NotReceived::Unknown) => Err(AdminError::Unknown { run }),
            Err(NotReceived::Finished(status)) => Err(AdminError::Finished { run, status }),
            Err(NotReceived::ShuttingDown) => Err(AdminError::ShuttingDown),
            Err(NotReceived::Store(error)) => Err(AdminError::Store(error)),
        }
    }

    /// Gives the space of deleted runs back to the file system (S13). Starts, steps and results wait meanwhile.
    ///
    /// # Errors
    /// [`AdminError::Store`]; the store goes on as it was.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = durable_runtime::Runtime::builder().in_memory().await?;
    /// runtime.compact().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn compact(&self) -> Result<(), AdminError> {
        Ok(self.inner.engine.blocking(Store::compact).await?)
    }
}
