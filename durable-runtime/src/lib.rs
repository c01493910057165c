// The guide, which `cargo doc --open -p durable-runtime` shows as the first page.
#![doc = include_str!("../guide.md")]

// `#[durable]` names this crate by its path; inside it, that path is this.
#[allow(unused_extern_crates, reason = "used by the expansion in unit tests only")]
extern crate self as durable_runtime;

#[macro_use]
mod fail_point;

mod admin;
mod chance;
mod clock;
mod context;
mod emission;
mod engine;
mod entropy;
mod error;
mod failure;
mod function;
mod future;
mod halt;
mod id;
mod interrupted;
mod journal;
mod panics;
mod payload;
mod promise;
mod published;
mod queue;
mod replay;
mod retry;
mod run;
mod runtime;
pub mod schedule;
mod signal;
mod start;
mod start_many;
pub mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod timed_out;
mod value;

pub use durable_macros::durable;
pub use emission::{DELIVERY_FUNCTION, EVENT_BYTES_MAX, Emission};

pub use admin::{
    AttemptInfo, CHECK_LIST_MAX, Check, ChildInfo, EmittedInfo, FORK_KEYS_MAX, Finding, ForkedFrom, LIST_LOOKS_MAX,
    LIST_MAX, PromiseInfo, PublishedInfo, QueueInfo, Retention, RunFilter, RunInfo, RunPage, RunSummary, RunningStep,
    SignalInfo, StepInfo, StepStatus, StoreReport, Stranded, TimerInfo,
};
pub use chance::RunRng;
pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use context::{
    Child, ChildCancelled, Context, ContinueAsNew, Elapsed, Map, MapAll, MapAtLeast, MapFirstOk, MapTolerate, Mapped,
    PATCH_ID_BYTES_MAX, Promise, PromiseFailure, Retrying, STEP_NAME_BYTES_MAX, Signal, Step, StepContext, Timeout,
    Timer, Undo,
};
pub use engine::{Flaw, Limits, Recovery, Stats, Verification};
pub use error::{AdminError, JournalError, OpenError, PromiseError, RunError, SignalError, StartError};
pub use failure::{FAILURE_CAUSES_MAX, FAILURE_MESSAGE_BYTES_MAX, Failure, ResultExt};
pub use function::{CallSite, DurableFunction, OnChange};
pub use future::{BoxDurableFuture, DurableFuture, DurableStream};
pub use halt::{Halt, HaltReason};
pub use id::{Fence, InvalidPromiseId, InvalidRunId, Position, PromiseId, RUN_ID_BYTES_MAX, RunId};
pub use interrupted::Interrupted;
pub use journal::Journal;
pub use payload::{Codec, PAYLOAD_BYTES_MAX, Payload, PayloadError};
pub use published::{Follow, PublishedError};
pub use queue::{QUEUE_KEY_BYTES_MAX, QUEUE_NAME_BYTES_MAX, Queue, QueueStats};
pub use replay::PromiseState;
pub use retry::{Always, DelayFrom, Retry, RetryOn};
pub use run::Run;
pub use runtime::{Runtime, RuntimeBuilder, Shutdown};
pub use schedule::{CATCH_UP_MAX, CatchUp, Cron, InvalidCron, Overlap, SCHEDULE_NAME_BYTES_MAX, Schedule};
pub use signal::{SIGNAL_ID_BYTES_MAX, SendSignal, SignalSent};
pub use start::{CORRELATION_ID_BYTES_MAX, Start, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
pub use start_many::{START_BATCH_MAX, StartMany};
pub use store::{Durability, RunStatus};
pub use timed_out::TimedOut;
pub use value::Recorded;
pub use value::digest::Digest;

/// What `#[durable]` expands to. Not for use by hand: anything here may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::context::callee::*;
    pub use crate::context::patch::Patch;
    pub use crate::engine::Registration;
    pub use crate::future::{Awaited, Block, block, checked};
}

/// The code of the README, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
