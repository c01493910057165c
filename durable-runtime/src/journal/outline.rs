//! A journal for people: what happened, without what differs from one time to the next.

use std::fmt::Write as _;

use super::event::{AttemptError, Operation, Outcome};
use super::{ChildEnd, Event, Journal, Settlement};
use crate::clock::Timestamp;

impl Journal {
    /// What happened, a line for each event, for people and for snapshots in tests: without times, places in the source
    /// and digests, which differ from one time to the next.
    ///
    /// Long values are cut. Not to be read by programs; for those there is [`to_lines`](Self::to_lines).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn add(a: u32, b: u32) -> u32 {
    ///     a + b
    /// }
    ///
    /// #[durable]
    /// async fn outlined(ctx: Context, a: u32) -> u32 {
    ///     let sum = ctx.run(add, a, 2).await;
    ///     ctx.run(add, sum, 3).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("sum-1", outlined, 1).await?.await?;
    /// let journal = runtime.journal("sum-1").await?.expect("it was started");
    /// assert_eq!(
    ///     journal.outline(),
    ///     "started outlined 1\n\
    ///      add [1,2] = 3\n\
    ///      add#2 [3,3] = 6\n\
    ///      finished 6\n",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn outline(&self) -> String {
        let mut outline = String::new();
        for event in &self.events {
            // Writing to a string does not fail.
            let _ = writeln!(outline, "{}", line(event));
        }
        outline
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::Started(started) => {
            let how = if started.continued.is_some() { "continued as new" } else { "started" };
            format!("{how} {} {}", started.function, started.input.excerpt())
        }
        Event::AttemptFailed(failed) => {
            let error = match &failed.error {
                AttemptError::Err(error) => error.excerpt(),
                AttemptError::Panic(message) => format!("panicked: {message}"),
                AttemptError::TimedOut => "timed out".to_owned(),
            };
            let delay = Timestamp(failed.retry_at).since(Timestamp(failed.at));
            format!("{}: attempt {} {error}, again after {delay:?}", step(&failed.operation), failed.attempt)
        }
        Event::StepCompleted(completed) => {
            let outcome = match &completed.outcome {
                Outcome::Ok(value) | Outcome::Err(value) => value.excerpt(),
                Outcome::Unusable(why) => format!("(unusable: {why})"),
                Outcome::Interrupted(error) => format!("(interrupted) {}", error.excerpt()),
            };
            format!("{} = {outcome}", step(&completed.operation))
        }
        Event::ChildStarted(started) => format!("{}: run {}", step(&started.operation), started.child),
        Event::ChildEnded(ended) => match &ended.end {
            ChildEnd::Returned { result, .. } => format!("{} = {}", ended.operation.key, result.excerpt()),
            ChildEnd::Cancelled { reason } => format!("{}: cancelled: {reason}", ended.operation.key),
        },
        Event::Recovered { .. } => "recovered".to_owned(),
        Event::Halted(halted) => format!("halted: {}", halted.reason.code()),
        Event::Resumed { .. } => "resumed".to_owned(),
        Event::Finished(finished) => format!("finished {}", finished.result.excerpt()),
        Event::Patched(patched) => format!("patched {}", patched.id),
        Event::TimerSet(set) => format!("{}: set", step(&set.operation)),
        Event::TimerFired(fired) => format!("{} has fired", fired.operation.key),
        Event::SignalReceived(signal) => format!("signal {} {}", signal.name, signal.value.excerpt()),
        Event::SignalTaken(taken) => format!("{} taken", taken.operation.key),
        Event::PromiseSettled(settled) => match &settled.settlement {
            Settlement::Resolved { value, .. } => format!("{} resolved {}", settled.key, value.excerpt()),
            Settlement::Rejected(reason) => format!("{} rejected: {reason}", settled.key),
        },
        Event::Cancelled(cancelled) => format!("cancelled: {}", cancelled.reason),
        Event::StepStarted(started) => format!("{}: attempt {} begins", step(&started.operation), started.attempt),
        Event::PromiseTaken(taken) => format!("{} taken", taken.operation.key),
        Event::Published(published) => {
            format!("{} published {}", published.operation.key, published.value.excerpt())
        }
        Event::Emitted(emitted) => format!("{} emitted {}", emitted.operation.key, emitted.value.excerpt()),
        Event::Begun { .. } => "begun".to_owned(),
        Event::UndoPlanned(planned) => format!("{}: to undo", step(&planned.operation)),
        Event::CancelRequested(cancelled) => format!("to be cancelled: {}", cancelled.reason),
        Event::Kept(kept) => format!("{} had published {}", kept.name, kept.value.excerpt()),
    }
}

/// Arguments are in an operation's first record only.
fn step(operation: &Operation) -> String {
    match &operation.arguments {
        Some(arguments) => format!("{} {arguments}", operation.key),
        None => operation.key.to_string(),
    }
}
