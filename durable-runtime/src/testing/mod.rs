//! For tests (feature `testing`). Of durable functions: [`replay`] and [`golden`] journals. Of stores: the conformance suite
//! that every store passes, and a store that fails on command. Of both: [named places](FAIL_POINTS) to die at.

pub mod conformance;
mod fail_points;
mod golden;
mod lossy;
mod random;
mod replay;

pub use fail_points::{FAIL_POINTS, on_fail_point};
pub use golden::{Golden, golden};
pub use lossy::{Fault, LossyStore};
pub use random::Random;
pub use replay::replay;
