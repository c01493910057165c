//! How long runs are kept that have ended.

use std::time::Duration;

use crate::engine::NotPruned;
use crate::error::AdminError;
use crate::runtime::Runtime;
use crate::store::RunStatus;

/// How long runs are kept once they have ended, by how they ended. What is not said is kept for good, and so are runs that
/// have not ended, halted ones among them.
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::Retention;
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// let retention = Retention::new().completed(30 * DAY).failed(365 * DAY); // cancelled ones are kept
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "it deletes nothing by itself: give it to `Runtime::prune` or to `RuntimeBuilder::retention`"]
pub struct Retention {
    completed: Option<Duration>,
    failed: Option<Duration>,
    cancelled: Option<Duration>,
}

impl Retention {
    /// Everything is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs with a result that is not an `Err` are kept for so long after their end.
    pub fn completed(self, age: Duration) -> Self {
        Self { completed: Some(age), ..self }
    }

    /// Runs that ended with an `Err` are kept for so long after their end.
    pub fn failed(self, age: Duration) -> Self {
        Self { failed: Some(age), ..self }
    }

    /// Runs that somebody cancelled are kept for so long after that.
    pub fn cancelled(self, age: Duration) -> Self {
        Self { cancelled: Some(age), ..self }
    }

    /// How long runs of this status are kept; `None`: for good.
    pub(crate) fn age_of(self, status: RunStatus) -> Option<Duration> {
        match status {
            RunStatus::Completed => self.completed,
            RunStatus::Failed => self.failed,
            RunStatus::Cancelled => self.cancelled,
            RunStatus::Running | RunStatus::Suspended | RunStatus::Halted => None,
        }
    }
}

impl Runtime {
    /// Deletes the runs that ended longer ago than `retention` says, by the runtime's clock as of now, and answers how many those were.
    ///
    /// Goes through all runs of the store, page by page, while everything goes on, and deletes one after the other, each durably. It can
    /// be dropped at any time, and a crash in between leaves those that it did not come to: call it again. A run that can't be
    /// read is kept. A deleted run is forgotten, also by who would start it again (R1): keep runs for longer than
    /// anybody repeats a start. The space is given back as [`compact`](Self::compact) says.
    ///
    /// [`RuntimeBuilder::retention`](crate::RuntimeBuilder::retention) does it by itself.
    ///
    /// # Errors
    /// [`AdminError::Store`], [`AdminError::ShuttingDown`]: some may have been deleted; call again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Retention, Runtime, durable};
    ///
    /// #[durable]
    /// async fn soon_forgotten(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("f-1", soon_forgotten, ()).await?.await?;
    /// let month = Duration::from_secs(30 * 86_400);
    /// assert_eq!(runtime.prune(Retention::new().completed(month)).await?, 0);
    /// assert_eq!(runtime.prune(Retention::new().completed(Duration::ZERO)).await?, 1);
    /// assert_eq!(runtime.get("f-1").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune(&self, retention: Retention) -> Result<u64, AdminError> {
        self.inner.engine.prune(retention).await.map_err(|error| match error {
            NotPruned::ShuttingDown => AdminError::ShuttingDown,
            NotPruned::Store(error) => AdminError::Store(error),
        })
    }
}
