//! Durable functions.

// `#[durable]` names this crate by its path; inside it, that path is this.
extern crate self as durable_runtime;

mod runtime;
mod run;
mod function;
mod context;
mod retry;
mod failure;
mod timed_out;
mod admin;
mod error;
mod halt;
mod id;
mod clock;
mod payload;
mod value;
mod panics;
mod journal;
mod replay;
mod engine;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

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
pub use value::digest::Digest;

/// What `#[durable]` expands to. Not for use by hand: anything here may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::context::callee::*;
    pub use crate::engine::Registration;
}
