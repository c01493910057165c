//! What a run waits for that has nothing to do.

use super::{RunShared, State};
use crate::clock::Timestamp;

/// What a run waits for, all that it did being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Until when, if it waits for a time.
    pub(crate) due: Option<Timestamp>,
    /// Whether it waits for what comes from outside, too.
    pub(crate) for_signals: bool,
}

impl RunShared {
    /// The driver: what the run waits for, if it is for nothing but times and what comes from outside. It can then be
    /// dropped and replayed: no body of a step is running, and what its code knows is recorded.
    pub(crate) fn waits(&self) -> Option<Waits> {
        self.state.lock().waits()
    }
}

impl State {
    fn waits(&self) -> Option<Waits> {
        if !self.bodies.is_empty() || !self.children.are_started() || self.halt.is_some() || !self.replay.is_at_rest() {
            return None;
        }
        let (mut first, mut for_signals) = (None, false);
        for claim in &self.awaited {
            if let Some(waits_for) = self.receivers.get(claim) {
                // What is there for it, or a time that is not recorded, would wake nobody.
                if self.has_come(waits_for).is_some() || self.timers.is_unset(*claim) {
                    return None;
                }
                for_signals = true;
                // That of a promise.
                let due = self.replay.due(*claim);
                first = first.into_iter().chain(due).min();
                continue;
            }
            if self.replay.is_completed(*claim) {
                return None;
            }
            if self.children.is_open(*claim) {
                for_signals = true;
                continue;
            }
            // That of a timer, or of a step's next attempt; any other step is about to begin.
            let due = self.replay.due(*claim)?;
            first = Some(first.map_or(due, |first: Timestamp| first.min(due)));
        }
        let waits = first.is_some() || for_signals;
        let due = first.into_iter().chain(self.replay.deadline()).min();
        waits.then_some(Waits { due, for_signals })
    }
}
