//! The one enum of facts that a journal holds.
//!
//! Every type here is stored. A change to any of them is a new [frame version](super::frame::VERSION). Its serde is
//! that of the [text form](super::lines): a field that is added there has `#[serde(default)]`, so that older text stays
//! readable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::arguments::Arguments;
use super::spelling;
use super::text::Text;
use crate::clock::Timestamp;
use crate::halt::HaltReason;
use crate::payload::Payload;

/// One fact in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Event {
    /// The run exists. Always the first event, and only the first.
    Started(Started),
    /// One try of a step failed and another one will follow.
    AttemptFailed(AttemptFailed),
    /// A step has its one outcome: the checkpoint.
    StepCompleted(StepCompleted),
    /// After a restart, the run was about to begin its first new step.
    Recovered {
        /// By which code; what follows is its. `None` in text that was written before this was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<CodeId>,
        /// When.
        at: u64,
    },
    /// The machinery stopped the run.
    Halted(Halted),
    /// An operator let a halted run go on.
    Resumed {
        /// When.
        at: u64,
    },
    /// The function returned. Always the last event.
    Finished(Finished),
    /// The run takes the new path of a patch that the program that started it did not have.
    Patched(Patched),
    /// The code waits for a time.
    TimerSet(TimerSet),
    /// That time has come: the timer's one outcome.
    TimerFired(TimerFired),
    /// Somebody outside has sent a signal.
    SignalReceived(SignalReceived),
    /// The code is given one: the outcome of its wait.
    SignalTaken(SignalTaken),
    /// Somebody outside has settled a promise.
    PromiseSettled(PromiseSettled),
    /// The code is told: the promise's one outcome.
    PromiseTaken(PromiseTaken),
    /// One try of a step that may not run twice is about to begin.
    StepStarted(StepStarted),
    /// Somebody outside has ended the run. Always the last event.
    Cancelled(Cancelled),
    /// The code has another durable function run.
    ChildStarted(ChildStarted),
    /// That run has ended: its one outcome.
    ChildEnded(ChildEnded),
    /// The code has published a value: the publication's one outcome.
    Published(Published),
    /// The run begins, which was started to begin later.
    Begun {
        /// When.
        at: u64,
        /// The time at which it is cancelled, unless it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<u64>,
    },
    /// The code has said how to undo what it has done, should the run fail or be cancelled.
    UndoPlanned(UndoPlanned),
    /// Somebody outside has ended the run, which has something to undo first.
    CancelRequested(Cancelled),
    /// The latest value of a name that the run had published before it continued as new.
    Kept(Kept),
    /// The code has emitted an event: it is to be delivered.
    Emitted(Emitted),
}

/// See [`Event::Started`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Started {
    pub(crate) function: Text,
    pub(crate) version: u32,
    #[serde(with = "spelling::hex")]
    pub(crate) fingerprint: u64,
    #[serde(with = "spelling")]
    pub(crate) input: Payload,
    #[serde(with = "spelling::hex")]
    pub(crate) input_digest: u64,
    pub(crate) at: u64,
    /// The ids of all patches that the program has: the run takes their new path from the beginning. Without them, a
    /// crash between a branch's record and the marker of another branch's patch would send that one down the old path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) patches: Vec<Text>,
    /// What the run's random numbers and ids are made of.
    #[serde(with = "spelling::hex", default, skip_serializing_if = "is_zero")]
    pub(crate) seed: u128,
    /// What whoever started it says of it, to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<Text, Text>,
    /// What it belongs to, together with others. `None`: to itself, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Text>,
    /// The runs that this one was forked from: the first one first, the one that was forked last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forks: Vec<Fork>,
    /// The run that has started this one, if a run has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
    /// The time before which it does not begin. Kept only if that is to come when it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<u64>,
    /// The queue in which it waits for its turn, if it was started in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<Box<Queued>>,
    /// So many milliseconds after it has begun it is cancelled, unless it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
    /// What the run was before it has continued as new. The rest is said of what it is since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) continued: Option<Box<Continued>>,
}

impl Started {
    /// Whether the run does not begin with this, but with a [`Event::Begun`] behind it.
    pub(crate) fn begins_later(&self) -> bool {
        self.not_before.is_some() || self.queue.is_some()
    }

    /// When it is cancelled, unless it has ended, if it begins then.
    pub(crate) fn deadline(&self, begins: u64) -> Option<u64> {
        self.timeout.map(|timeout| begins.saturating_add(timeout))
    }

    /// When the run came to be: what it has from before, if it was forked, is older.
    pub(crate) fn created_at(&self) -> Timestamp {
        self.forks.last().map_or_else(|| self.began_at(), |fork| Timestamp(fork.at))
    }

    /// When the run began, unless it was to begin later.
    pub(crate) fn began_at(&self) -> Timestamp {
        Timestamp(self.continued.as_ref().map_or(self.at, |continued| continued.created_at))
    }

    /// Which part of the run its journal is, from 1.
    pub(crate) fn part(&self) -> u64 {
        self.continued.as_ref().map_or(1, |continued| continued.times.saturating_add(1))
    }

    /// The digest of the input that the run was started with.
    pub(crate) fn first_digest(&self) -> u64 {
        self.continued.as_ref().map_or(self.input_digest, |continued| continued.input_digest)
    }

    /// The input that the run was started with, for people.
    pub(crate) fn first_input(&self) -> String {
        self.continued.as_ref().map_or_else(|| self.input.excerpt(), |continued| continued.input.clone())
    }
}

/// What a run was before it has [continued as new](crate::Context::continue_as_new): its records are gone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Continued {
    /// How often it has.
    pub(crate) times: u64,
    /// When it was started, or forked.
    pub(crate) created_at: u64,
    /// What it was started with, for people.
    pub(crate) input: String,
    #[serde(with = "spelling::hex")]
    pub(crate) input_digest: u64,
    /// The newest signals that were taken and had an id of the sender's, the newest last: it may send them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signals: Vec<TakenSignal>,
}

/// A signal that the run has taken before it has continued as new.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakenSignal {
    pub(crate) id: Text,
    pub(crate) name: Text,
    #[serde(with = "spelling::hex")]
    pub(crate) digest: u64,
}

/// A run's place in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queued {
    pub(crate) name: Text,
    /// The lowest is next.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) priority: u32,
    /// Of those that have the same one, only one at a time is to have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Text>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first(priority: &u32) -> bool {
    *priority == 0
}

/// A run that another one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fork {
    pub(crate) run: Text,
    /// The key of the first operation that is not in the journal any more.
    pub(crate) from: Text,
    /// How many records of the new run are its.
    pub(crate) records: u64,
    /// What its random numbers and ids were made of.
    #[serde(with = "spelling::hex", default, skip_serializing_if = "is_zero")]
    pub(crate) seed: u128,
    pub(crate) at: u64,
}

/// A run that has another function run, and the operation by which it does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    pub(crate) run: Text,
    pub(crate) key: Text,
    /// Tells that run from another one that had its id before or after.
    #[serde(with = "spelling::hex")]
    pub(crate) token: u128,
    /// Whether it is told of the end, and cancels this run when it is cancelled.
    pub(crate) attached: bool,
}

fn is_zero(seed: &u128) -> bool {
    *seed == 0
}

/// Which code of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeId {
    pub(crate) version: u32,
    #[serde(with = "spelling::hex")]
    pub(crate) fingerprint: u64,
}

/// See [`Event::AttemptFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptFailed {
    pub(crate) operation: Operation,
    /// Which try failed, from 1.
    pub(crate) attempt: u32,
    pub(crate) error: AttemptError,
    /// When the next try may begin.
    pub(crate) retry_at: u64,
    pub(crate) at: u64,
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub(crate) enum AttemptError {
    /// The step returned this `Err`.
    Err(#[serde(with = "spelling")] Payload),
    /// The step panicked with this message.
    Panic(String),
    /// The step took longer than allowed.
    TimedOut,
}

/// See [`Event::StepCompleted`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepCompleted {
    pub(crate) operation: Operation,
    /// How many tries there were, the last one included.
    pub(crate) attempts: u32,
    pub(crate) outcome: Outcome,
    /// When the last try began.
    pub(crate) began_at: u64,
    pub(crate) at: u64,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The step returned this value, which is not an `Err`.
    Ok(#[serde(with = "spelling")] Payload),
    /// The step returned this value, which is an `Err`.
    Err(#[serde(with = "spelling")] Payload),
    /// The step returned, but its value could not be recorded, for this reason. Its effect is not repeated.
    Unusable(String),
    /// The process ended while the step ran, which may not run twice: the code is told this `Err`.
    Interrupted(#[serde(with = "spelling")] Payload),
}

/// See [`Event::StepStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepStarted {
    pub(crate) operation: Operation,
    /// Which try, from 1.
    pub(crate) attempt: u32,
    pub(crate) at: u64,
}

/// See [`Event::Halted`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Halted {
    pub(crate) reason: HaltReason,
    /// The key of the step that was the cause, if one was.
    #[serde(with = "spelling")]
    pub(crate) step: Option<Arc<str>>,
    pub(crate) message: String,
    pub(crate) at: u64,
}

/// See [`Event::Cancelled`] and [`Event::CancelRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancelled {
    /// What whoever did it says.
    pub(crate) reason: String,
    pub(crate) at: u64,
}

/// See [`Event::ChildStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChildStarted {
    pub(crate) operation: Operation,
    /// The child's id. Unless it is attached, that run exists.
    pub(crate) child: Text,
    pub(crate) function: Text,
    /// Whether this run is told of its end.
    pub(crate) attached: bool,
    pub(crate) at: u64,
}

/// See [`Event::ChildEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChildEnded {
    pub(crate) operation: Operation,
    pub(crate) end: ChildEnd,
    pub(crate) at: u64,
}

/// What became of a child.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum ChildEnd {
    /// Its function returned this.
    Returned {
        #[serde(with = "spelling")]
        result: Payload,
        /// Whether that is an `Err`.
        failed: bool,
    },
    /// Somebody has cancelled it, for this reason.
    Cancelled { reason: String },
}

/// See [`Event::Finished`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finished {
    /// What the function returned.
    #[serde(with = "spelling")]
    pub(crate) result: Payload,
    /// Whether that is an `Err`.
    pub(crate) failed: bool,
    pub(crate) at: u64,
}

/// See [`Event::Patched`]. Once per patch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patched {
    pub(crate) id: Text,
    pub(crate) at: u64,
}

/// See [`Event::TimerSet`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimerSet {
    pub(crate) operation: Operation,
    /// The time it waits for. Restarts do not change it.
    pub(crate) due: u64,
    pub(crate) at: u64,
}

/// See [`Event::TimerFired`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimerFired {
    pub(crate) operation: Operation,
    pub(crate) at: u64,
}

/// See [`Event::SignalReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalReceived {
    pub(crate) name: Text,
    /// The sender's own, by which one that is sent again is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Text>,
    #[serde(with = "spelling")]
    pub(crate) value: Payload,
    #[serde(with = "spelling::hex")]
    pub(crate) digest: u64,
    pub(crate) at: u64,
}

/// See [`Event::SignalTaken`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalTaken {
    pub(crate) operation: Operation,
    /// The position of its [`SignalReceived`].
    pub(crate) received: u64,
    pub(crate) at: u64,
}

/// See [`Event::PromiseSettled`]. Once per promise.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromiseSettled {
    /// The promise's. The code may not have asked for it yet, in this life.
    pub(crate) key: Text,
    pub(crate) settlement: Settlement,
    pub(crate) at: u64,
}

/// What somebody outside has made of a promise.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Settlement {
    /// It is resolved with this value.
    Resolved {
        #[serde(with = "spelling")]
        value: Payload,
        #[serde(with = "spelling::hex")]
        digest: u64,
    },
    /// It is rejected, for this reason.
    Rejected(Text),
}

/// See [`Event::PromiseTaken`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromiseTaken {
    pub(crate) operation: Operation,
    pub(crate) at: u64,
}

/// See [`Event::Published`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    /// Under the name that its key begins with.
    pub(crate) operation: Operation,
    #[serde(with = "spelling")]
    pub(crate) value: Payload,
    pub(crate) at: u64,
}

/// See [`Event::Emitted`]. That its delivery is a run of its own now is its `ChildStarted`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Emitted {
    /// To the channel that its key begins with.
    pub(crate) operation: Operation,
    #[serde(with = "spelling")]
    pub(crate) value: Payload,
    pub(crate) at: u64,
}

/// See [`Event::Kept`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) name: Text,
    /// The value's number among those of the name, from 0.
    pub(crate) number: u64,
    #[serde(with = "spelling")]
    pub(crate) value: Payload,
    pub(crate) published_at: u64,
    pub(crate) at: u64,
}

/// See [`Event::UndoPlanned`]. What becomes of the step, if it is run, follows as of any other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndoPlanned {
    pub(crate) operation: Operation,
    pub(crate) at: u64,
}

/// What the code asked for, with all that replay compares (R4, R9).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operation {
    /// The how-manieth claim of the run this was, from 0.
    pub(crate) claim: u32,
    #[serde(with = "spelling")]
    pub(crate) key: Arc<str>,
    pub(crate) kind: OperationKind,
    /// Digest of the arguments.
    #[serde(with = "spelling::hex")]
    pub(crate) digest: u64,
    #[serde(with = "spelling")]
    pub(crate) site: Site,
    /// The arguments for people, in the operation's first record only: those of a later one have the same digest, and a
    /// step that is tried a hundred times needs them once.
    #[serde(with = "spelling", default, skip_serializing_if = "Option::is_none")]
    pub(crate) arguments: Option<Arguments>,
}

impl Operation {
    /// What its key begins with: the name that it was asked for under.
    pub(crate) fn name(&self) -> &str {
        self.key.split_once('#').map_or(&*self.key, |(name, _)| name)
    }
}

/// What kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OperationKind {
    /// `ctx.run` of a function or an inline body.
    Step,
    /// `ctx.sleep` and the like.
    Timer,
    /// `ctx.signal`.
    Signal,
    /// `ctx.promise`.
    Promise,
    /// `ctx.run` of a durable function.
    Child,
    /// `ctx.publish`.
    Publication,
    /// `ctx.emit`.
    Emission,
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => f.write_str("step"),
            Self::Timer => f.write_str("timer"),
            Self::Signal => f.write_str("signal"),
            Self::Promise => f.write_str("promise"),
            Self::Child => f.write_str("child run"),
            Self::Publication => f.write_str("publication"),
            Self::Emission => f.write_str("emission"),
        }
    }
}

/// Where in the source an operation is written.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Site {
    pub(crate) file: Text,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl From<&'static std::panic::Location<'static>> for Site {
    fn from(location: &'static std::panic::Location<'static>) -> Self {
        Self { file: location.file().into(), line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
