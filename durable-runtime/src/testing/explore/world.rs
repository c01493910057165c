//! A world that a run has come to its end in, as a check sees it.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::stage::Seen;
use super::timeline::Timeline;
use crate::context::Dependencies;
use crate::journal::{Event, Journal};
use crate::payload::Payload;

/// A simulated world after the run has returned: what is checked.
///
/// `O` is what the function returns. Got from [`Exploration::check`](super::Exploration::check) and
/// [`Exploration::run`](super::Exploration::run).
///
/// ```
/// use durable_runtime::{Context, durable, testing};
///
/// #[durable]
/// async fn doubled(ctx: Context, value: u32) -> u32 {
///     ctx.run("double", async || value * 2).await
/// }
///
/// let world = testing::explore(doubled, 21).run();
/// assert_eq!(*world.output(), 42);
/// assert_eq!(world.executions("double"), 1);
/// assert_eq!(world.lives(), 1);
/// assert_eq!(world.journal().length(), 3);
/// ```
pub struct World<O> {
    pub(super) output: O,
    /// Its earlier parts.
    pub(super) before: Vec<Journal>,
    pub(super) journal: Journal,
    pub(super) seen: Seen,
    pub(super) dependencies: Arc<Dependencies>,
    pub(super) lives: u32,
}

impl<O> World<O> {
    /// What the function returned.
    pub fn output(&self) -> &O {
        &self.output
    }

    /// The dependency of type `T`, as the steps of all lives have left it.
    ///
    /// # Panics
    /// If there is none.
    pub fn dependency<T: Send + Sync + 'static>(&self) -> Arc<T> {
        self.dependencies.get::<T>().unwrap_or_else(|| {
            panic!("this world has no dependency of type `{}`: add `.dependency(…)`", type_name::<T>())
        })
    }

    /// All that is recorded of the run: since it has [continued as new](crate::Context::continue_as_new), if it has.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// All parts of the run, the last one last: more than one if it has continued as new.
    pub(super) fn journals(&self) -> impl Iterator<Item = &Journal> {
        self.before.iter().chain([&self.journal])
    }

    /// What the run has published under this name, in order.
    ///
    /// ```
    /// use durable_runtime::{Context, durable, testing};
    ///
    /// #[durable]
    /// async fn told_twice(ctx: Context) {
    ///     ctx.publish("stage", "begun");
    ///     ctx.run("work", async || ()).await;
    ///     ctx.publish("stage", "done");
    /// }
    ///
    /// testing::explore(told_twice, ()).check(|world| {
    ///     assert_eq!(world.published::<String>("stage"), ["begun", "done"]);
    /// });
    /// ```
    ///
    /// # Panics
    /// If one of the values is no `T`.
    pub fn published<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let published = self.journals().flat_map(|part| &part.events).filter_map(|event| match event {
            Event::Published(published) if published.operation.name() == name => Some(&published.value),
            _ => None,
        });
        let read = |value: &Payload| {
            value.decode().unwrap_or_else(|error| panic!("what is published as `{name}` is of another type: {error}"))
        };
        published.map(read).collect()
    }

    /// What the run has [emitted](crate::Context::emit) to this channel, in order. A simulated process has a sink for every channel, which takes everything.
    ///
    /// ```
    /// use durable_runtime::{Context, durable, testing};
    ///
    /// #[durable]
    /// async fn sells_one(ctx: Context) {
    ///     ctx.run("charge", async || ()).await;
    ///     ctx.emit("sales", &1);
    /// }
    ///
    /// testing::explore(sells_one, ()).check(|world| {
    ///     assert_eq!(world.emitted::<u32>("sales"), [1]);
    /// });
    /// ```
    ///
    /// # Panics
    /// If one of the events is no `T`.
    pub fn emitted<T: DeserializeOwned>(&self, channel: &str) -> Vec<T> {
        let emitted = self.journals().flat_map(|part| &part.events).filter_map(|event| match event {
            Event::Emitted(emitted) if emitted.operation.name() == channel => Some(&emitted.value),
            _ => None,
        });
        let read = |value: &Payload| {
            value.decode().unwrap_or_else(|error| panic!("what is emitted to `{channel}` is of another type: {error}"))
        };
        emitted.map(read).collect()
    }

    /// How often the body of the step with this key was called, in all lives; fakes count. A key of the second part of a run that has
    /// continued as new is `charge@2`.
    pub fn executions(&self, key: &str) -> usize {
        self.seen.executions.get(key).copied().unwrap_or(0)
    }

    /// How many processes it took.
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// What happened, line by line.
    pub fn timeline(&self) -> &Timeline {
        &self.seen.timeline
    }
}

impl<O: fmt::Debug> fmt::Debug for World<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("output", &self.output).field("lives", &self.lives).finish_non_exhaustive()
    }
}
