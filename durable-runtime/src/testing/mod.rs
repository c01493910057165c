//! For tests (feature `testing`). Of durable functions: [`replay`] and [`golden`] journals. Of stores: the conformance suite
//! that every store passes, a [store that fails](LossyStore) on command, and [damage](Damage) to a store's files.

pub mod conformance;
mod damage;
mod golden;
mod lossy;
mod random;
mod replay;

pub use damage::{Damage, DamageKind};
pub use golden::{Golden, golden};
pub use lossy::{Call, Fault, Gate, LossyStore};
pub use random::Random;
pub use replay::replay;
