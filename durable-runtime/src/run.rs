//! A hold on one run, from outside.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::engine::{Outcome, Phase, Watched};
use crate::error::RunError;
use crate::id::RunId;

/// A started run; await it for what the function returns.
///
/// The run goes on whether or not this handle is kept. Awaiting gives `Ok` with the function's own
/// return value, often itself a `Result`, or a [`RunError`] of the machinery.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Runtime, durable};
///
/// #[durable]
/// async fn greet(_ctx: Context, name: String) -> String {
///     format!("hello {name}")
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// let run = runtime.start("greet-1", greet, "Ada".to_owned()).await?;
/// assert_eq!(run.id().as_str(), "greet-1");
/// assert_eq!(run.await?, "hello Ada");
/// # Ok(())
/// # }
/// ```
#[must_use = "the run goes on without it, but its result is lost to you"]
pub struct Run<T> {
    id: RunId,
    source: Source,
    result: PhantomData<fn() -> T>,
}

enum Source {
    Active(watch::Receiver<Phase>),
    Over(Outcome),
}

impl<T> Run<T> {
    pub(crate) fn of_watched(watched: Watched) -> Self {
        Self { id: watched.active.id.clone(), source: Source::Active(watched.phases), result: PhantomData }
    }

    pub(crate) fn over(id: RunId, outcome: Outcome) -> Self {
        Self { id, source: Source::Over(outcome), result: PhantomData }
    }

    /// The run's id.
    pub fn id(&self) -> &RunId {
        &self.id
    }
}

impl<T: DeserializeOwned> Run<T> {
    async fn result(self) -> Result<T, RunError> {
        let run = self.id;
        let outcome = match self.source {
            Source::Over(outcome) => outcome,
            Source::Active(mut phases) => {
                match phases.wait_for(|phase| matches!(phase, Phase::Over(_))).await.as_deref() {
                    Ok(Phase::Over(outcome)) => outcome.clone(),
                    Ok(_) | Err(_) => Outcome::Stopped,
                }
            }
        };
        match outcome {
            Outcome::Finished { result } => {
                result.decode().map_err(|error| RunError::Result { run, source: Arc::new(error) })
            }
            Outcome::Cancelled { reason } => Err(RunError::Cancelled { run, reason: reason.to_string() }),
            Outcome::Halted(halt) => Err(RunError::Halted { run, halt }),
            Outcome::Stopped | Outcome::Suspended { .. } | Outcome::NotStarted(_) => Err(RunError::Stopped { run }),
        }
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Run<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.result())
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).finish_non_exhaustive()
    }
}
