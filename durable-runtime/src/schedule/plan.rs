//! A schedule: which function is run, on what, and when.

use std::fmt;
use std::sync::Arc;

use super::{CatchUp, Cron, Overlap};
use crate::clock::Timestamp;
use crate::function::DurableFunction;
use crate::id::RUN_ID_BYTES_MAX;
use crate::payload::{Codec, Payload, PayloadError};
use crate::queue::{QUEUE_NAME_BYTES_MAX, Queue};
use crate::value;

/// The longest name of a schedule, in bytes: the ids of its runs begin with it, and so does the name of its queue.
pub const SCHEDULE_NAME_BYTES_MAX: usize = QUEUE_NAME_BYTES_MAX - QUEUE_PREFIX.len();

const QUEUE_PREFIX: &str = "schedule ";

// What is behind the name is 21 bytes long.
const _: () = assert!(SCHEDULE_NAME_BYTES_MAX + 21 <= RUN_ID_BYTES_MAX);

/// Whether the queue of this name is that of a schedule.
pub(crate) fn is_of_schedule(queue: &str) -> bool {
    queue.starts_with(QUEUE_PREFIX)
}

/// What a run is started with: the input, and its digest.
type Input = Arc<dyn Fn(Timestamp, Codec, usize) -> Result<(Payload, u64), PayloadError> + Send + Sync>;

/// A function that is run again and again, when a [`Cron`] is due. Given to
/// [`RuntimeBuilder::schedule`](crate::RuntimeBuilder::schedule).
///
/// Each time it is due there is one run, with the id that [`run_id`](super::run_id) gives, such as `nightly@2026-11-23T03:00:00Z`. The next one
/// is always in the store already, as a run that is to [begin later](crate::Start::not_before): so it is known what was
/// missed while no process was there, it is listed, and cancelling it leaves out that one time. A time that is left out by a
/// policy is the run's cancellation, with the reason.
///
/// The program says what is scheduled, and nothing else records it. If it says another time after a deployment, the run that waits for
/// the old one is cancelled; otherwise that run keeps its function and its input. If it has no such schedule any more, that run waits
/// until a program has it, or somebody cancels it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{CatchUp, Context, Cron, Overlap, RunFilter, Runtime, Schedule, Timestamp, durable};
///
/// #[durable]
/// async fn closes_the_day(_ctx: Context, day: Timestamp) -> Timestamp {
///     day
/// }
///
/// let nightly = Cron::new("0 3 * * *")?.time_zone("Europe/Berlin")?;
/// let schedule = Schedule::new("nightly", nightly, closes_the_day, |due| due)
///     .catch_up(CatchUp::Latest) // if no process was there, the newest that was missed
///     .overlap(Overlap::Wait); // behind the one before, if that takes longer than a day
/// let runtime = Runtime::builder().schedule(schedule).in_memory().await?;
/// # drop(runtime);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a schedule does nothing before a runtime has it"]
pub struct Schedule {
    pub(crate) name: String,
    pub(crate) cron: Cron,
    pub(crate) function: &'static str,
    pub(crate) input: Input,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
}

impl Schedule {
    /// Runs `function` each time `cron` is due, on what `input` makes of that time, which must be the same each time it is asked. What was missed while no process was there is
    /// left out ([`CatchUp::Skip`]), and so is what is due while the run before has not ended ([`Overlap::Skip`]), unless something
    /// else is said.
    ///
    /// Of a name that is longer than [`SCHEDULE_NAME_BYTES_MAX`] only so much is kept.
    ///
    /// ```
    /// use durable_runtime::{Context, Cron, Schedule, durable};
    ///
    /// #[durable]
    /// async fn sweeps(_ctx: Context) {}
    ///
    /// let hourly = Schedule::new("sweep", Cron::new("@hourly")?, sweeps, |_| ());
    /// # Ok::<(), durable_runtime::InvalidCron>(())
    /// ```
    pub fn new<F: DurableFunction>(
        name: impl Into<String>,
        cron: Cron,
        _function: F,
        input: impl Fn(Timestamp) -> F::Input + Send + Sync + 'static,
    ) -> Self {
        let mut name: String = name.into();
        name.truncate(name.floor_char_boundary(SCHEDULE_NAME_BYTES_MAX));
        let input = move |due: Timestamp, codec, bytes_max| {
            let input = input(due);
            let payload = Payload::encode(codec, &input, bytes_max)?;
            payload.decode::<F::Input>()?;
            let digest = value::digest(&input).map_err(|error| PayloadError::Encode {
                type_name: std::any::type_name::<F::Input>(),
                codec,
                detail: error.to_string(),
            })?;
            Ok((payload, digest.0))
        };
        let (catch_up, overlap) = (CatchUp::Skip, Overlap::Skip);
        Self { name, cron, function: F::NAME, input: Arc::new(input), catch_up, overlap }
    }

    /// What becomes of times at which no process was there, or none that looked within a minute.
    ///
    /// ```
    /// # use durable_runtime::{CatchUp, Context, Cron, Schedule, durable};
    /// # #[durable]
    /// # async fn counts(_ctx: Context) {}
    /// let counting = Schedule::new("count", Cron::new("@daily")?, counts, |_| ()).catch_up(CatchUp::All { at_most: 7 });
    /// # Ok::<(), durable_runtime::InvalidCron>(())
    /// ```
    pub fn catch_up(self, catch_up: CatchUp) -> Self {
        Self { catch_up, ..self }
    }

    /// What becomes of a run that is due while the one before has not ended.
    ///
    /// ```
    /// # use durable_runtime::{Context, Cron, Overlap, Schedule, durable};
    /// # #[durable]
    /// # async fn copies(_ctx: Context) {}
    /// let copying = Schedule::new("copy", Cron::new("@daily")?, copies, |_| ()).overlap(Overlap::CancelPrevious);
    /// # Ok::<(), durable_runtime::InvalidCron>(())
    /// ```
    pub fn overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// The queue in which its runs wait, also for the word that it is to be them.
    pub(crate) fn queue(&self) -> Queue {
        let queue = Queue::new(format!("{QUEUE_PREFIX}{}", self.name)).gated();
        match self.overlap {
            Overlap::Allow | Overlap::Skip => queue,
            Overlap::Wait | Overlap::CancelPrevious => queue.concurrency(1),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("name", &self.name)
            .field("cron", &self.cron)
            .field("function", &self.function)
            .field("catch_up", &self.catch_up)
            .field("overlap", &self.overlap)
            .finish_non_exhaustive()
    }
}
