//! For tests (feature `testing`). Of durable functions: [`explore`], which crashes them everywhere, [`replay`] and [`golden`]
//! journals. Of stores: the conformance suite that every store passes, a [store that fails](LossyStore) on command, and
//! [damage](Damage) to a store's files. Of both: a [clock](ManualClock) that is moved by hand, and [named
//! places](FAIL_POINTS) to die at.

mod clock;
pub mod conformance;
mod damage;
mod explore;
mod fail_points;
#[doc(hidden)]
pub mod fuzz;
mod golden;
mod lossy;
mod random;
mod replay;

pub use clock::ManualClock;
pub use damage::{Damage, DamageKind};
pub use explore::{Crash, Exploration, Explored, FakeCall, Timeline, World, explore};
pub use fail_points::{FAIL_POINTS, on_fail_point};
pub use golden::{Golden, golden};
pub use lossy::{Call, Fault, Gate, LossyStore};
pub use random::Random;
pub use replay::replay;

/// Whether the environment asks for runs that leave memory at every await: `DURABLE_SUSPEND=everywhere`.
///
/// # Panics
/// If it asks for something else.
pub(crate) fn is_suspending() -> bool {
    match std::env::var("DURABLE_SUSPEND") {
        Err(_) => false,
        Ok(mode) if mode == "everywhere" => true,
        Ok(mode) => panic!("DURABLE_SUSPEND={mode}: it can be `everywhere`, or not be set"),
    }
}
