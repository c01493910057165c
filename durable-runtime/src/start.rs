//! Starting a run: what [`Runtime::start`](crate::Runtime::start) gives, and what can be said of the run before it begins.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::{Begins, Particulars, Registration, Starting, Watched};
use crate::error::StartError;
use crate::function::DurableFunction;
use crate::id::{InvalidRunId, RUN_ID_BYTES_MAX, RunId};
use crate::journal::{Queued, Text};
use crate::payload::{Payload, PayloadError};
use crate::queue::QUEUE_KEY_BYTES_MAX;
use crate::run::Run;
use crate::runtime::Runtime;
use crate::schedule::is_of_schedule;
use crate::value;

/// How many tags a run can have.
pub const TAGS_MAX: usize = 32;

/// The longest name of a tag, in bytes.
pub const TAG_NAME_BYTES_MAX: usize = 128;

/// The longest value of a tag, in bytes.
pub const TAG_VALUE_BYTES_MAX: usize = 1_024;

/// The longest correlation id, in bytes: a run's id can be one.
pub const CORRELATION_ID_BYTES_MAX: usize = RUN_ID_BYTES_MAX;

/// A run that is about to be started, made by [`Runtime::start`]; await it.
///
/// Nothing happens before it is awaited. What is said of the run here is recorded together with its input, and shown by
/// [`Runtime::get`]. None of it tells one run from another (R1): a start that attaches to a run changes nothing of what was
/// said of that when it was started.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Runtime, durable};
///
/// #[durable]
/// async fn delivers(_ctx: Context, parcel: u32) -> u32 {
///     parcel
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// let run = runtime.start("parcel-7", delivers, 7).tag("region", "north").correlation_id("order-3").await?;
/// assert_eq!(run.await?, 7);
/// let info = runtime.get("parcel-7").await?.expect("it was started");
/// assert_eq!(info.tags["region"], "north");
/// assert_eq!(info.correlation_id, "order-3");
/// # Ok(())
/// # }
/// ```
#[must_use = "a run is started when this is awaited"]
pub struct Start<'a, F: DurableFunction> {
    runtime: &'a Runtime,
    id: Result<RunId, InvalidRunId>,
    function: F,
    input: F::Input,
    said: Said,
}

/// What is said of a run.
#[derive(Debug, Default)]
pub(crate) struct Said {
    particulars: Particulars,
    priority: Option<u32>,
    key: Option<String>,
    /// The first thing that can't be recorded.
    refused: Option<Refused>,
}

/// Why what is said of a run can't be recorded.
#[derive(Debug, Clone)]
enum Refused {
    Tag { name: String, why: String },
    CorrelationId { why: String },
}

impl Said {
    pub(crate) fn tag(&mut self, name: String, value: String) {
        let tags = &mut self.particulars.tags;
        let why = if name.is_empty() || name.len() > TAG_NAME_BYTES_MAX {
            Some(format!("its name has {} bytes, and must have 1 to {TAG_NAME_BYTES_MAX}", name.len()))
        } else if value.len() > TAG_VALUE_BYTES_MAX {
            Some(format!("its value has {} bytes, and may have {TAG_VALUE_BYTES_MAX}", value.len()))
        } else if tags.len() >= TAGS_MAX && !tags.contains_key(&*name) {
            Some(format!("a run has at most {TAGS_MAX} tags"))
        } else {
            tags.insert(name.clone().into(), value.into());
            None
        };
        if let Some(why) = why {
            self.refused.get_or_insert(Refused::Tag { name, why });
        }
    }

    pub(crate) fn correlation_id(&mut self, id: String) {
        if id.is_empty() || id.len() > CORRELATION_ID_BYTES_MAX {
            let why = format!("it has {} bytes, and must have 1 to {CORRELATION_ID_BYTES_MAX}", id.len());
            self.refused.get_or_insert(Refused::CorrelationId { why });
        } else {
            self.particulars.correlation = Some(id.into());
        }
    }

    pub(crate) fn queue(&mut self, name: String) {
        self.particulars.queue = Some(Queued { name: name.into(), priority: 0, key: None });
    }

    pub(crate) fn priority(&mut self, priority: u32) {
        self.priority = Some(priority);
    }

    pub(crate) fn key(&mut self, key: String) {
        self.key = Some(key);
    }

    /// The run's place in its queue, if that can be recorded.
    fn place(&self) -> Result<Option<Queued>, String> {
        match (&self.particulars.queue, &self.key) {
            (None, Some(_)) => Err("it has a key, and no queue: say `.queue(…)`, too".to_owned()),
            (None, None) if self.priority.is_some() => {
                Err("it has a priority, and no queue: say `.queue(…)`, too".to_owned())
            }
            (_, Some(key)) if key.is_empty() || key.len() > QUEUE_KEY_BYTES_MAX => {
                Err(format!("its key has {} bytes, and must have 1 to {QUEUE_KEY_BYTES_MAX}", key.len()))
            }
            (Some(queue), _) if is_of_schedule(&queue.name) => {
                Err(format!("the queue {:?} is that of a schedule, which starts its runs itself", &*queue.name))
            }
            (None, None) => Ok(None),
            (Some(queue), key) => {
                let (name, key) = (queue.name.clone(), key.clone().map(Into::into));
                Ok(Some(Queued { name, priority: self.priority.unwrap_or_default(), key }))
            }
        }
    }

    pub(crate) fn timeout(&mut self, timeout: Duration) {
        self.particulars.timeout = Some(timeout);
    }

    pub(crate) fn begins(&mut self, begins: Begins) {
        self.particulars.begins = begins;
    }

    /// What is to be recorded of this run, if it can be.
    pub(crate) fn of(&self, run: &RunId) -> Result<Particulars, StartError> {
        match self.refused.clone() {
            Some(Refused::Tag { name, why }) => Err(StartError::Tag { run: run.clone(), name, why }),
            Some(Refused::CorrelationId { why }) => Err(StartError::CorrelationId { run: run.clone(), why }),
            None => match self.place() {
                Ok(queue) => Ok(Particulars { queue, ..self.particulars.clone() }),
                Err(why) => Err(StartError::Queue { run: run.clone(), why }),
            },
        }
    }
}

impl<'a, F: DurableFunction> Start<'a, F> {
    pub(crate) fn new(runtime: &'a Runtime, id: &str, function: F, input: F::Input) -> Self {
        Self { runtime, id: RunId::new(id), function, input, said: Said::default() }
    }

    /// Says something of the run that it can be found by: a region, a customer. A second tag of the same name replaces the
    /// first.
    ///
    /// A name has 1 to [`TAG_NAME_BYTES_MAX`] bytes, a value at most [`TAG_VALUE_BYTES_MAX`], and a run at most
    /// [`TAGS_MAX`] tags; beyond that the start is refused, with [`StartError::Tag`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, StartError, durable};
    ///
    /// #[durable]
    /// async fn tagged(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let refused = runtime.start("t-1", tagged, ()).tag("", "nothing").await;
    /// assert!(matches!(refused, Err(StartError::Tag { .. })));
    /// assert_eq!(runtime.get("t-1").await?, None); // nothing was recorded
    /// # Ok(())
    /// # }
    /// ```
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.said.tag(name.into(), value.into());
        self
    }

    /// Says what the run belongs to, together with other runs and with what happens outside: the id of a request, of an
    /// order. Unless it is said, that is the run's own id.
    ///
    /// Steps see it with [`StepContext::correlation_id`](crate::StepContext::correlation_id), to pass it on; the `tracing`
    /// span of the run has it as the field `correlation_id`, and [`RunInfo::correlation_id`](crate::RunInfo::correlation_id)
    /// shows it. It has 1 to [`CORRELATION_ID_BYTES_MAX`] bytes; another one is refused, with
    /// [`StartError::CorrelationId`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, StepContext, durable};
    ///
    /// async fn header(step: StepContext) -> String {
    ///     format!("X-Request-Id: {}", step.correlation_id())
    /// }
    ///
    /// #[durable]
    /// async fn calls(ctx: Context) -> String {
    ///     ctx.run(header).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("c-1", calls, ()).correlation_id("req-42").await?;
    /// assert_eq!(run.await?, "X-Request-Id: req-42");
    /// # Ok(())
    /// # }
    /// ```
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.said.correlation_id(id.into());
        self
    }

    /// Lets the run begin so long after it is started, and not at once: see [`not_before`](Self::not_before), which this
    /// replaces. The time is rounded up to a millisecond.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn asks_how_it_was(_ctx: Context, order: u32) -> String {
    ///     format!("how was order {order}?")
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("ask-7", asks_how_it_was, 7).delay(Duration::from_millis(20)).await?;
    /// assert_eq!(run.await?, "how was order 7?");
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.said.begins(Begins::After(delay));
        self
    }

    /// Lets the run begin then, and not at once; at once, if that is past. This replaces a [`delay`](Self::delay).
    ///
    /// The run is durable when the start returns, and waits in the store only, as [`Suspended`](crate::RunStatus::Suspended),
    /// over any number of restarts. It receives signals, can be cancelled, and a second start attaches to it, which does not
    /// change its time. When it begins, `ctx.now()` is the time at which it does, and never before its time; its
    /// [correlation id](Self::correlation_id), its patches and its version are those of the program that started it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, RunStatus, Runtime, Timestamp, durable};
    ///
    /// #[durable]
    /// async fn greets_the_century(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let new_year = Timestamp(4_102_444_800_000); // 2100-01-01T00:00:00Z
    /// runtime.start("2100", greets_the_century, ()).not_before(new_year).await?.id();
    /// let info = runtime.get("2100").await?.expect("it was started");
    /// assert_eq!((info.status, info.not_before, info.began_at), (RunStatus::Suspended, Some(new_year), None));
    /// runtime.cancel("2100", "let them greet it themselves").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn not_before(mut self, due: Timestamp) -> Self {
        self.said.begins(Begins::NotBefore(due));
        self
    }

    /// Starts the run in a queue: it is durable at once, and begins when it is its turn. See [`Queue`](crate::Queue).
    ///
    /// It is started whatever else is active, and waits in the store only, as one that is to begin
    /// [later](Self::not_before); if it is to do both, it waits for its time, and then for its turn.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Queue, Runtime, StartError, durable};
    ///
    /// #[durable]
    /// async fn exports(_ctx: Context, customer: u32) -> String {
    ///     format!("customer {customer}")
    /// }
    ///
    /// let runtime = Runtime::builder().queue(Queue::new("exports").concurrency(2)).in_memory().await?;
    /// let export = runtime.start("export-7", exports, 7).queue("exports").priority(1).key("customer-7").await?;
    /// assert_eq!(export.await?, "customer 7");
    /// let queue = runtime.get("export-7").await?.expect("it was started").queue.expect("it has one");
    /// assert_eq!((queue.name.as_str(), queue.priority, queue.key.as_deref()), ("exports", 1, Some("customer-7")));
    /// let refused = runtime.start("export-8", exports, 8).queue("export").await;
    /// assert!(matches!(refused, Err(StartError::NoSuchQueue { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.said.queue(name.into());
        self
    }

    /// Says how urgent the run is, in its [queue](Self::queue): the lowest is next. 0 unless it is said.
    pub fn priority(mut self, priority: u32) -> Self {
        self.said.priority(priority);
        self
    }

    /// Says what the run is about, in its [queue](Self::queue): of those with one key, one at a time has begun, in the order in which they
    /// were started. It has 1 to [`QUEUE_KEY_BYTES_MAX`] bytes.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.said.key(key.into());
        self
    }

    /// Lets the run take no longer than this, from its beginning to its end: after that it is cancelled, as by
    /// [`Runtime::cancel`], with what it has done undone and its child runs cancelled. The time is rounded up to a millisecond.
    ///
    /// It is fixed when the run begins, at once or [later](Self::not_before), and goes on over restarts, pauses and halts;
    /// [`RunInfo::deadline`](crate::RunInfo::deadline) shows it. A run that is halted then is cancelled when it is
    /// resumed. A [fork](Runtime::fork) has none. Of one wait only, see [`Context::timeout`](crate::Context::timeout); of one
    /// attempt of a step, [`Step::timeout`](crate::Step::timeout).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Context, RunError, Runtime, durable};
    ///
    /// #[durable]
    /// async fn waits_for_an_answer(ctx: Context) -> String {
    ///     ctx.signal::<String>("answer").await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("q-1", waits_for_an_answer, ()).timeout(Duration::from_millis(20)).await?;
    /// assert!(matches!(run.await, Err(RunError::Cancelled { reason, .. }) if reason.starts_with("its time is up")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.said.timeout(timeout);
        self
    }

    async fn start(self) -> Result<Run<F::Output>, StartError> {
        let Self { runtime, id, function, input, said } = self;
        let id = id?;
        let particulars = said.of(&id)?;
        let registration = runtime.registration(function)?;
        let starting = runtime.starting::<F>(&id, &input, particulars)?;
        drop(input);
        let started = runtime.inner.engine.start(id.clone(), registration, &starting);
        runtime.attach_started::<F>(id, registration, &starting, started).await
    }
}

impl Runtime {
    /// Waits until the run is known to be there, and to be this one; starts it again if it was just being deleted.
    pub(crate) async fn attach_started<F: DurableFunction>(
        &self,
        id: RunId,
        registration: &'static Registration,
        starting: &Starting,
        mut started: Result<Watched, StartError>,
    ) -> Result<Run<F::Output>, StartError> {
        let engine = &self.inner.engine;
        loop {
            let watched = match started {
                // Attaching to what is recorded takes no place (R1).
                Err(refused @ (StartError::TooManyActiveRuns { .. } | StartError::QueueFull { .. })) => {
                    engine.recorded(&id).await?.ok_or(refused)?
                }
                started => started?,
            };
            if watched.active.attached(F::NAME, Some((&starting.input, starting.input_digest))).await? {
                return Ok(Run::of_watched(watched));
            }
            // A run of this id was being deleted; now it is gone, and another one can be started.
            started = engine.start(id.clone(), registration, starting);
        }
    }

    /// The input as it is recorded, if it can be.
    pub(crate) fn starting<F: DurableFunction>(
        &self,
        id: &RunId,
        input: &F::Input,
        particulars: Particulars,
    ) -> Result<Starting, StartError> {
        let environment = &self.inner.engine.environment;
        let refused = |source| StartError::Input { run: id.clone(), source: Arc::new(source) };
        let payload = Payload::encode(environment.codec, input, environment.limits.payload_bytes).map_err(refused)?;
        // What can't be read back would be a run that can never begin, under an id that is taken.
        payload.decode::<F::Input>().map_err(refused)?;
        let digest = value::digest(input).map_err(|error| {
            let (type_name, codec) = (std::any::type_name::<F::Input>(), environment.codec);
            refused(PayloadError::Encode { type_name, codec, detail: error.to_string() })
        })?;
        Ok(Starting { input: payload, input_digest: digest.0, particulars })
    }
}

impl<'a, F: DurableFunction> IntoFuture for Start<'a, F> {
    type Output = Result<Run<F::Output>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F: DurableFunction> fmt::Debug for Start<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("id", &self.id)
            .field("function", &F::NAME)
            .field("said", &self.said)
            .finish_non_exhaustive()
    }
}

/// The correlation id of a run: its own id, unless another one is recorded.
pub(crate) fn correlation_of<'a>(recorded: Option<&'a Text>, run: &'a RunId) -> &'a str {
    recorded.map_or(run.as_str(), |recorded| recorded)
}
