//! Durable functions.

mod clock;
mod id;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use id::{Fence, InvalidRunId, Position, RUN_ID_BYTES_MAX, RunId};
pub use store::{Durability, RunStatus};
