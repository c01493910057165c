//! The one enum of facts that a journal holds.
//!
//! Every type here is stored. A change to any of them is a new [frame version](super::frame::VERSION). Its serde is
//! that of the [text form](super::lines): a field that is added there has `#[serde(default)]`, so that older text stays
//! readable.

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
}

impl Event {
    /// When the event was recorded, in milliseconds since the epoch.
    pub(crate) fn at(&self) -> u64 {
        match self {
            Self::Started(event) => event.at,
            Self::AttemptFailed(event) => event.at,
            Self::StepCompleted(event) => event.at,
            Self::Halted(event) => event.at,
            Self::Finished(event) => event.at,
            Self::Patched(event) => event.at,
            Self::TimerSet(event) => event.at,
            Self::TimerFired(event) => event.at,
            Self::SignalReceived(event) => event.at,
            Self::SignalTaken(event) => event.at,
            Self::PromiseSettled(event) => event.at,
            Self::PromiseTaken(event) => event.at,
            Self::StepStarted(event) => event.at,
            Self::Cancelled(event) => event.at,
            Self::Recovered { at, .. } | Self::Resumed { at } => *at,
        }
    }

    /// The operation that the event is about, if it is about one.
    pub(crate) fn operation(&self) -> Option<&Operation> {
        match self {
            Self::AttemptFailed(event) => Some(&event.operation),
            Self::StepCompleted(event) => Some(&event.operation),
            Self::TimerSet(event) => Some(&event.operation),
            Self::TimerFired(event) => Some(&event.operation),
            Self::SignalTaken(event) => Some(&event.operation),
            Self::PromiseTaken(event) => Some(&event.operation),
            Self::StepStarted(event) => Some(&event.operation),
            Self::Started(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::SignalReceived(_)
            | Self::PromiseSettled(_)
            | Self::Cancelled(_) => None,
        }
    }

    /// The operation, to be changed.
    #[cfg(feature = "testing")]
    pub(crate) fn operation_mut(&mut self) -> Option<&mut Operation> {
        match self {
            Self::AttemptFailed(event) => Some(&mut event.operation),
            Self::StepCompleted(event) => Some(&mut event.operation),
            Self::TimerSet(event) => Some(&mut event.operation),
            Self::TimerFired(event) => Some(&mut event.operation),
            Self::SignalTaken(event) => Some(&mut event.operation),
            Self::PromiseTaken(event) => Some(&mut event.operation),
            Self::StepStarted(event) => Some(&mut event.operation),
            Self::Started(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::SignalReceived(_)
            | Self::PromiseSettled(_)
            | Self::Cancelled(_) => None,
        }
    }

    /// Gives all times of the event this one value, and takes its seed: what differs from one run to the next.
    #[cfg(feature = "testing")]
    pub(crate) fn set_what_differs(&mut self, time: u64) {
        match self {
            Self::Started(event) => (event.at, event.seed) = (time, 0),
            Self::AttemptFailed(event) => (event.retry_at, event.at) = (time, time),
            Self::StepCompleted(event) => (event.began_at, event.at) = (time, time),
            Self::Halted(event) => event.at = time,
            Self::Finished(event) => event.at = time,
            Self::Patched(event) => event.at = time,
            Self::TimerSet(event) => (event.due, event.at) = (time, time),
            Self::TimerFired(event) => event.at = time,
            Self::SignalReceived(event) => event.at = time,
            Self::SignalTaken(event) => event.at = time,
            Self::PromiseSettled(event) => event.at = time,
            Self::PromiseTaken(event) => event.at = time,
            Self::StepStarted(event) => event.at = time,
            Self::Cancelled(event) => event.at = time,
            Self::Recovered { at, .. } | Self::Resumed { at } => *at = time,
        }
    }

    /// When the run wants to be woken because of the event, if it does.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self {
            Self::AttemptFailed(event) => Some(Timestamp(event.retry_at)),
            Self::TimerSet(event) => Some(Timestamp(event.due)),
            // At once; a run that is in memory has it already.
            Self::SignalReceived(event) => Some(Timestamp(event.at)),
            Self::PromiseSettled(event) => Some(Timestamp(event.at)),
            Self::Started(_)
            | Self::StepCompleted(_)
            | Self::Recovered { .. }
            | Self::Halted(_)
            | Self::Resumed { .. }
            | Self::Finished(_)
            | Self::Patched(_)
            | Self::TimerFired(_)
            | Self::SignalTaken(_)
            | Self::PromiseTaken(_)
            | Self::StepStarted(_)
            | Self::Cancelled(_) => None,
        }
    }

    /// The event's name, as in `docs/journal-format.md`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "Started",
            Self::AttemptFailed(_) => "AttemptFailed",
            Self::StepCompleted(_) => "StepCompleted",
            Self::Recovered { .. } => "Recovered",
            Self::Halted(_) => "Halted",
            Self::Resumed { .. } => "Resumed",
            Self::Finished(_) => "Finished",
            Self::Patched(_) => "Patched",
            Self::TimerSet(_) => "TimerSet",
            Self::TimerFired(_) => "TimerFired",
            Self::SignalReceived(_) => "SignalReceived",
            Self::SignalTaken(_) => "SignalTaken",
            Self::PromiseSettled(_) => "PromiseSettled",
            Self::PromiseTaken(_) => "PromiseTaken",
            Self::StepStarted(_) => "StepStarted",
            Self::Cancelled(_) => "Cancelled",
        }
    }
}

/// The newest event that is not about what others send: a run that is halted receives signals, too.
pub(crate) fn last_of(events: &[Event]) -> Option<&Event> {
    events.iter().rfind(|event| !matches!(event, Event::SignalReceived(_) | Event::PromiseSettled(_)))
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

/// See [`Event::Cancelled`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancelled {
    /// What whoever did it says.
    pub(crate) reason: String,
    pub(crate) at: u64,
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
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => f.write_str("step"),
            Self::Timer => f.write_str("timer"),
            Self::Signal => f.write_str("signal"),
            Self::Promise => f.write_str("promise"),
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
