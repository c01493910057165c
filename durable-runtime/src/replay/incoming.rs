//! What others send to a run, and what the run makes of it.

use std::collections::BTreeSet;

use super::{EndOfChild, Replay, Settled, Stage};
use crate::chance::promise_token;
use crate::id::Position;
use crate::journal::{Cancelled, Event, Halted, PromiseSettled, SignalReceived};

/// What somebody outside sends to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    Signal(SignalReceived),
    Promise {
        settled: PromiseSettled,
        /// That of the promise's id.
        token: u128,
    },
    Cancel(Cancelled),
    Pause(Halted),
    Child(EndOfChild),
}

/// What a run makes of what is sent to it. Only what is new is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Other than all before.
    New,
    /// The signal was received, the run was cancelled, or is halted, before.
    Again,
    /// Another signal was received under its id.
    Conflicts,
    /// The run has received as many signals as it may.
    TooMany,
    /// The promise is settled.
    Settled(Settled),
    /// The id is not that of a promise of this run.
    NoSuchPromise,
    /// The run is not the one that has started the child.
    NoSuchChild,
    /// The run has not begun, and so can't be halted.
    NotBegun,
}

impl Replay {
    /// What it is that is sent to the run, which may receive so many signals.
    pub(crate) fn judge(&self, incoming: &Incoming, signals_max: usize) -> Sent {
        match incoming {
            Incoming::Signal(signal) => match self.signals.judge(signal) {
                Sent::New if self.signals.received() >= signals_max => Sent::TooMany,
                sent => sent,
            },
            Incoming::Promise { settled, token } if promise_token(self.seed, &settled.key) == *token => {
                self.settled(settled).map_or(Sent::New, Sent::Settled)
            }
            Incoming::Promise { .. } => Sent::NoSuchPromise,
            Incoming::Cancel(_) if self.stage() == Stage::Finished || self.cancel.is_some() => Sent::Again,
            Incoming::Cancel(_) => Sent::New,
            Incoming::Pause(_) => match self.stage() {
                Stage::Empty | Stage::Waiting => Sent::NotBegun,
                Stage::Halted => Sent::Again,
                Stage::Running | Stage::Finished => Sent::New,
            },
            Incoming::Child(child) => self.judge_end_of(child),
        }
    }

    /// The fact to be recorded of something [new](Sent::New). A run that is cancelled is first to undo what it has done, unless
    /// there is nothing to undo, which only a run [knows](Self::knows_its_undos).
    pub(crate) fn event_of(&self, incoming: Incoming, knows_its_undos: bool) -> Option<Event> {
        match incoming {
            Incoming::Signal(signal) => Some(Event::SignalReceived(signal)),
            Incoming::Promise { settled, .. } => Some(Event::PromiseSettled(settled)),
            Incoming::Cancel(cancelled) if self.has_undos() || !knows_its_undos => {
                Some(Event::CancelRequested(cancelled))
            }
            Incoming::Cancel(cancelled) => Some(Event::Cancelled(cancelled)),
            Incoming::Pause(halted) => Some(Event::Halted(halted)),
            Incoming::Child(child) => self.end_of(child),
        }
    }

    /// Where that was received of which the code was not told.
    pub(crate) fn untold(&self) -> BTreeSet<Position> {
        self.signals.waiting().chain(self.waiting_settlements()).chain(self.untold_cancel()).collect()
    }
}
