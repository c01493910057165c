//! What a run in memory answers its steps and whoever polls its code.

use crate::clock::Timestamp;
use crate::halt::Halt;
use crate::replay::{Answer, Begun, Divergence};

/// What a step that is polled is told.
pub(crate) enum Arrival {
    /// What it resolves to.
    Delivered(Answer),
    /// To wait; it will be woken.
    Wait,
    /// To begin this attempt; if there is a time, to sleep until then and ask again.
    Begin { attempt: u32, not_before: Option<Timestamp>, begun: Begun },
}

/// Why the run can't go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// For this reason.
    Halt(Halt),
    /// Code and journal disagree.
    Diverged(Box<Divergence>),
}

/// What the driver has to do after the code made no more progress.
#[derive(Debug)]
pub(crate) enum Wants {
    /// Stop the run.
    Stop(Stop),
    /// Poll again: a completion was delivered.
    Poll,
    /// Take the run out of memory, and replay it.
    Suspend,
    /// Wait for a wake-up: a step's body, a timer, or the committer.
    Wait,
}
