//! Steps that many tests use, and what tests ask of results.

use durable_runtime::{Halt, HaltReason, RunError, StepContext};
use durable_tests::{Effects, Gates};

/// Has an effect, and returns its argument.
pub(crate) async fn note(step: StepContext, value: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    value
}

/// Has an effect, waits at the gate of its own key, and returns its argument.
pub(crate) async fn gated(step: StepContext, value: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    step.dependency::<Gates>().pass(step.key()).await;
    value
}

/// Why the run is halted, which it must be, and for this reason.
#[track_caller]
pub(crate) fn halted<T: std::fmt::Debug>(result: Result<T, RunError>, expected: HaltReason) -> Halt {
    match result {
        Err(RunError::Halted { halt, .. }) if halt.reason == expected => halt,
        other => panic!("halted by {expected:?} expected, not {other:?}"),
    }
}
