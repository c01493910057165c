//! The journal of a run: what is recorded ([`Event`]) and how one event lies on disk ([`frame`]).
//!
//! This module has the only serde and bincode derives on stored data. It does no I/O.

pub(crate) mod event;
pub(crate) mod frame;
mod text;

pub(crate) use event::{
    AttemptFailed, CallSite, Event, Finished, Halted, Operation, OperationKind, Outcome, Started, StepCompleted,
};
pub(crate) use frame::{decode, encode};
