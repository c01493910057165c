//! Looking at runs, and looking after them: get, journal, list, verify, check, delete, resume.

mod check;
mod info;

pub use check::{CHECK_LIST_MAX, Check, Stranded};
pub use info::{AttemptInfo, RunInfo, RunSummary, StepInfo, StepStatus};

use crate::engine::{Loaded, ResumeRefused, load};
use crate::error::AdminError;
use crate::id::RunId;
use crate::journal::Journal;
use crate::runtime::Runtime;
use crate::store::{RunHead, RunStatus, Store, StoreError};

/// The most that one call of [`Runtime::list`] returns.
pub const LIST_MAX: usize = 1_000;

impl Runtime {
    /// All that is recorded of a run: function, input, status, steps with their attempts and errors,
    /// result, times. `None` if there is no such run. Shows what is durable, not what is under way.
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
            Ok(Some(loaded)) => Ok(RunInfo::of(&loaded, engine.stuck(&id))),
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
    /// Reads the whole journal of each run that it lists. Of a run that can't be read, at most the id and the status
    /// are listed; why is in [`Runtime::recovery`], or in what [`Runtime::get`] answers.
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
        let listed = self
            .inner
            .engine
            .blocking(move |store| {
                let heads = store.list(status, after.as_ref(), limit.min(LIST_MAX))?;
                heads
                    .into_iter()
                    .map(|head| Ok((load_unless_corrupt(store, &head)?, head)))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let stuck = |run: &RunId| self.inner.engine.stuck(run);
        Ok(listed
            .into_iter()
            .map(|(loaded, head)| match loaded.and_then(|loaded| RunInfo::of(&loaded, stuck(&head.run))) {
                Some(info) => RunSummary::of(info),
                None => RunSummary::unreadable(&head, stuck(&head.run)),
            })
            .collect())
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

/// The run, or nothing of it if its journal can't be read, or if it is gone by now.
fn load_unless_corrupt(store: &dyn Store, head: &RunHead) -> Result<Option<Loaded>, StoreError> {
    match load(store, &head.run) {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        loaded => loaded,
    }
}
