//! What the runtime's own calls can answer instead of a result. Each code has a page in `docs/errors/`.

use std::sync::Arc;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::halt::Halt;
use crate::id::{InvalidPromiseId, InvalidRunId, RunId};
use crate::payload::PayloadError;
use crate::replay::PromiseState;
use crate::schedule::InvalidCron;
use crate::store::{RunStatus, StoreError};

/// Why a runtime can't be opened.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no tokio runtime to run in.
    #[error("[D0111] a runtime is opened inside a tokio runtime: call it from an async function under #[tokio::main]")]
    NoTokio,
    /// The committer's thread can't be started.
    #[error("[D0112] the operating system refused a thread: {0}")]
    Thread(Arc<std::io::Error>),
}

/// Why a run can't be started or attached to. Nothing was changed.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The id can't be a run id.
    #[error(transparent)]
    InvalidId(#[from] InvalidRunId),
    /// The id belongs to a run of another function.
    #[error(
        "[D0120] run {run} executes the function {recorded}, not {given}: one id is one run, so choose another id. If the function was only renamed, keep its recorded name: #[durable(name = \"{recorded}\")]"
    )]
    OtherFunction {
        /// The run.
        run: RunId,
        /// The function it was started with.
        recorded: String,
        /// The function given now.
        given: String,
    },
    /// The id belongs to a run of the same function with another input.
    #[error(
        "[D0121] run {run} of {function} was started with the input {recorded}, not with {given}: one id is one run, so choose another id for another input"
    )]
    OtherInput {
        /// The run.
        run: RunId,
        /// Its function.
        function: String,
        /// The recorded input, shortened.
        recorded: String,
        /// The input given now, shortened.
        given: String,
    },
    /// The input can't be recorded.
    #[error("the input of run {run} can't be recorded: {source}")]
    Input {
        /// The run.
        run: RunId,
        /// Why.
        source: Arc<PayloadError>,
    },
    /// The function can't be found by its name, so the run could not be recovered after a crash.
    #[error(
        "[D0122] {function} {detail}: runs are recorded by the function's name. Give one of several another with #[durable(name = \"…\")]; refer to a function whose crate the linker dropped"
    )]
    Unregistered {
        /// The function.
        function: String,
        /// Whether there is none of that name, or several.
        detail: String,
    },
    /// There is no run of this id to attach to.
    #[error("[D0123] there is no run {run}: start it with `Runtime::start`")]
    Unknown {
        /// The run.
        run: RunId,
    },
    /// As many runs are active as the limit allows.
    #[error(
        "[D0124] run {run} was not started, because {limit} runs are active, as many as `Limits::active_runs` allows: try again when some have ended, or raise the limit"
    )]
    TooManyActiveRuns {
        /// The run.
        run: RunId,
        /// The limit.
        limit: usize,
    },
    /// The runtime is shutting down.
    #[error(
        "[D0125] run {run} was not started, because the runtime is shutting down: start it again when the store is open again"
    )]
    ShuttingDown {
        /// The run.
        run: RunId,
    },
    /// This runtime has no queue of that name.
    #[error("[D0126] run {run} was not started, because there is no queue {queue:?}: {}", known_queues(known))]
    NoSuchQueue {
        /// The run.
        run: RunId,
        /// The name that was given.
        queue: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// As many runs wait in the queue as may.
    #[error(
        "[D0127] run {run} was not started, because the queue {queue:?} is full: {capacity} wait in it, as many as its capacity allows: try again when some have begun, or raise the capacity"
    )]
    QueueFull {
        /// The run.
        run: RunId,
        /// The queue.
        queue: String,
        /// How many may wait.
        capacity: usize,
    },
    /// What is said of its place in a queue can't be recorded.
    #[error("[D0222] run {run} was not started, because what is said of its place in a queue can't be: {why}")]
    Queue {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// A tag can't be recorded.
    #[error("[D0220] run {run} was not started, because its tag {name:?} can't be recorded: {why}")]
    Tag {
        /// The run.
        run: RunId,
        /// The tag's name.
        name: String,
        /// Why.
        why: String,
    },
    /// The correlation id can't be one.
    #[error("[D0221] run {run} was not started, because its correlation id can't be recorded: {why}")]
    CorrelationId {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// The store failed. It is unknown whether the run was recorded; starting it again is safe.
    #[error("run {run} may not have been started, and starting it again is safe: {source}")]
    Store {
        /// The run.
        run: RunId,
        /// Why.
        source: StoreError,
    },
}

/// Why awaiting a run gave no result.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The machinery stopped the run. Nothing is lost; `Runtime::resume` continues after the fix.
    #[error("run {run} is halted: {halt}")]
    Halted {
        /// The run.
        run: RunId,
        /// Why, and what to do.
        halt: Halt,
    },
    /// Somebody has [cancelled](crate::Runtime::cancel) the run.
    #[error("[D0131] run {run} was cancelled: {reason}")]
    Cancelled {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The runtime stopped before the run ended; the run goes on when the store is opened again.
    #[error("[D0130] run {run} has not ended, because the runtime stopped: it goes on when the store is opened again")]
    Stopped {
        /// The run.
        run: RunId,
    },
    /// The recorded result can't be decoded into the function's type.
    #[error("the recorded result of run {run} can't be used: {source}")]
    Result {
        /// The run.
        run: RunId,
        /// Why.
        source: Arc<PayloadError>,
    },
}

/// Why a run did not receive a signal.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The id can't be a run id.
    #[error(transparent)]
    InvalidId(#[from] InvalidRunId),
    /// The signal's name or id can't be one.
    #[error("[D0150] the signal was not sent to run {run}: {why}")]
    Name {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// What it says can't be recorded.
    #[error("the signal {name:?} was not sent to run {run}: {source}")]
    Value {
        /// The run.
        run: RunId,
        /// The signal's name.
        name: String,
        /// Why.
        source: Arc<PayloadError>,
    },
    /// There is no such run.
    #[error("[D0151] there is no run {run} to send a signal to: start it before")]
    Unknown {
        /// The run.
        run: RunId,
    },
    /// The run has ended.
    #[error(
        "[D0152] run {run} has ended ({status}), and receives no signals any more: tell the sender that this one came too late"
    )]
    Finished {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// The run has received another signal under this id.
    #[error(
        "[D0153] run {run} has received another signal under the id {id:?} than {name:?} with this value: one id is one signal, so choose another id"
    )]
    Conflict {
        /// The run.
        run: RunId,
        /// The signal's name.
        name: String,
        /// The id.
        id: String,
    },
    /// The run has received as many signals as the limit allows.
    #[error(
        "[D0154] run {run} has received {limit} signals, as many as `Limits::signals` allows: raise the limit, or send to another run"
    )]
    TooMany {
        /// The run.
        run: RunId,
        /// The limit.
        limit: usize,
    },
    /// The runtime is shutting down.
    #[error(
        "[D0155] the signal was not sent to run {run}, because the runtime is shutting down: send it when the store is open again"
    )]
    ShuttingDown {
        /// The run.
        run: RunId,
    },
    /// The store failed. It is unknown whether the signal was recorded; sending it again with the same id is safe.
    #[error("the signal may not have been sent to run {run}; sending it again is safe if it has an id: {source}")]
    Store {
        /// The run.
        run: RunId,
        /// Why.
        source: StoreError,
    },
}

/// Why a promise was not settled. Unless it is [`Store`](Self::Store), nothing was recorded.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum PromiseError {
    /// The text is not the id of a promise.
    #[error(transparent)]
    InvalidId(#[from] InvalidPromiseId),
    /// There is no such promise.
    #[error("[D0161] there is no promise with this id: {why}")]
    Unknown {
        /// The run that the id names.
        run: RunId,
        /// Why.
        why: &'static str,
    },
    /// The run has ended, without having asked for it.
    #[error("[D0162] run {run} has ended ({status}), and nobody needs its promise {key} any more")]
    Finished {
        /// The run.
        run: RunId,
        /// The promise's key.
        key: String,
        /// How the run ended.
        status: RunStatus,
    },
    /// Somebody was faster, or its time has passed.
    #[error(
        "[D0163] the promise {key} of run {run} is settled already: {state}{}. It stays so",
        if *.as_asked { ", just as asked for now" } else { "" }
    )]
    Settled {
        /// The run.
        run: RunId,
        /// The promise's key.
        key: String,
        /// What became of it.
        state: PromiseState,
        /// When.
        at: Timestamp,
        /// Whether that is what was asked for now, too: the same value, or the same reason. So it is for somebody who
        /// asks again because no answer came.
        as_asked: bool,
    },
    /// The value or the reason can't be recorded.
    #[error("the promise {key} of run {run} was not settled: {source}")]
    Value {
        /// The run.
        run: RunId,
        /// The promise's key.
        key: String,
        /// Why.
        source: Arc<PayloadError>,
    },
    /// The runtime is shutting down.
    #[error(
        "[D0164] the promise {key} of run {run} was not settled, because the runtime is shutting down: try again when the store is open again"
    )]
    ShuttingDown {
        /// The run.
        run: RunId,
        /// The promise's key.
        key: String,
    },
    /// The store failed. It is unknown whether the promise is settled now; trying again is safe.
    #[error("the promise {key} of run {run} may not have been settled; trying again is safe: {source}")]
    Store {
        /// The run.
        run: RunId,
        /// The promise's key.
        key: String,
        /// Why.
        source: StoreError,
    },
}

/// Why an administrative call did nothing.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The id can't be a run id.
    #[error(transparent)]
    InvalidId(#[from] InvalidRunId),
    /// There is no such run.
    #[error("[D0140] there is no run {run}: look for it with `Runtime::list`")]
    Unknown {
        /// The run.
        run: RunId,
    },
    /// The run is running.
    #[error("[D0141] run {run} is running: wait until it has ended or is halted")]
    Running {
        /// The run.
        run: RunId,
    },
    /// The run has ended, so there is nothing to resume or to cancel.
    #[error("[D0142] run {run} has ended ({status}), and that is final: start another run, or fork this one")]
    Finished {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// This program can't continue the run.
    #[error("[D0143] run {run} can't be resumed: {halt}")]
    Stuck {
        /// The run.
        run: RunId,
        /// Why, and what to do.
        halt: Halt,
    },
    /// The runtime is shutting down.
    #[error("[D0144] the runtime is shutting down")]
    ShuttingDown,
    /// Another run waits for the end of this one.
    #[error("[D0145] run {parent} waits for run {run}, which it has started: cancel {run}, then delete it")]
    Awaited {
        /// The run.
        run: RunId,
        /// The one that waits for it.
        parent: RunId,
    },
    /// The run has not begun: it waits for its time, or for its turn in a queue.
    #[error("[D0146] run {run} has not begun, and so can't be paused: cancel it, or pause it when it has")]
    NotBegun {
        /// The run.
        run: RunId,
    },
    /// The id that a fork or an imported run is to have belongs to another run.
    #[error("[D0180] there is a run {run} already, with another journal: choose another id, or delete that run before")]
    Taken {
        /// The run that has the id.
        run: RunId,
    },
    /// The run has recorded nothing of the operation that it is to be forked from.
    #[error("[D0181] run {run} can't be forked from {from:?}, of which it has recorded nothing: {}", known(keys, *more))]
    NoSuchOperation {
        /// The run.
        run: RunId,
        /// The key that was given.
        from: String,
        /// The keys of which something is recorded, in the order of their first records; not all, if there are many.
        keys: Vec<String>,
        /// How many there are besides.
        more: usize,
    },
    /// The fork could not go on.
    #[error("[D0182] run {run} was not forked as {fork}, because this program can't continue the fork: {halt}")]
    Unforkable {
        /// The run.
        run: RunId,
        /// The id that the fork was to have.
        fork: RunId,
        /// Why, and what to do.
        halt: Halt,
    },
    /// The journal can't be that of a run.
    #[error("[D0183] the journal of run {run} was not imported: {detail}. Take it as `Runtime::journal` gave it")]
    NotAJournal {
        /// The run that it names.
        run: RunId,
        /// What is wrong.
        detail: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn any_of(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    if let [only] = &*quoted { only.clone() } else { format!("one of {}", quoted.join(", ")) }
}

fn known_queues(names: &[String]) -> String {
    match names {
        [] => "declare it with `RuntimeBuilder::queue`".to_owned(),
        names => format!("take {}, or declare it with `RuntimeBuilder::queue`", any_of(names)),
    }
}

fn known(keys: &[String], more: usize) -> String {
    match (keys, more) {
        ([], _) => "it has recorded no operation at all".to_owned(),
        (keys, 0) => format!("take {}", any_of(keys)),
        (keys, more) => format!("take {} … and {more} more", any_of(keys)),
    }
}

/// Why a text is not a [`Journal`](crate::Journal).
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A line can't be read, or says what can't stand there.
    #[error("[D0170] line {line} is not that of a journal: {detail}. Take the text as `Journal::to_lines` wrote it")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// The text is written in a form that this version does not know.
    #[error(
        "[D0171] the journal is written in form {found}, this library reads form {supported}: use the version of the library that wrote it"
    )]
    Form {
        /// The form found.
        found: u64,
        /// The form this library reads.
        supported: u64,
    },
    /// The text has more than a journal can have.
    #[error("[D0172] at line {line} the text has more than {limit} {what}, which no journal has")]
    TooLong {
        /// Which line, from 1.
        line: usize,
        /// What there is too much of.
        what: &'static str,
        /// How much a journal has at the most.
        limit: usize,
    },
}

/// `main` shows the error it returns with `Debug`, and so do `unwrap` and `expect`: there, too, a user needs the
/// code, the run and what to do, not the names of our fields.
macro_rules! debug_is_display {
    ($($error:ty),+) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )+};
}

debug_is_display!(
    OpenError,
    StartError,
    RunError,
    SignalError,
    PromiseError,
    AdminError,
    JournalError,
    StoreError,
    PayloadError,
    InvalidRunId,
    InvalidPromiseId,
    InvalidCron
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_main_returns_says_what_to_do() {
        let error = OpenError::from(StoreError::Locked { folder: "orders.durable".into() });
        assert_eq!(
            format!("{error:?}"),
            "[D0201] the folder orders.durable is in use: another process, or another runtime of this process, has it open. Stop that one, or open another folder"
        );
        let error = crate::schedule::Cron::new("61 * * * *").expect_err("no hour has such a minute");
        assert_eq!(format!("{error:?}"), error.to_string());
        assert_eq!(format!("{:?}", InvalidRunId::Empty), InvalidRunId::Empty.to_string());
        assert_eq!(format!("{InvalidPromiseId:?}"), InvalidPromiseId.to_string());
    }
}
