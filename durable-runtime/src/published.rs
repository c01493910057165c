//! Reading from outside what runs publish.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::context::check_name;
use crate::engine::{Cursor, Engine, Following};
use crate::halt::Halt;
use crate::id::{InvalidRunId, RunId};
use crate::payload::{Payload, PayloadError};
use crate::runtime::Runtime;
use crate::store::{RunStatus, StoreError};

/// Why what a run publishes can't be read, or why there is no more of it to follow for now.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// The id can't be a run id.
    #[error(transparent)]
    InvalidId(#[from] InvalidRunId),
    /// Nothing can be published under the name.
    #[error("[D0173] run {run} can't publish anything under this name: {why}")]
    Name {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// There is no such run, or not any more.
    #[error("[D0174] there is no run {run} that could publish anything: start it before")]
    Unknown {
        /// The run.
        run: RunId,
    },
    /// A value is not of the type that is asked for.
    #[error(
        "[D0175] what run {run} has published as {name:?}, number {number}, can't be read: {source}. It stays as it is: follow from number {} on to pass over it",
        .number + 1
    )]
    Value {
        /// The run.
        run: RunId,
        /// Under which name.
        name: String,
        /// The value's number among those of the name.
        number: u64,
        /// Why.
        source: Arc<PayloadError>,
    },
    /// The run is halted: it publishes nothing more before somebody resumes it.
    #[error("[D0176] run {run} publishes nothing more until it is resumed, and can then be followed again: {halt}")]
    Halted {
        /// The run.
        run: RunId,
        /// Why it is halted.
        halt: Halt,
    },
    /// The runtime was shut down. The run goes on when the store is open again.
    #[error(
        "[D0177] run {run} can't be followed any further, because the runtime is shutting down: follow it again when the store is open again"
    )]
    ShuttingDown {
        /// The run.
        run: RunId,
    },
    /// The store failed.
    #[error("what run {run} has published can't be read: {source}")]
    Store {
        /// The run.
        run: RunId,
        /// Why.
        source: StoreError,
    },
}

impl fmt::Debug for PublishedError {
    /// As it is shown: whoever returns it from `main`, or unwraps it, needs the code and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Runtime {
    /// The latest value that a run has [published](crate::Context::publish) under this name; `None` if it has not
    /// published any yet.
    ///
    /// It is durable: no crash takes it back. The run may be wherever it is: in memory, suspended, halted, ended, or not recovered
    /// yet. Reads the run's journal; to be told of every change, [`follow`](Self::follow) the run instead of asking again
    /// and again.
    ///
    /// # Errors
    /// A [`PublishedError`]; neither [`Halted`](PublishedError::Halted) nor, unless the runtime was shut down,
    /// [`ShuttingDown`](PublishedError::ShuttingDown).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, PublishedError, Runtime, durable};
    ///
    /// #[durable]
    /// async fn asks_for_approval(ctx: Context) -> bool {
    ///     ctx.publish("stage", "waiting for approval");
    ///     let approved = ctx.signal::<bool>("approval").await;
    ///     ctx.publish("stage", if approved { "approved" } else { "rejected" });
    ///     approved
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("request-7", asks_for_approval, ()).await?;
    /// assert_eq!(runtime.published::<String>("request-7", "comments").await?, None);
    /// runtime.signal("request-7", "approval", &true).await?;
    /// run.await?;
    /// assert_eq!(runtime.published::<String>("request-7", "stage").await?.as_deref(), Some("approved"));
    /// let wrong = runtime.published::<u32>("request-7", "stage").await;
    /// assert!(matches!(wrong, Err(PublishedError::Value { number: 1, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn published<T: DeserializeOwned>(
        &self,
        run: impl AsRef<str>,
        name: impl AsRef<str>,
    ) -> Result<Option<T>, PublishedError> {
        let (run, name) = checked(run.as_ref(), name.as_ref())?;
        let engine = &self.inner.engine;
        let (mut cursor, mut latest) = (Cursor::default(), None);
        loop {
            let part = engine.read_published(&run, &name, cursor).await;
            let part = part.map_err(|error| failed(&run, engine, error))?;
            let Some(part) = part else { return Err(PublishedError::Unknown { run }) };
            let is_last = part.is_last();
            latest = part.values.into_iter().next_back().or(latest);
            cursor = part.cursor;
            if is_last {
                break;
            }
        }
        latest.map(|(number, value)| decoded(&run, &name, number, &value)).transpose()
    }

    /// Follows what a run [publishes](crate::Context::publish) under this name: all values from this number on, in order,
    /// each once, those that are there at once and the others as they become durable.
    ///
    /// The values of a name are numbered from 0. Who remembers the number of the last one that he has seen, and comes again
    /// with the next, in this process or a later one, misses none and gets none twice.
    ///
    /// The stream ends (`None`) when the run has ended and all is told. Until then it waits: in memory there is nothing of it but
    /// what it has just read, so it may fall behind as far as it likes, and a run that is suspended stays so. It does
    /// not wait for a run that goes no further by itself: after all that there is, it ends with an `Err`, as it does after
    /// a value that can't be read. It does not keep the runtime open.
    ///
    /// # Errors
    /// The stream's last item can be a [`PublishedError`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    /// use futures::{StreamExt as _, TryStreamExt as _};
    ///
    /// async fn copy(part: u32) -> u32 {
    ///     part
    /// }
    ///
    /// #[durable]
    /// async fn copies_parts(ctx: Context, parts: u32) {
    ///     for part in 1..=parts {
    ///         ctx.publish("percent", &(100 * ctx.run(copy, part).await / parts));
    ///     }
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("backup-1", copies_parts, 4).await?;
    /// let mut percents = runtime.follow::<u32>("backup-1", "percent", 0);
    /// assert_eq!(percents.next().await.transpose()?, Some((0, 25)));
    /// let rest: Vec<(u64, u32)> = runtime.follow("backup-1", "percent", 1).try_collect().await?;
    /// assert_eq!(rest, [(1, 50), (2, 75), (3, 100)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow<T: DeserializeOwned + 'static>(
        &self,
        run: impl AsRef<str>,
        name: impl AsRef<str>,
        from: u64,
    ) -> Follow<T> {
        let follower = checked(run.as_ref(), name.as_ref()).map(|(run, name)| Follower {
            engine: Arc::downgrade(&self.inner.engine),
            run,
            name,
            from,
            cursor: Cursor::default(),
            values: VecDeque::new(),
            following: None,
            is_over: false,
            value: PhantomData,
        });
        let values = match follower {
            Ok(follower) => stream::unfold(follower, |mut follower| async move {
                let next = follower.next().await?;
                Some((next, follower))
            })
            .fuse()
            .boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        };
        Follow { values }
    }
}

fn checked(run: &str, name: &str) -> Result<(RunId, Arc<str>), PublishedError> {
    let run = RunId::new(run)?;
    match check_name(name) {
        Ok(()) => Ok((run, name.into())),
        Err(why) => Err(PublishedError::Name { run, why }),
    }
}

fn decoded<T: DeserializeOwned>(run: &RunId, name: &str, number: u64, value: &Payload) -> Result<T, PublishedError> {
    value.decode().map_err(|error| {
        let (run, name, source) = (run.clone(), name.to_owned(), Arc::new(error));
        PublishedError::Value { run, name, number, source }
    })
}

/// A store that is closed says no more than that.
fn failed(run: &RunId, engine: &Engine, source: StoreError) -> PublishedError {
    let run = run.clone();
    if engine.is_stopping() { PublishedError::ShuttingDown { run } } else { PublishedError::Store { run, source } }
}

/// The values that a run publishes under a name, each with its number; made by [`Runtime::follow`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Follow<T> {
    values: BoxStream<'static, Result<(u64, T), PublishedError>>,
}

impl<T> Stream for Follow<T> {
    type Item = Result<(u64, T), PublishedError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.values.as_mut().poll_next(task)
    }
}

impl<T> fmt::Debug for Follow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}

/// What is behind a [`Follow`].
struct Follower<T> {
    /// Not kept alive: a folder is free when its runtime was dropped, whoever follows a run.
    engine: Weak<Engine>,
    run: RunId,
    name: Arc<str>,
    /// The first number that is asked for.
    from: u64,
    cursor: Cursor,
    /// What is read and was not given out.
    values: VecDeque<(u64, Payload)>,
    following: Option<Following>,
    is_over: bool,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Follower<T> {
    async fn next(&mut self) -> Option<Result<(u64, T), PublishedError>> {
        if self.is_over {
            return None;
        }
        let next = self.read_next().await.transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }

    /// The next value; `None` if the run has ended.
    async fn read_next(&mut self) -> Result<Option<(u64, T)>, PublishedError> {
        loop {
            if let Some((number, value)) = self.values.pop_front() {
                return decoded(&self.run, &self.name, number, &value).map(|value| Some((number, value)));
            }
            let run = || self.run.clone();
            let Some(engine) = self.engine.upgrade() else {
                return Err(PublishedError::ShuttingDown { run: run() });
            };
            let following = self.following.get_or_insert_with(|| engine.follow(&self.run));
            // All of this before the journal is read: what comes later is told.
            following.is_up_to_date();
            let (stuck, is_left) = (engine.stuck(&self.run), engine.is_left(&self.run));
            let part = engine.read_published(&self.run, &self.name, self.cursor.clone()).await;
            let part = part.map_err(|error| failed(&self.run, &engine, error))?;
            drop(engine);
            let Some(part) = part.filter(|_| !following.is_parted()) else {
                return Err(PublishedError::Unknown { run: run() });
            };
            let (is_last, status) = (part.is_last(), part.head.status);
            self.values.extend(part.values.into_iter().filter(|(number, _)| *number >= self.from));
            self.cursor = part.cursor;
            if !self.values.is_empty() || !is_last {
                continue;
            }
            let halt = match status {
                RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => return Ok(None),
                RunStatus::Halted => self.cursor.halt.clone(),
                RunStatus::Running | RunStatus::Suspended => stuck,
            };
            if let Some(halt) = halt {
                return Err(PublishedError::Halted { run: run(), halt });
            }
            if is_left {
                return Err(PublishedError::ShuttingDown { run: run() });
            }
            following.changed().await;
        }
    }
}
