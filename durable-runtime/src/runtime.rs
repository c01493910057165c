//! The runtime: opens a store, starts and recovers runs, and shows them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::admin::Retention;
use crate::clock::{Clock, SystemClock};
use crate::context::{Dependencies, Environment};
use crate::emission::Sinks;
#[cfg(feature = "testing")]
use crate::engine::Commits;
use crate::engine::{Committer, Counters, Engine, Limits, Loaded, Recovery, Registration, Registry, Stats, Tasks};
use crate::entropy::SystemEntropy;
use crate::error::{AdminError, OpenError, StartError};
use crate::function::DurableFunction;
use crate::id::RunId;
use crate::payload::Codec;
use crate::queue::{Queue, QueueStats};
use crate::run::Run;
use crate::schedule::Schedule;
use crate::start::Start;
use crate::start_many::StartMany;
use crate::store::{Durability, MemoryStore, SledStore, Store};
use crate::sync::Handle;

/// Runs durable functions over one store.
///
/// Opening one continues all unfinished runs of the store by itself. Clones are cheap and share
/// everything. When the last clone is dropped, all runs stop where they are, as in a crash; use
/// [`shutdown`](Self::shutdown) to let running steps finish and to know when the folder is free again.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Runtime, durable};
///
/// async fn price(quantity: u32) -> u32 {
///     quantity * 250
/// }
///
/// #[durable]
/// async fn order(ctx: Context, quantity: u32) -> u32 {
///     ctx.run(price, quantity).await
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("orders.durable");
/// let runtime = Runtime::open(&folder).await?;
/// assert_eq!(runtime.start("ord_1", order, 3).await?.await?, 750);
/// // The same id again attaches: the recorded result is returned, nothing runs.
/// assert_eq!(runtime.start("ord_1", order, 3).await?.await?, 750);
/// assert_eq!(runtime.stats().steps_executed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    /// Set once the unfinished runs of the store were continued.
    recovery: OnceCell<Recovery>,
}

/// What [`Runtime::recovery`] answers before there was a recovery.
static NOT_RECOVERED: Recovery = Recovery { resumed: 0, skipped: Vec::new() };

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

/// How a [`Runtime::shutdown`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// How many runs had not stopped when the time was up, because a step of theirs was still running. Those
    /// steps run again when the store is opened again, with the same idempotency keys.
    pub interrupted: usize,
}

impl Runtime {
    fn of(engine: Arc<Engine>, store: &dyn Store, recover: Recover) -> Result<Self, OpenError> {
        let recovery = OnceCell::new_with(match recover {
            Recover::Later => None,
            Recover::Now => Some(engine.recover(store).inspect_err(|_| {
                engine.stop();
            })?),
        });
        Ok(Self { inner: Arc::new(Inner { engine, recovery }) })
    }

    /// The runtime of a simulated process, in the present tokio runtime.
    #[cfg(feature = "testing")]
    pub(crate) fn simulated(
        environment: Environment,
        store: &Arc<dyn Store>,
        committer: Arc<dyn Commits>,
    ) -> Result<Self, OpenError> {
        let tasks = Tasks::in_place(Handle::try_current().map_err(|_| OpenError::NoTokio)?);
        let engine = Engine::new(environment, Registry::collect(), Arc::clone(store), committer, tasks);
        Self::of(engine, &**store, Recover::Now)
    }

    /// Opens, or creates, a sled store in a folder, with all defaults; see [`RuntimeBuilder::open`].
    ///
    /// # Errors
    /// An [`OpenError`].
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(folder).await
    }

    /// Configures a runtime.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            clock: Arc::new(SystemClock),
            dependencies: Dependencies::default(),
            sinks: Sinks::default(),
            codec: Codec::default(),
            limits: Limits::default(),
            durability: Durability::default(),
            recover: Recover::Now,
            retention: None,
            queues: Vec::new(),
            schedules: Vec::new(),
        }
    }

    /// Starts a run of `function`, or attaches to the run that has this id (R1), when it is awaited.
    ///
    /// When that returns, the run is durably recorded with its input, and goes on whatever happens to this
    /// process. Equal ids are one run: with the same function and an equal input, a second start
    /// attaches, be the run running or ended. What else can be said of a run is on [`Start`].
    ///
    /// # Errors
    /// Awaiting it gives a [`StartError`]; with [`OtherFunction`](StartError::OtherFunction) and
    /// [`OtherInput`](StartError::OtherInput) the id is taken.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, StartError, durable};
    ///
    /// #[durable]
    /// async fn halves(_ctx: Context, number: u32) -> u32 {
    ///     number / 2
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// assert_eq!(runtime.start("h-1", halves, 8).await?.await?, 4);
    /// let refused = runtime.start("h-1", halves, 6).await;
    /// assert!(matches!(refused, Err(StartError::OtherInput { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn start<F: DurableFunction>(&self, id: impl AsRef<str>, function: F, input: F::Input) -> Start<'_, F> {
        Start::new(self, id.as_ref(), function, input)
    }

    /// Starts many runs of `function`, each with its own id and input, when it is awaited: what [`start`](Self::start) gives for
    /// each, in the same order.
    ///
    /// Those that are new share commits, and so syncs: one for up to [`START_BATCH_MAX`](crate::START_BATCH_MAX) runs or
    /// 4 MiB of input. One that is refused changes nothing for the others. What can be said of all of them is on
    /// [`StartMany`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn doubles(_ctx: Context, number: u32) -> u32 {
    ///     number * 2
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let runs = (0..100).map(|number| (format!("double-{number}"), number));
    /// let started = runtime.start_many(doubles, runs).await;
    /// assert_eq!(started.len(), 100);
    /// for (run, number) in started.into_iter().zip(0..) {
    ///     assert_eq!(run?.await?, number * 2);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_many<F: DurableFunction, I: AsRef<str>>(
        &self,
        function: F,
        runs: impl IntoIterator<Item = (I, F::Input)>,
    ) -> StartMany<'_, F> {
        StartMany::new(self, function, runs)
    }

    /// Attaches to a run that exists, running or ended, without its input. One that was
    /// [not recovered yet](RuntimeBuilder::recover_later) goes on.
    ///
    /// # Errors
    /// [`StartError::Unknown`] if there is no such run, [`StartError::OtherFunction`] if it executes another
    /// function.
    pub async fn attach<F: DurableFunction>(
        &self,
        id: impl AsRef<str>,
        function: F,
    ) -> Result<Run<F::Output>, StartError> {
        let engine = &self.inner.engine;
        let id = RunId::new(id)?;
        self.registration(function)?;
        let failed = |source| StartError::Store { run: id.clone(), source };
        let mut looked_again = false;
        let loaded = loop {
            if let Some(watched) = engine.active(&id)
                && watched.active.attached(F::NAME, None).await?
            {
                return Ok(Run::of_watched(watched));
            }
            let loaded = engine.load(&id).await.map_err(failed)?.ok_or(StartError::Unknown { run: id.clone() })?;
            if let Some(watched) = engine.watch_suspended(&loaded).await.map_err(failed)?
                && watched.active.attached(F::NAME, None).await?
            {
                return Ok(Run::of_watched(watched));
            }
            // Unfinished and not in memory: perhaps only because it was started or resumed in between. Then it is
            // there now, or has ended. Or it was not recovered yet.
            if looked_again || !loaded.head.status.is_unfinished() || !executes::<F>(&loaded) {
                break loaded;
            }
            if !self.inner.recovery.initialized() {
                engine.recover_alone(&id).await.map_err(failed)?;
            }
            looked_again = true;
        };
        match loaded.started() {
            Some(started) if !executes::<F>(&loaded) => Err(StartError::OtherFunction {
                run: id,
                recorded: started.function.to_string(),
                given: F::NAME.to_owned(),
            }),
            _ => Ok(Run::over(id, engine.recorded_outcome(&loaded))),
        }
    }

    pub(crate) fn registration<F: DurableFunction>(&self, _function: F) -> Result<&'static Registration, StartError> {
        self.inner.engine.registry.get(F::NAME).map_err(|not_found| StartError::Unregistered {
            function: F::NAME.to_owned(),
            detail: not_found.to_string(),
        })
    }

    /// Continues all unfinished runs of the store, and tells what was found (R12).
    ///
    /// Opening does this by itself, unless it was told to [recover later](RuntimeBuilder::recover_later). Only the
    /// first call does anything; later ones, and those at the same time, answer what it found. Runs that are active
    /// already are left alone and not counted.
    ///
    /// # Errors
    /// [`AdminError::Store`]: some runs may not have been continued; call again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("orders.durable");
    /// use durable_runtime::Runtime;
    ///
    /// let runtime = Runtime::builder().recover_later().open(&folder).await?;
    /// let check = runtime.check().await?;
    /// assert!(check.fits(), "{check}");
    /// let recovery = runtime.recover().await?;
    /// assert_eq!(recovery.resumed, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recover(&self) -> Result<&Recovery, AdminError> {
        let engine = &self.inner.engine;
        Ok(self.inner.recovery.get_or_try_init(|| engine.recover_in_background()).await?)
    }

    /// What was found and continued when the store was opened, or by [`recover`](Self::recover); before that, nothing.
    pub fn recovery(&self) -> &Recovery {
        self.inner.recovery.get().unwrap_or(&NOT_RECOVERED)
    }

    /// How a queue stands, if there is one of that name.
    pub fn queue(&self, name: &str) -> Option<QueueStats> {
        self.inner.engine.queues.stats(name)
    }

    /// What this runtime has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.inner.engine.environment.counters.read()
    }

    /// Stops in order: begins no further step or run, gives running steps until `deadline` has passed,
    /// makes all that was recorded durable, and closes the store.
    ///
    /// Nothing is lost if the deadline passes: unfinished runs go on when the store is opened again.
    /// Afterwards this runtime, and its clones, refuse everything. The folder is free when it returns.
    ///
    /// Behind the deadline, a step's future is dropped where it awaits. One that blocks its thread can't be dropped, and is waited
    /// for as long as it blocks: put such work into [`tokio::task::spawn_blocking`].
    pub async fn shutdown(self, deadline: Duration) -> Shutdown {
        let engine = &self.inner.engine;
        engine.drain();
        let time_is_up = engine.environment.clock.sleep(deadline);
        let mut interrupted = 0;
        {
            let empty = std::pin::pin!(engine.empty());
            if let futures::future::Either::Right(_) = futures::future::select(empty, time_is_up).await {
                interrupted = engine.stop();
            }
        }
        engine.empty().await;
        fail_point!("shutdown.runs.left");
        engine.close().await;
        Shutdown { interrupted }
    }
}

/// Whether runs are to leave memory at every await, to try what that changes: nothing, it is hoped.
fn is_suspending() -> bool {
    #[cfg(feature = "testing")]
    return crate::testing::is_suspending();
    #[cfg(not(feature = "testing"))]
    false
}

/// Whether the run's function is this one; a journal that does not say it is not held against it.
fn executes<F: DurableFunction>(loaded: &Loaded) -> bool {
    loaded.started().is_none_or(|started| *started.function == *F::NAME)
}

/// Configures and opens a [`Runtime`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Limits, Runtime};
///
/// struct Gateway;
///
/// let runtime = Runtime::builder()
///     .dependency(Gateway)
///     .limits(Limits { payload_bytes: 64 * 1_024, ..Limits::default() })
///     .in_memory()
///     .await?;
/// # drop(runtime);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder opens nothing until `open` is called"]
pub struct RuntimeBuilder {
    clock: Arc<dyn Clock>,
    dependencies: Dependencies,
    pub(crate) sinks: Sinks,
    codec: Codec,
    limits: Limits,
    durability: Durability,
    recover: Recover,
    retention: Option<Retention>,
    queues: Vec<Queue>,
    schedules: Vec<Schedule>,
}

/// When the unfinished runs of the store are continued.
#[derive(Debug, Clone, Copy)]
enum Recover {
    Now,
    Later,
}

impl RuntimeBuilder {
    /// Gives steps something to work with: a client, a pool, a configuration. Steps get it by its type with
    /// `StepContext::dependency`; a second one of the same type replaces the first.
    pub fn dependency<T: Send + Sync + 'static>(self, dependency: T) -> Self {
        self.shared_dependency(Arc::new(dependency))
    }

    /// Like [`dependency`](Self::dependency), for what the application shares already.
    pub fn shared_dependency<T: Send + Sync + 'static>(mut self, dependency: Arc<T>) -> Self {
        self.dependencies.insert(dependency);
        self
    }

    /// How values are encoded from now on; what is recorded stays readable. JSON unless set.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// What is bounded, and by how much.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Limits { payload_bytes: limits.payload_bytes.min(crate::payload::PAYLOAD_BYTES_MAX), ..limits };
        self
    }

    /// What an acknowledged record survives; [`Durability::Sync`] unless set. Only for [`open`](Self::open).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where time comes from; the machine's clock unless set. For tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Deletes runs that ended long ago by itself, as [`Runtime::prune`] does: when the store was opened and recovered, and then once an
    /// hour, as long as the runtime lives. What can't be deleted is logged, and tried again the next time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Retention, Runtime};
    ///
    /// let month = Duration::from_secs(30 * 86_400);
    /// let runtime = Runtime::builder().retention(Retention::new().completed(month)).in_memory().await?;
    /// # drop(runtime);
    /// # Ok(())
    /// # }
    /// ```
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Declares a queue that runs can be [started](crate::Start::queue) in. A second one of the same name replaces the first.
    ///
    /// If there are any, then when the store was opened and recovered, all runs in it that have not ended are looked at, in the background: which of them
    /// wait, and which have begun. Until that is done no run of a queue begins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Queue, Runtime};
    ///
    /// let mail = Queue::new("mail").concurrency(10).rate(600, Duration::from_secs(60));
    /// let runtime = Runtime::builder().queue(mail).in_memory().await?;
    /// # drop(runtime);
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }

    /// Runs a function again and again, when a [`Cron`](crate::Cron) is due: see [`Schedule`]. A second one of the same name replaces
    /// the first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Cron, Runtime, Schedule, durable};
    ///
    /// #[durable]
    /// async fn tidies_up(_ctx: Context) {}
    ///
    /// let hourly = Schedule::new("tidy", Cron::new("@hourly")?, tidies_up, |_| ());
    /// let runtime = Runtime::builder().schedule(hourly).in_memory().await?;
    /// # drop(runtime);
    /// # Ok(())
    /// # }
    /// ```
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Opens without continuing the unfinished runs of the store: they stand still until [`Runtime::recover`]. In
    /// between, [`Runtime::check`] tells whether this program can continue them all.
    ///
    /// A run that is asked for by name does not stand still: [`Runtime::start`], [`Runtime::attach`] and
    /// [`Runtime::resume`] continue that one. [`Runtime::delete`] deletes also an unfinished one. Without `recover`,
    /// shutting down leaves the others exactly as they were.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("orders.durable");
    /// use std::time::Duration;
    /// use durable_runtime::Runtime;
    ///
    /// let runtime = Runtime::builder().recover_later().open(&folder).await?;
    /// if !runtime.check().await?.fits() {
    ///     runtime.shutdown(Duration::ZERO).await; // nothing was changed: deploy something else
    ///     return Ok(());
    /// }
    /// runtime.recover().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recover_later(mut self) -> Self {
        self.recover = Recover::Later;
        self
    }

    /// Opens, or creates, a sled store in `folder`, and continues its unfinished runs.
    ///
    /// # Errors
    /// An [`OpenError`]. If the folder is locked or foreign, nothing in it was changed.
    pub async fn open(self, folder: impl AsRef<Path>) -> Result<Runtime, OpenError> {
        let (folder, durability) = (folder.as_ref().to_owned(), self.durability);
        self.start(move || Ok(Arc::new(SledStore::open(&folder, durability)?) as Arc<dyn Store>)).await
    }

    /// Opens a store that is gone when the process ends: for tests and experiments.
    ///
    /// # Errors
    /// An [`OpenError`].
    pub async fn in_memory(self) -> Result<Runtime, OpenError> {
        self.open_store(Arc::new(MemoryStore::default())).await
    }

    /// Opens a runtime on a store of your own, and continues its unfinished runs.
    ///
    /// # Errors
    /// An [`OpenError`].
    pub async fn open_store(self, store: Arc<dyn Store>) -> Result<Runtime, OpenError> {
        self.start(move || Ok(store)).await
    }

    async fn start(
        self,
        open: impl FnOnce() -> Result<Arc<dyn Store>, crate::store::StoreError> + Send + 'static,
    ) -> Result<Runtime, OpenError> {
        let tasks = Tasks::of(Handle::try_current().map_err(|_| OpenError::NoTokio)?);
        let (registry, recover, engine_tasks) = (Registry::collect(), self.recover, tasks.clone());
        let (retention, schedules) = (self.retention, self.schedules.clone());
        let queues = self.queues.iter().cloned().chain(schedules.iter().map(Schedule::queue)).collect();
        let environment = self.environment();
        let opened = tasks.blocking(move || {
            let store = open()?;
            let committer = Committer::start(Arc::clone(&store), environment.counters.clone())
                .map_err(|error| OpenError::Thread(Arc::new(error)))?;
            let engine = Engine::new(environment, registry, Arc::clone(&store), Arc::new(committer), engine_tasks);
            engine.queues.declare(queues);
            engine.schedules.declare(schedules);
            if let Some(retention) = retention {
                engine.retain(retention);
            }
            Runtime::of(engine, &*store, recover)
        });
        match opened.await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::Thread(Arc::new(std::io::Error::other(error)))),
        }
    }

    /// What all runs of the runtime share.
    fn environment(self) -> Environment {
        Environment {
            clock: self.clock,
            entropy: Arc::new(SystemEntropy),
            dependencies: Arc::new(self.dependencies),
            sinks: self.sinks,
            codec: self.codec,
            limits: self.limits,
            counters: Counters::default(),
            suspends: is_suspending(),
            #[cfg(feature = "testing")]
            director: None,
        }
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("dependencies", &self.dependencies)
            .field("sinks", &self.sinks)
            .field("codec", &self.codec)
            .field("limits", &self.limits)
            .field("durability", &self.durability)
            .field("recover", &self.recover)
            .field("retention", &self.retention)
            .field("queues", &self.queues)
            .field("schedules", &self.schedules)
            .finish_non_exhaustive()
    }
}
