//! Queues: how many of the runs that are started in one have begun and not ended, and which of the others is next.

mod places;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use places::{Next, Places};

/// The longest name of a queue, in bytes.
pub const QUEUE_NAME_BYTES_MAX: usize = 128;

/// The longest key of a run in a queue, in bytes.
pub const QUEUE_KEY_BYTES_MAX: usize = 1_024;

/// A queue that runs can be started in, with [`Start::queue`](crate::Start::queue): they are durable at once, and begin when it
/// is their turn. Given to [`RuntimeBuilder::queue`](crate::RuntimeBuilder::queue).
///
/// A run has a place in its queue from when it begins until it has ended or is halted, also while it sleeps and over restarts; one that is
/// [resumed](crate::Runtime::resume) takes one at once, even if that is one too many. Those that wait are in the store only.
/// The next one to begin is that of the lowest [priority](crate::Start::priority) whose [key](crate::Start::key) no other run in
/// the queue has that has begun; of several, the one that was started first (in the same millisecond: by its id).
///
/// A run can also start its [children](crate::Child::queue) in a queue.
///
/// What is said here is not recorded: the next process may say something else. Runs of a queue that a process does not have
/// wait until one has it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Queue, Runtime, durable};
///
/// #[durable]
/// async fn sends_a_mail(_ctx: Context, to: String) -> String {
///     format!("sent to {to}")
/// }
///
/// let runtime = Runtime::builder().queue(Queue::new("mail").concurrency(2)).in_memory().await?;
/// let readers = ["Ada", "Grace", "Mary"].map(|name| (format!("mail-{name}"), name.to_owned()));
/// for mail in runtime.start_many(sends_a_mail, readers).queue("mail").await {
///     assert!(mail?.await?.starts_with("sent to "));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    name: String,
    concurrency: usize,
    capacity: usize,
    /// How many nanoseconds are between the beginnings of two runs.
    spacing: u64,
    /// Whether its runs wait for a word of the engine's before they wait for their turn.
    is_gated: bool,
}

impl Queue {
    /// A queue of this name, with at most 1,000,000 runs that wait, and no other limit.
    ///
    /// ```
    /// let queue = durable_runtime::Queue::new("mail");
    /// assert_eq!(queue.name(), "mail");
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), concurrency: usize::MAX, capacity: 1_000_000, spacing: 0, is_gated: false }
    }

    /// How many of its runs may have begun and not ended at the same time; 0 counts as 1.
    ///
    /// ```
    /// let queue = durable_runtime::Queue::new("mail").concurrency(4);
    /// ```
    #[must_use]
    pub fn concurrency(self, runs: usize) -> Self {
        Self { concurrency: runs.max(1), ..self }
    }

    /// How many of its runs may begin in `period`; 0 counts as 1.
    ///
    /// They are spaced evenly, to the millisecond: one begins every `period / runs`, at most, and the first one so long after the store
    /// was opened. So what died in between, and how often, does not let more of them begin, and nothing has to be recorded for that.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = durable_runtime::Queue::new("mail").rate(100, Duration::from_secs(60)); // one every 600 ms
    /// ```
    #[must_use]
    pub fn rate(self, runs: u32, period: Duration) -> Self {
        let spacing = period.as_nanos().div_ceil(u128::from(runs.max(1)));
        Self { spacing: u64::try_from(spacing).unwrap_or(u64::MAX), ..self }
    }

    /// How many of its runs may wait; a start beyond that is refused with
    /// [`StartError::QueueFull`](crate::StartError::QueueFull) (R14). Those that wait for their [time](crate::Start::not_before) are not counted.
    ///
    /// ```
    /// let queue = durable_runtime::Queue::new("mail").capacity(10_000);
    /// ```
    #[must_use]
    pub fn capacity(self, runs: usize) -> Self {
        Self { capacity: runs, ..self }
    }

    /// Lets its runs wait for their turn only when they were [admitted](Places::admit).
    pub(crate) fn gated(self) -> Self {
        Self { is_gated: true, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How a queue stands in this process. Returned by [`Runtime::queue`](crate::Runtime::queue).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Queue, Runtime};
///
/// let runtime = Runtime::builder().queue(Queue::new("mail")).in_memory().await?;
/// let mail = runtime.queue("mail").expect("it is declared");
/// assert_eq!((mail.waiting, mail.begun), (0, 0));
/// assert_eq!(runtime.queue("post"), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// How many of its runs wait for their turn.
    pub waiting: usize,
    /// How many have begun and have not ended.
    pub begun: usize,
    /// Whether all runs that were in the store when it was opened are counted. Until then, none begins.
    pub is_open: bool,
}
