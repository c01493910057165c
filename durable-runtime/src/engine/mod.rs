//! The tokio shell around the pure core: it polls, commits, waits and wakes. It decides nothing that
//! [`replay`](crate::replay) can decide.

mod active;
mod committer;
mod continuing;
mod control;
mod counters;
mod create;
mod driver;
mod execution;
mod followers;
mod incoming;
mod limits;
mod nursery;
mod pruning;
mod queues;
mod recovery;
mod registry;
mod runs;
mod schedules;
mod sleepers;
mod sound;
mod starting;
mod tasks;
#[cfg(all(test, any(durable_loom, durable_shuttle)))]
mod tests;
mod verifier;

pub(crate) use active::{Outcome, Phase};
pub(crate) use committer::Committer;
#[cfg(feature = "testing")]
pub(crate) use committer::{CommitError, Commits, Link};
pub(crate) use counters::Counters;
pub use counters::Stats;
pub(crate) use create::NotCreated;
pub(crate) use followers::{Cursor, Following};
pub(crate) use incoming::NotReceived;
pub use limits::Limits;
pub(crate) use pruning::NotPruned;
pub use recovery::Recovery;
pub(crate) use recovery::{Loaded, ResumeRefused, load};
pub use registry::Registration;
pub(crate) use registry::Registry;
pub(crate) use runs::{DeleteRefused, Engine, Watched, halt_of};
pub use sound::Flaw;
pub(crate) use sound::{Ends, Unsound, decode, decode_ends};
pub(crate) use starting::{Begins, Particulars, Starting};
pub(crate) use tasks::Tasks;
pub use verifier::Verification;
pub(crate) use verifier::verify;
