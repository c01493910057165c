//! For tests (feature `testing`). Of durable functions: [`replay`] and [`golden`] journals. Of stores: the conformance suite
//! that every store passes, and a store that fails on command.

pub mod conformance;
#[doc(hidden)]
pub mod fuzz;
mod golden;
mod lossy;
mod random;
mod replay;

pub use golden::{Golden, golden};
pub use lossy::{Fault, LossyStore};
pub use random::Random;
pub use replay::replay;
