//! What the code and the runtime draw from the run's chance.

use std::time::Duration;

use super::RunShared;
use crate::chance::jitter;
use crate::clock::Timestamp;
use crate::replay::ClaimNumber;
use crate::retry::Tried;

impl RunShared {
    /// The code asks for chance: the seed of the run that it is told to be, and how often it has asked before.
    pub(crate) fn draw(&self) -> (u128, u64) {
        let mut state = self.state.lock();
        let call = state.draws;
        state.draws += 1;
        (state.replay.told().seed, call)
    }

    /// What a retry policy is asked about: the attempt of the claim's step that fails now.
    pub(crate) fn tried(&self, claim: ClaimNumber, attempt: u32, now: Timestamp) -> Tried {
        let state = self.state.lock();
        let elapsed = state.replay.first_failure(claim).map_or(Duration::ZERO, |first| now.since(first));
        let key = state.replay.key(claim).unwrap_or_default();
        Tried { attempt, elapsed, chance: jitter(state.replay.seed(), &key, attempt) }
    }
}
