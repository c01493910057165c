//! For tests (feature `testing`): the conformance suite every store passes, and a store that fails on command.

pub mod conformance;
mod lossy;
mod random;

pub use lossy::{Fault, LossyStore};
pub use random::Random;
