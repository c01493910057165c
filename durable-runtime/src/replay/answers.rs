//! What a replay answers those who ask it.

use super::{ClaimNumber, Divergence};
use crate::journal::{ChildEnd, Outcome, Settlement};
use crate::payload::Payload;

/// What an operation resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The outcome of a step.
    Step(Outcome),
    /// The time of a timer has come.
    Fired,
    /// What a signal says.
    Signal(Payload),
    /// What somebody has made of a promise.
    Promise(Settlement),
    /// What became of a child.
    Child(ChildEnd),
}

/// What the code is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Resolve this claim with this answer, then let the code run until it makes no more progress.
    Deliver {
        claim: ClaimNumber,
        answer: Answer,
        /// Whether it was in the journal at the start.
        replayed: bool,
    },
    /// Drop what the code does, because the run is cancelled, and undo what it has done.
    Cancel,
    /// Nothing is recorded that was not delivered.
    Nothing,
    /// Code and journal disagree.
    Diverged(Box<Divergence>),
}

/// How a claimed operation is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Not now: its outcome is recorded, or the journal is not yet replayed.
    Wait,
    /// Begin this attempt, not before this time. A timer fires then, once it is set.
    Attempt { attempt: u32, not_before: Option<u64> },
}

/// Whether an attempt that may not run twice has begun, as far as is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    No,
    /// In this life.
    Now,
    /// In an earlier one, which ended before it did.
    Before,
}
