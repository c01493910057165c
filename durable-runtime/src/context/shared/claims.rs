//! What the code asks for gets a key, and can be renamed until it is used (R4).

use std::borrow::Cow;
use std::sync::Arc;

use super::{RunShared, Slot, check_name};
use crate::halt::{Halt, HaltReason};
use crate::journal::Arguments;
use crate::replay::{ClaimNumber, Request};

impl RunShared {
    /// Claims a key (R4). The second value: whether the arguments are to be [shown](Self::show).
    pub(crate) fn claim(&self, request: Request) -> (ClaimNumber, bool) {
        let mut state = self.state.lock();
        let limit = self.environment.limits.operations;
        if state.replay.claims() >= limit {
            state.halt(Halt::new(
                HaltReason::Limit,
                Some(Arc::from(&*request.name)),
                format!("the run has {limit} operations, as many as `Limits::operations` allows: split it, or raise the limit and resume the run"),
            ));
            // Not kept: the code may go on claiming without ever waiting. A claim that does not exist never resolves.
            return (ClaimNumber::MAX, false);
        }
        state.slots.push(Slot::default());
        let claim = state.replay.claim(request);
        (claim, state.replay.differs(claim))
    }

    /// Keeps the arguments of the newest claim for the message of a divergence.
    pub(crate) fn show(&self, claim: ClaimNumber, arguments: Option<Arguments>) {
        self.state.lock().replay.show(claim, arguments);
    }

    /// Whether anything is recorded of the claim.
    pub(crate) fn is_recorded(&self, claim: ClaimNumber) -> bool {
        self.state.lock().replay.is_recorded(claim)
    }

    /// Claims a key under a name that may not be one, which is a misuse that halts the run.
    pub(crate) fn claim_named(&self, request: Request) -> (ClaimNumber, bool) {
        if let Err(message) = check_name(&request.name) {
            self.halt(Halt::new(HaltReason::Misuse, None, message));
        }
        self.claim(request)
    }

    /// Gives the newest claim another name. One that can't be, and another claim, are a misuse that halts the run.
    pub(crate) fn name(&self, claim: ClaimNumber, name: Cow<'static, str>) {
        let mut state = self.state.lock();
        if let Err(message) = check_name(&name) {
            state.halt(Halt::new(HaltReason::Misuse, None, message));
        } else if !state.replay.rename(claim, name) {
            let key = state.replay.key(claim);
            state.halt(Halt::new(
                HaltReason::Misuse,
                key,
                "`.named(…)` came after another operation was claimed: write it directly behind `ctx.run(…)`",
            ));
        }
    }
}
