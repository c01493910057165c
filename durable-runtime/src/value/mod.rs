//! What the runtime asks of a user's value without knowing its type: is it the same, is it an error.

pub(crate) mod digest;
mod recorded;
pub(crate) mod verdict;

pub(crate) use digest::digest;
pub use recorded::Recorded;
pub(crate) use verdict::is_err;
