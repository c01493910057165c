//! The journal of a run: what is recorded ([`Event`]), how one event lies on disk ([`frame`]), and the whole as text
//! ([`lines`]).
//!
//! What an event is made of is declared here, except `Payload`, `Codec` and `HaltReason`, which are public; a
//! change to any of them is a new frame version. This module does no I/O.

mod arguments;
mod asking;
pub(crate) mod event;
pub(crate) mod frame;
mod lines;
mod outline;
pub(crate) mod spelling;
mod text;

pub(crate) use arguments::Arguments;
pub(crate) use asking::last_of;
pub(crate) use event::{
    AttemptFailed, Cancelled, ChildEnd, ChildEnded, ChildStarted, CodeId, Continued, Emitted, Event, Finished, Fork,
    Halted, Kept, Operation, OperationKind, Outcome, Parent, Patched, PromiseSettled, PromiseTaken, Published, Queued,
    Settlement, SignalReceived, SignalTaken, Site, Started, StepCompleted, StepStarted, TakenSignal, TimerFired,
    TimerSet, UndoPlanned,
};
pub(crate) use frame::{decode, encode};
pub use lines::Journal;
pub(crate) use text::Text;
