//! Durable functions.

mod clock;
mod failure;
mod id;
mod payload;
mod retry;
pub mod store;
mod timed_out;
mod value;

pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use failure::{FAILURE_CAUSES_MAX, FAILURE_MESSAGE_BYTES_MAX, Failure, ResultExt};
pub use id::{Fence, InvalidRunId, Position, RUN_ID_BYTES_MAX, RunId};
pub use payload::{Codec, PAYLOAD_BYTES_MAX, Payload, PayloadError};
pub use retry::{Always, Retry, RetryOn};
pub use store::{Durability, RunStatus};
pub use timed_out::TimedOut;
pub use value::digest::Digest;
