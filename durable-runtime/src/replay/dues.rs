//! The times that a run waits for.

use super::{ClaimNumber, Replay, Stage};
use crate::clock::Timestamp;
use crate::id::Position;

impl Replay {
    /// When the claim's timer, or the next attempt of its step, is due, if that is recorded.
    pub(crate) fn due(&self, claim: ClaimNumber) -> Option<Timestamp> {
        self.recorded_of(claim).and_then(|recorded| recorded.due).map(Timestamp)
    }

    /// When the first attempt of the claim's step failed, if one has.
    pub(crate) fn first_failure(&self, claim: ClaimNumber) -> Option<Timestamp> {
        self.recorded_of(claim).and_then(|recorded| recorded.first_failed_at).map(Timestamp)
    }

    /// The record whose timer ends when the claim's next fact is recorded.
    pub(crate) fn timer(&self, claim: ClaimNumber) -> Option<Position> {
        self.recorded_of(claim).and_then(|recorded| recorded.timer)
    }

    /// Whether somebody waits for the time that the record there says.
    pub(crate) fn is_timer(&self, position: Position) -> bool {
        self.recorded.values().any(|recorded| recorded.timer == Some(position))
            || self.deadline.is_some_and(|(record, _)| record == position)
    }

    /// When the run is to be cancelled, unless it was or has ended.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline.map(|(_, deadline)| deadline).filter(|_| self.stage() == Stage::Running)
    }
}
