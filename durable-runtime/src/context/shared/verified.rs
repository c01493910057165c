//! What the verifier asks of code that has come as far as it does without anything new.

use super::RunShared;
use crate::id::Position;

impl RunShared {
    /// How many operations the code has asked for, and how much of the journal it knows.
    pub(crate) fn progress(&self) -> (usize, Position) {
        let state = self.state.lock();
        (state.replay.claims(), state.replay.delivered())
    }

    /// The keys of the steps that the code waits for, in the order of their claims.
    pub(crate) fn next_keys(&self) -> Vec<String> {
        let state = self.state.lock();
        let awaited = state.slots.iter().zip(0..).filter(|(slot, _)| slot.polled && !slot.closed);
        awaited.filter_map(|(_, claim)| state.replay.key(claim)).map(|key| key.to_string()).collect()
    }

    /// The key of what the code has published first of all that is not recorded.
    pub(crate) fn first_unpublished(&self) -> Option<String> {
        let state = self.state.lock();
        let first = state.publications.first()?;
        state.replay.key(first.claim).map(|key| key.to_string())
    }
}
