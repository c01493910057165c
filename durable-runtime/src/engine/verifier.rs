//! Code against a whole journal, without running or writing anything: would this program go on with that run?

use std::fmt;
use std::sync::Arc;

use super::counters::Counters;
use super::execution::{Execution, RunWaker, Turn};
use super::registry::{Registration, Returned};
use super::runs::Engine;
use crate::context::{Ended, Environment, Origin};
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::{Event, Finished, last_of};
use crate::payload::Payload;
use crate::store::{RunStatus, StoreError};

/// How many stretches of polling without a pause a run is given to ask for an operation or to take an outcome. Code
/// that has done neither by then wakes itself without an end.
const STRETCHES_MAX: usize = 1_000;

/// What the present code does with a recorded run. Returned by `Runtime::verify`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Runtime, Verification, durable};
///
/// async fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// #[durable]
/// async fn verified_total(ctx: Context, a: u32, b: u32) -> u32 {
///     ctx.run(add, a, b).await
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// runtime.start("total-1", verified_total, (1, 2)).await?.await?;
/// let verification = runtime.verify("total-1").await?;
/// assert_eq!(verification, Verification::Same);
/// assert!(verification.fits());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// The run has ended, and the present code asks for exactly what is recorded and returns the recorded result.
    Same,
    /// The run has not ended; the present code takes everything that is recorded, and goes on.
    Continues {
        /// The keys of the steps that it would begin next, in the order in which it asks for them. Empty if it would
        /// return, or continue as new.
        next: Vec<String>,
    },
    /// The present program does not go on with the run; or the run has ended, and the present code would not have
    /// recorded the same.
    Differs {
        /// The halt that resuming or recovering the run would end in. Its reason is
        /// [`Unregistered`](HaltReason::Unregistered) if the program does not have the run's function, and
        /// [`Corrupt`](HaltReason::Corrupt) if the journal can't be read.
        halt: Halt,
    },
}

impl Verification {
    /// Whether the present code takes all that is recorded.
    ///
    /// ```
    /// use durable_runtime::Verification;
    /// assert!(Verification::Continues { next: vec!["charge_card".to_owned()] }.fits());
    /// ```
    pub fn fits(&self) -> bool {
        match self {
            Self::Same | Self::Continues { .. } => true,
            Self::Differs { .. } => false,
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the present code does what is recorded, and returns the recorded result"),
            Self::Continues { next } if next.is_empty() => {
                f.write_str("the present code takes all that is recorded, and returns")
            }
            Self::Continues { next } => {
                write!(f, "the present code takes all that is recorded, and goes on with {}", next.join(", "))
            }
            Self::Differs { halt } => halt.fmt(f),
        }
    }
}

/// A stored run that was verified.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) verification: Verification,
    /// `None` if the journal can't be read.
    pub(crate) status: Option<RunStatus>,
    /// The name of the run's function; `None` if the journal can't be read.
    pub(crate) function: Option<String>,
}

impl Engine {
    /// Verifies a run by what is recorded of it, whether or not it is active. `None` if there is no such run.
    pub(crate) async fn verify_stored(&self, id: &RunId) -> Result<Option<Verified>, StoreError> {
        let loaded = match self.load(id).await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Corrupt { .. }) => {
                let halt = Halt::new(HaltReason::Corrupt, None, error.to_string());
                let verification = Verification::Differs { halt };
                return Ok(Some(Verified { verification, status: None, function: None }));
            }
            Err(error) => return Err(error),
        };
        let status = Some(loaded.head.status);
        let function = loaded.started().map(|started| started.function.to_string());
        let verification = match self.code_of(&loaded) {
            Ok(registration) => verify(loaded.head.run, loaded.events, registration, &self.environment).await,
            Err(halt) => Verification::Differs { halt },
        };
        Ok(Some(Verified { verification, status, function }))
    }
}

/// Takes the same turns as a driver, with the code told beforehand that no step may begin any more.
///
/// A halted run is verified as if it were resumed, a cancelled one as far as it had come. Of the environment, only the counters are left out: nothing is run.
pub(crate) async fn verify(
    run: RunId,
    mut events: Vec<Event>,
    registration: &Registration,
    environment: &Environment,
) -> Verification {
    let mut finished = None;
    if let Some(Event::Cancelled(_)) = events.last() {
        // As far as it had come.
        events.pop();
    }
    match last_of(&events) {
        Some(Event::Finished(recorded)) => finished = Some(recorded.clone()),
        Some(Event::Halted(halted)) => {
            let at = halted.at;
            events.push(Event::Resumed { at });
        }
        Some(
            Event::Started(_)
            | Event::AttemptFailed(_)
            | Event::StepCompleted(_)
            | Event::SignalReceived(_)
            | Event::SignalTaken(_)
            | Event::PromiseSettled(_)
            | Event::PromiseTaken(_)
            | Event::Published(_)
            | Event::StepStarted(_)
            | Event::Cancelled(_)
            | Event::Recovered { .. }
            | Event::Resumed { .. }
            | Event::Patched(_)
            | Event::TimerSet(_)
            | Event::TimerFired(_)
            | Event::ChildStarted(_)
            | Event::ChildEnded(_)
            | Event::UndoPlanned(_)
            | Event::CancelRequested(_)
            | Event::Kept(_)
            | Event::Emitted(_)
            | Event::Begun { .. },
        )
        | None => {}
    }
    let records = events.len();
    let environment = Environment {
        clock: Arc::clone(&environment.clock),
        entropy: Arc::clone(&environment.entropy),
        dependencies: Arc::clone(&environment.dependencies),
        sinks: environment.sinks.clone(),
        // What is returned is compared with what is recorded.
        codec: finished.as_ref().map_or(environment.codec, |finished| finished.result.codec()),
        limits: environment.limits,
        counters: Counters::default(),
        suspends: false,
        #[cfg(feature = "testing")]
        director: None,
    };
    let waker = Arc::<RunWaker>::default();
    let mut execution =
        match Execution::of_journal(run, events, registration, &Arc::new(environment), &Origin::New, waker) {
            Ok(execution) => execution,
            Err(halt) => return Verification::Differs { halt },
        };
    execution.shared.stop();
    let end = last_turn(&mut execution).await;
    let verification = match (end, finished) {
        (Turn::Stopped(stop), _) => Verification::Differs { halt: execution.explain(stop) },
        (Turn::Yield | Turn::Suspend, _) => Verification::Differs { halt: never_waits() },
        (Turn::Waiting, None) => Verification::Continues { next: execution.shared.next_keys() },
        (Turn::Waiting, Some(finished)) => Verification::Differs { halt: goes_on(&execution, &finished, records) },
        (Turn::Returned(returned), finished) => match (execution.result(returned), finished) {
            (Err(stop), _) => Verification::Differs { halt: execution.explain(stop) },
            (Ok(_), None) => Verification::Continues { next: Vec::new() },
            (Ok(Ended::Cancelled | Ended::Continues(..)), Some(finished)) => {
                Verification::Differs { halt: goes_on(&execution, &finished, records) }
            }
            (Ok(Ended::Returned(returned)), Some(finished)) => {
                let halt = unpublished(&execution, records)
                    .or_else(|| other_result(registration, &returned, &finished, records));
                halt.map_or(Verification::Same, |halt| Verification::Differs { halt })
            }
        },
    };
    execution.drop_code_silently();
    verification
}

/// The turn in which the code does not go on by itself any more; [`Turn::Yield`] if there is none.
async fn last_turn(execution: &mut Execution) -> Turn {
    let mut progress = execution.shared.progress();
    let mut stretches = 0;
    while stretches < STRETCHES_MAX {
        match execution.silent_turn() {
            Turn::Yield | Turn::Suspend => tokio::task::yield_now().await,
            last @ (Turn::Waiting | Turn::Returned(_) | Turn::Stopped(_)) => return last,
        }
        let now = execution.shared.progress();
        stretches = if now == progress { stretches + 1 } else { 0 };
        progress = now;
    }
    Turn::Yield
}

fn never_waits() -> Halt {
    let told = "the code wakes itself again and again without asking for an operation, so it can't be told what it waits for: move what it waits for into a step, `ctx.run(\"name\", async || { … })`";
    Halt::new(HaltReason::Divergence, None, told)
}

/// The code waits for a step, and the journal has a result.
fn goes_on(execution: &Execution, finished: &Finished, records: usize) -> Halt {
    let keys = execution.shared.next_keys().join(", ");
    disagree(
        "the code goes on where the function had returned",
        &format!("the result {}", finished.result.excerpt()),
        &format!("goes on with {keys}"),
        records,
    )
}

/// Why what the function publishes is not what is recorded, if it is more than that.
fn unpublished(execution: &Execution, records: usize) -> Option<Halt> {
    let key = execution.shared.first_unpublished()?;
    let what = "the function publishes more than what is recorded";
    Some(disagree(what, &format!("no publication `{key}`"), &format!("publishes `{key}`"), records))
}

/// Why what the function returns is not what is recorded, if it is not.
fn other_result(registration: &Registration, returned: &Returned, recorded: &Finished, records: usize) -> Option<Halt> {
    if returned.result == recorded.result {
        return None;
    }
    let read = |payload: &Payload| (registration.read_result)(payload);
    // Read as what the function returns today: neither the order of a map nor a field that was added with a default is
    // another result.
    match (read(&recorded.result), read(&returned.result)) {
        (Ok(recorded), Ok(returned)) if recorded.digest == returned.digest => None,
        (Ok(recorded), Ok(returned)) => {
            let (recorded, returned) = differing(&recorded.text, &returned.text);
            let what = "the function returns another result than the one recorded";
            Some(disagree(what, &recorded, &returned, records))
        }
        (Err(detail), _) | (Ok(_), Err(detail)) => {
            let told = format!("the result can't be compared with the recorded one: {detail}");
            Some(Halt::new(HaltReason::Value, None, told))
        }
    }
}

/// Two texts from shortly before the first difference, short enough for a message.
fn differing(one: &str, other: &str) -> (String, String) {
    const BYTES_MAX: usize = 400;
    const BYTES_BEFORE: usize = 100;
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let part = |text: &str| {
        let from = text.floor_char_boundary(same.saturating_sub(BYTES_BEFORE));
        let to = text.floor_char_boundary(from + BYTES_MAX);
        let before = if from > 0 { "… " } else { "" };
        let behind = if to < text.len() { " …" } else { "" };
        format!("{before}{}{behind}", &text[from..to])
    };
    (part(one), part(other))
}

/// Nothing of this sort can halt a run: one that has ended is never replayed.
fn disagree(what: &str, recorded: &str, current: &str, records: usize) -> Halt {
    let told = format!(
        "code and journal disagree: {what}\n  recorded: {recorded}\n  current:  {current}\n  journal:  {records} records"
    );
    Halt::new(HaltReason::Divergence, None, told)
}
