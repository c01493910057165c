//! Runs that leave memory where they rest, and are replayed to go on.

use std::sync::Arc;

use crate::id::Position;
use crate::journal::CodeId;

/// How far a run has come: what its code has asked for, what it was told, and what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(super) claims: usize,
    pub(super) delivered: Position,
    pub(super) length: Position,
}

/// What is known of a run that left memory, and is not in its journal.
#[derive(Debug)]
pub(crate) struct Suspension {
    pub(super) at: Progress,
    /// The runs that these first records say it has started exist.
    pub(super) born: Position,
}

/// How a run came into memory.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It was just started, or is only looked at.
    New,
    /// It was found in the store. By this code it goes on.
    Recovered(CodeId),
    /// What it waited for has come. By which code it goes on, if that is another one than before; and the records that were due.
    Woken(Option<CodeId>, Arc<[Position]>),
    /// It had left memory, to be replayed at once.
    Suspended(Suspension),
}

/// A run that leaves memory wherever it rests, but for where it has just come back to.
#[derive(Debug)]
pub(super) struct Suspending {
    left_at: Option<Progress>,
    back_at: Option<Progress>,
}

impl Suspending {
    /// A run that had left memory there, if it had.
    pub(super) fn back_from(left_at: Option<Progress>) -> Self {
        Self { left_at, back_at: None }
    }

    /// Whether it is to leave memory when it rests here; if not, it has come back to here and goes on.
    pub(super) fn may_leave_at(&self, progress: Progress) -> bool {
        self.back_at != Some(progress)
    }

    /// It rests here: is it to leave memory?
    pub(super) fn rests_at(&mut self, progress: Progress) -> bool {
        let is_back = self.left_at == Some(progress);
        self.back_at = is_back.then_some(progress);
        !is_back
    }

    /// Whether it is back in memory, and knows no more than when it left.
    pub(super) fn is_catching_up(&self, delivered: Position) -> bool {
        self.back_at.is_none() && self.left_at.is_some_and(|left_at| delivered <= left_at.delivered)
    }
}
