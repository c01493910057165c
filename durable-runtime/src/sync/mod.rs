//! What threads meet at: locks, atomics, channels, threads and tasks.
//!
//! They are named here and nowhere else, so that loom and shuttle can take their place and run the code that uses them
//! through its interleavings (docs/concurrency.md). What one thread uses at a time, and tokio's own channels and locks,
//! are used directly.

#[cfg(not(any(durable_loom, durable_shuttle)))]
mod real;
#[cfg(not(any(durable_loom, durable_shuttle)))]
pub(crate) use real::*;

#[cfg(any(durable_loom, durable_shuttle))]
mod lock;
#[cfg(any(durable_loom, durable_shuttle))]
pub(crate) use lock::{AtomicWaker, Mutex};

#[cfg(durable_loom)]
mod under_loom;
#[cfg(durable_loom)]
pub(crate) use under_loom::*;

#[cfg(durable_shuttle)]
mod under_shuttle;
#[cfg(durable_shuttle)]
pub(crate) use under_shuttle::*;
