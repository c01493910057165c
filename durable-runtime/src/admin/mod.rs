//! Looking at runs, and looking after them: get, journal, list, verify, check, verify the store, delete, cancel, resume.

mod check;
mod info;
mod verify_store;

pub use check::{CHECK_LIST_MAX, Check, Stranded};
pub use info::{
    AttemptInfo, PromiseInfo, RunInfo, RunSummary, RunningStep, SignalInfo, StepInfo, StepStatus, TimerInfo,
};
pub use verify_store::{Finding, StoreReport};

use crate::engine::{Loaded, NotReceived, ResumeRefused, load};
use crate::error::AdminError;
use crate::halt::{Halt, HaltReason, detail};
use crate::id::{Fence, Position, RunId};
use crate::journal::{Cancelled, Journal};
use crate::replay::Incoming;
use crate::runtime::Runtime;
use crate::store::{RunHead, RunStatus, Store, StoreError};

/// The most that one call of [`Runtime::list`] returns.
pub const LIST_MAX: usize = 1_000;

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

    /// Runs in the byte order of their ids: those after `after`, only those with `status` if given, `limit`
    /// at most (and [`LIST_MAX`]). Pass the last id seen to go on.
    ///
    /// Reads the whole journal of each run that it lists. Of a run that can't be read, the id, the status and the reason
    /// are listed; one of which not even the status can be read is listed as halted.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, RunStatus, Runtime, durable};
    ///
    /// #[durable]
    /// async fn nothing(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("b", nothing, ()).await?.await?;
    /// runtime.start("a", nothing, ()).await?.await?;
    /// let runs = runtime.list(Some(RunStatus::Completed), None, 10).await?;
    /// assert_eq!(runs[0].id.as_str(), "a");
    /// assert_eq!(runs[0].function.as_deref(), Some("nothing"));
    /// assert_eq!(runtime.list(None, Some(&runs[0].id), 10).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(
        &self,
        status: Option<RunStatus>,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, AdminError> {
        let after = after.cloned();
        let limit = limit.min(LIST_MAX);
        let (listed, unlisted) = self
            .inner
            .engine
            .blocking(move |store| {
                let heads = store.list(status, after.as_ref(), limit)?;
                // In the same order as the others, so that going on behind the last one misses none.
                let last = heads.last().filter(|_| heads.len() == limit).map(|head| head.run.clone());
                let listed = heads.into_iter().map(|head| Ok((load_unless_corrupt(store, &head.run)?, head)));
                let listed = listed.collect::<Result<Vec<_>, StoreError>>()?;
                let mut unlisted =
                    if status.is_none_or(|status| status == RunStatus::Halted) { store.corrupt() } else { Vec::new() };
                unlisted.retain(|error| match error {
                    StoreError::Corrupt { run, .. } => {
                        after.as_ref().is_none_or(|after| run > after)
                            && last.as_ref().is_none_or(|last| run < last)
                            && !listed.iter().any(|(_, head)| head.run == *run)
                    }
                    _ => false,
                });
                Ok((listed, unlisted))
            })
            .await?;
        let stuck = |run: &RunId| self.inner.engine.stuck(run);
        let listed = listed.into_iter().map(|(loaded, head)| match loaded {
            Ok(Some(loaded)) => match RunInfo::of(&loaded, stuck(&head.run)) {
                Some(info) => RunSummary::of(info),
                None => RunSummary::unreadable(&head, stuck(&head.run)),
            },
            Ok(None) => RunSummary::unreadable(&head, None),
            Err(corrupt) => RunSummary::unreadable(&head, Some(corrupt)),
        });
        let unlisted = unlisted.into_iter().filter_map(|error| match &error {
            StoreError::Corrupt { run, .. } => {
                let (run, status) = (run.clone(), RunStatus::Halted);
                let head = RunHead { run, status, length: Position(0), fence: Fence(0) };
                Some(RunSummary::unreadable(&head, Some(corrupt(&error))))
            }
            _ => None,
        });
        let mut summaries: Vec<RunSummary> = listed.chain(unlisted).collect();
        summaries.sort_by(|one, other| one.id.cmp(&other.id));
        summaries.truncate(limit);
        Ok(summaries)
    }

    /// Deletes a run that has ended or is halted, with all its records; also an unfinished one that is not active, because
    /// it was skipped or [not recovered yet](crate::RuntimeBuilder::recover_later). `false` if there was none. Its id can
    /// then be started anew.
    ///
    /// # Errors
    /// [`AdminError::Running`] while the run is active, [`AdminError::InvalidId`], [`AdminError::Store`].
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
        match self.inner.engine.delete(&id).await {
            Some(deleted) => Ok(deleted?),
            None => Err(AdminError::Running { run: id }),
        }
    }

    /// Lets a halted run go on, after whatever halted it was mended: it is replayed, and continues where
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
    /// be wherever it is: in memory, suspended, halted, not recovered yet, or without its function. Whichever comes first, its result or this,
    /// is what became of it. For a recovered run that waits for a place among the [active ones](crate::Limits::active_runs), it
    /// returns when it has one. A run that was cancelled before stays so, which is no error.
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

/// The run, `None` if it is gone by now; or why its journal can't be read.
fn load_unless_corrupt(store: &dyn Store, run: &RunId) -> Result<Result<Option<Loaded>, Halt>, StoreError> {
    match load(store, run) {
        Ok(loaded) => Ok(Ok(loaded)),
        Err(error @ StoreError::Corrupt { .. }) => Ok(Err(corrupt(&error))),
        Err(error) => Err(error),
    }
}

fn corrupt(error: &StoreError) -> Halt {
    Halt::new(HaltReason::Corrupt, None, error.to_string())
}
