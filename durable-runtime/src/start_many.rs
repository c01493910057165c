//! Starting many runs with few commits: what [`Runtime::start_many`](crate::Runtime::start_many) gives.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::{Begins, Registration, Starting};
use crate::error::StartError;
use crate::function::DurableFunction;
use crate::id::{InvalidRunId, RunId};
use crate::run::Run;
use crate::runtime::Runtime;
use crate::start::Said;

/// How many runs are started with one commit at the most.
pub const START_BATCH_MAX: usize = 1_000;

/// How many bytes of input are recorded with one commit at the most, give or take one run's.
const BATCH_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// What became of one of them.
type Answer<F> = Result<Run<<F as DurableFunction>::Output>, StartError>;

/// Many runs that are about to be started, made by [`Runtime::start_many`]; await it.
///
/// What is said here is said of each of them, as [`Start`](crate::Start) does of one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use durable_runtime::{Context, Runtime, durable};
///
/// #[durable]
/// async fn newsletter(_ctx: Context, reader: String) -> String {
///     format!("dear {reader}")
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// let readers = [("n-1", "Ada".to_owned()), ("n-2", "Grace".to_owned())];
/// let started = runtime.start_many(newsletter, readers).tag("issue", "7").delay(Duration::from_millis(5)).await;
/// for run in started {
///     assert!(run?.await?.starts_with("dear "));
/// }
/// assert_eq!(runtime.get("n-2").await?.expect("it was started").tags["issue"], "7");
/// # Ok(())
/// # }
/// ```
#[must_use = "the runs are started when this is awaited"]
pub struct StartMany<'a, F: DurableFunction> {
    runtime: &'a Runtime,
    function: F,
    runs: Vec<(Result<RunId, InvalidRunId>, F::Input)>,
    said: Said,
}

/// Runs that are started together, each where its answer belongs.
#[derive(Default)]
struct Batch {
    runs: Vec<(usize, RunId, Starting)>,
    bytes: usize,
}

impl<'a, F: DurableFunction> StartMany<'a, F> {
    pub(crate) fn new<I: AsRef<str>>(
        runtime: &'a Runtime,
        function: F,
        runs: impl IntoIterator<Item = (I, F::Input)>,
    ) -> Self {
        let runs = runs.into_iter().map(|(id, input)| (RunId::new(id), input)).collect();
        Self { runtime, function, runs, said: Said::default() }
    }

    /// Says something of the runs that they can be found by: see [`Start::tag`](crate::Start::tag).
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.said.tag(name.into(), value.into());
        self
    }

    /// Says what the runs belong to: see [`Start::correlation_id`](crate::Start::correlation_id).
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.said.correlation_id(id.into());
        self
    }

    /// Lets the runs begin so long after they are started: see [`Start::delay`](crate::Start::delay).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.said.begins(Begins::After(delay));
        self
    }

    /// Lets the runs begin then: see [`Start::not_before`](crate::Start::not_before).
    pub fn not_before(mut self, due: Timestamp) -> Self {
        self.said.begins(Begins::NotBefore(due));
        self
    }

    /// Starts the runs in a queue: see [`Start::queue`](crate::Start::queue).
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.said.queue(name.into());
        self
    }

    /// Says how urgent the runs are: see [`Start::priority`](crate::Start::priority).
    pub fn priority(mut self, priority: u32) -> Self {
        self.said.priority(priority);
        self
    }

    /// Says what the runs are about: see [`Start::key`](crate::Start::key).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.said.key(key.into());
        self
    }

    /// Lets each run take no longer than this: see [`Start::timeout`](crate::Start::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.said.timeout(timeout);
        self
    }

    async fn start(self) -> Vec<Answer<F>> {
        let Self { runtime, function, runs, said } = self;
        let registration = match runtime.registration(function) {
            Ok(registration) => registration,
            Err(error) => return runs.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut answers: Vec<_> = runs.iter().map(|_| None).collect();
        let mut batch = Batch::default();
        for (index, (id, input)) in runs.into_iter().enumerate() {
            let starting = id.map_err(StartError::from).and_then(|id| {
                let starting = runtime.starting::<F>(&id, &input, said.of(&id)?)?;
                Ok((id, starting))
            });
            drop(input);
            match starting {
                Ok((id, starting)) => {
                    batch.bytes += starting.input.bytes().len();
                    batch.runs.push((index, id, starting));
                }
                Err(error) => place(&mut answers, index, Err(error)),
            }
            if batch.runs.len() >= START_BATCH_MAX || batch.bytes >= BATCH_BYTES_MAX {
                runtime.start_batch::<F>(registration, std::mem::take(&mut batch), &mut answers).await;
            }
        }
        runtime.start_batch::<F>(registration, batch, &mut answers).await;
        answers.into_iter().flatten().collect()
    }
}

fn place<T>(answers: &mut [Option<T>], index: usize, answer: T) {
    if let Some(place) = answers.get_mut(index) {
        *place = Some(answer);
    }
}

impl Runtime {
    async fn start_batch<F: DurableFunction>(
        &self,
        registration: &'static Registration,
        batch: Batch,
        answers: &mut [Option<Answer<F>>],
    ) {
        if batch.runs.is_empty() {
            return;
        }
        let started =
            self.inner.engine.start_all(registration, batch.runs.iter().map(|(_, id, starting)| (id, starting)));
        for ((index, id, starting), started) in batch.runs.into_iter().zip(started) {
            let answer = self.attach_started::<F>(id, registration, &starting, started).await;
            place(answers, index, answer);
        }
    }
}

impl<'a, F: DurableFunction> IntoFuture for StartMany<'a, F> {
    type Output = Vec<Answer<F>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F: DurableFunction> fmt::Debug for StartMany<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartMany")
            .field("runs", &self.runs.len())
            .field("function", &F::NAME)
            .field("said", &self.said)
            .finish_non_exhaustive()
    }
}
