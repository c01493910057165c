//! For tests (feature `testing`): the conformance suite every store passes, and a store that fails on command.

pub mod conformance;
mod random;

pub use random::Random;
