//! Durable functions.

// `#[durable]` names this crate by its path; inside it, that path is this.
#[expect(unused_extern_crates, reason = "used by the expansion in unit tests only")]
extern crate self as durable_runtime;

mod admin;
mod clock;
mod context;
mod engine;
mod error;
mod failure;
mod function;
mod halt;
mod id;
mod journal;
mod panics;
mod payload;
mod replay;
mod retry;
mod run;
mod runtime;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod timed_out;
mod value;

pub use durable_macros::durable;

pub use admin::{AttemptInfo, LIST_MAX, RunInfo, RunSummary, StepInfo, StepStatus};
pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use context::{Context, Step, StepContext};
pub use engine::{Limits, Recovery, Stats};
pub use error::{AdminError, OpenError, RunError, StartError};
pub use failure::{FAILURE_CAUSES_MAX, FAILURE_MESSAGE_BYTES_MAX, Failure, ResultExt};
pub use function::DurableFunction;
pub use halt::{Halt, HaltReason};
pub use id::{Fence, InvalidRunId, Position, RUN_ID_BYTES_MAX, RunId};
pub use payload::{Codec, PAYLOAD_BYTES_MAX, Payload, PayloadError};
pub use retry::{Always, Retry, RetryOn};
pub use run::Run;
pub use runtime::{Runtime, RuntimeBuilder, Shutdown};
pub use store::{Durability, RunStatus};
pub use timed_out::TimedOut;
pub use value::Recorded;
pub use value::digest::Digest;

/// What `#[durable]` expands to. Not for use by hand: anything here may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::context::callee::*;
    pub use crate::engine::Registration;
}
