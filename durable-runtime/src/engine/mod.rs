//! The tokio shell around the pure core: it polls, commits, waits and wakes. It decides nothing that
//! [`replay`](crate::replay) can decide.

mod committer;
mod core;
mod counters;
mod driver;
mod limits;
mod registry;

pub use self::core::Recovery;
pub(crate) use self::core::{Active, Engine, Loaded, Outcome, Phase, ResumeRefused, halt_of};
pub(crate) use counters::Counters;
pub use counters::Stats;
pub use limits::Limits;
pub use registry::Registration;
pub(crate) use registry::Registry;
