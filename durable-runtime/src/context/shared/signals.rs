//! The signals that a run receives, and the waits of its code that take them.

use std::collections::BTreeMap;
use std::task::Waker;

use super::{Environment, RunShared, State};
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Event, Operation, SignalReceived, SignalTaken};
use crate::payload::Payload;
use crate::replay::{Answer, ClaimNumber, Sent};

/// The waits for signals that are awaited, and the names of those they wait for.
pub(super) type Receivers = BTreeMap<ClaimNumber, Box<str>>;

/// What became of a signal that was sent to a run in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// It is recorded there.
    At(Position),
    /// It had been received before; what is recorded up to there says so.
    Again(Position),
    /// Another one was received under its id.
    Conflicts,
    /// The run has received as many as it may.
    TooMany,
    /// The run can't record anything any more.
    Refused,
}

impl RunShared {
    /// A wait for a signal is polled: what the signal says, if it was given one. If not, it will be woken.
    pub(crate) fn take_signal(&self, claim: ClaimNumber, name: &str, waker: &Waker) -> Option<Payload> {
        let mut state = self.state.lock();
        state.replay.seal();
        let slot = state.slots.get_mut(claim as usize)?;
        if let Some(answer) = slot.delivered.take() {
            state.replay.progress(claim);
            return match answer {
                Answer::Signal(value) => Some(value),
                // Not for a signal: of which kind an operation is was compared (R9).
                Answer::Step(_) | Answer::Fired => None,
            };
        }
        if state.is_polled(claim) && !state.replay.is_completed(claim) {
            state.receivers.insert(claim, name.into());
        }
        state.wakes_with(claim, waker);
        None
    }

    /// The driver: somebody has sent a signal.
    pub(crate) fn receive(&self, signal: SignalReceived) -> Received {
        let mut state = self.state.lock();
        match state.replay.judge(&signal) {
            Sent::New => {}
            Sent::Again => return Received::Again(state.replay.length()),
            Sent::Conflicts => return Received::Conflicts,
        }
        if state.replay.signals() >= self.environment.limits.signals {
            return Received::TooMany;
        }
        match state.append(Event::SignalReceived(signal)) {
            Some(position) => {
                // The run is in memory, and need not be woken.
                state.outbox.clears.push(position);
                Received::At(position)
            }
            None => Received::Refused,
        }
    }
}

impl State {
    /// The code rests: gives the first wait for which there is a signal the next one, unless a timer was due before that
    /// came. Whether one was given.
    pub(super) fn give_signal(&mut self, environment: &Environment, now: Timestamp) -> bool {
        if self.stopping || self.required > self.durable {
            return false;
        }
        let ready = self.receivers.iter().filter_map(|(claim, name)| {
            let (position, at) = self.replay.next_signal(name)?;
            Some((at, *claim, position))
        });
        #[cfg(feature = "testing")]
        let ready = ready.filter(|(_, claim, _)| self.is_its_turn(environment, *claim));
        let Some((at, claim, received)) = ready.min() else { return false };
        if self.timers.next().is_some_and(|due| due <= now && due < at) {
            return false;
        }
        let Some(operation) = self.replay.operation(claim) else { return false };
        let operation = Operation { arguments: None, ..operation.clone() };
        let at = environment.clock.now().max(at).0;
        let event = Event::SignalTaken(SignalTaken { operation, received: received.0, at });
        #[cfg(feature = "testing")]
        crate::context::director::recorded(environment, &event);
        self.receivers.remove(&claim);
        self.append(event).is_some()
    }

    /// In a simulated process: whether the wait may be given a signal now.
    #[cfg(feature = "testing")]
    fn is_its_turn(&self, environment: &Environment, claim: ClaimNumber) -> bool {
        let key = self.replay.key(claim).unwrap_or_default();
        environment.director.as_ref().is_none_or(|director| director.may_fire(&key))
    }
}
