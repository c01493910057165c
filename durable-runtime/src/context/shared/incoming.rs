//! What others send to a run, and the waits of its code for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use super::{RunShared, State};
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Event, Operation, PromiseTaken, SignalTaken};
use crate::payload::Payload;
use crate::replay::{Answer, ClaimNumber, Incoming, Sent, Stage};

/// The waits that are awaited, and what they wait for.
pub(super) type Receivers = BTreeMap<ClaimNumber, WaitsFor>;

/// What comes from outside.
#[derive(Debug)]
pub(super) enum WaitsFor {
    /// A signal of this name.
    Signal(Box<str>),
    /// That the promise with this key is settled.
    Promise(Arc<str>),
}

/// What became of something that was sent to a run in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// That is true once so many records are durable.
    At(Position, Sent),
    /// The run can't record anything any more.
    Refused,
}

impl RunShared {
    /// A wait for a signal is polled: what the signal says, if it was given one. If not, it will be woken.
    pub(crate) fn take_signal(&self, claim: ClaimNumber, name: &str, waker: &Waker) -> Option<Payload> {
        let mut state = self.state.lock();
        match state.take_answer(claim) {
            Some(Answer::Signal(value)) => return Some(value),
            // Not for a signal: of which kind an operation is was compared (R9).
            Some(_) => return None,
            None => {}
        }
        if state.is_polled(claim) && !state.replay.is_completed(claim) {
            state.receivers.insert(claim, WaitsFor::Signal(name.into()));
        }
        state.wakes_with(claim, waker);
        None
    }

    /// A promise is polled, which may have a time: what became of it, if that was delivered. If not, it will be woken.
    pub(crate) fn take_promise(
        &self,
        claim: ClaimNumber,
        key: &Arc<str>,
        due: Option<Timestamp>,
        waker: &Waker,
    ) -> Option<Answer> {
        let mut state = self.state.lock();
        if let Some(answer) = state.take_answer(claim) {
            return Some(answer);
        }
        if state.is_polled(claim) && !state.replay.is_completed(claim) {
            state.receivers.insert(claim, WaitsFor::Promise(Arc::clone(key)));
            if let Some(due) = due
                && state.replay.next_settlement(key).is_none()
            {
                state.await_time(claim, due, &mut None);
            }
        }
        state.wakes_with(claim, waker);
        None
    }

    /// The driver: why the run is cancelled, if somebody has done that.
    pub(crate) fn cancelled(&self) -> Option<Arc<str>> {
        self.state.lock().cancelled.clone()
    }

    /// The driver: when the run is to be cancelled, unless it has ended.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.state.lock().replay.deadline()
    }

    /// The driver: somebody has sent this.
    pub(crate) fn receive(&self, incoming: Incoming) -> Received {
        let mut state = self.state.lock();
        let sent = state.replay.judge(&incoming, self.environment.limits.signals);
        if sent == Sent::New && state.replay.stage() == Stage::Finished {
            // It was cancelled, and leaves memory: whoever sent this is told by what is recorded then.
            return Received::Refused;
        }
        if sent != Sent::New {
            return Received::At(state.replay.length(), sent);
        }
        let (mut promise, mut cancelled) = (None, None);
        match &incoming {
            Incoming::Promise { settled, .. } => promise = Some(settled.key.clone()),
            Incoming::Cancel(_) | Incoming::Signal(_) | Incoming::Child(_) | Incoming::Pause(_) => {}
        }
        let knows_its_undos = state.publications.is_empty() && (state.replay.is_at_rest() || !state.replay.was_told());
        let Some(event) = state.replay.event_of(incoming, knows_its_undos) else { return Received::Refused };
        if let Event::Cancelled(cancel) = &event {
            cancelled = Some(Arc::from(&*cancel.reason));
        }
        #[cfg(feature = "testing")]
        crate::context::director::recorded(&self.environment, &self.id, &event);
        let Some(position) = state.append(event) else { return Received::Refused };
        // The run is in memory, and need not be woken.
        state.outbox.clears.push(position);
        state.cancelled = cancelled;
        if let Some(settled) = promise {
            let is_it = |waits: &WaitsFor| matches!(waits, WaitsFor::Promise(key) if **key == *settled);
            let claim = state.receivers.iter().find(|(_, waits)| is_it(waits)).map(|(claim, _)| *claim);
            // Its time is not to come any more.
            claim.inspect(|claim| state.timers.remove(*claim));
        }
        Received::At(position.next(), sent)
    }
}

impl State {
    /// What was delivered to the operation.
    pub(super) fn take_answer(&mut self, claim: ClaimNumber) -> Option<Answer> {
        self.replay.seal();
        let answer = self.slots.get_mut(claim as usize)?.delivered.take()?;
        self.replay.progress(claim);
        Some(answer)
    }

    /// What has come for a wait and was not given to it: where it is recorded, and when it came.
    pub(super) fn has_come(&self, waits: &WaitsFor) -> Option<(Position, Timestamp)> {
        match waits {
            WaitsFor::Signal(name) => self.replay.next_signal(name),
            WaitsFor::Promise(key) => self.replay.next_settlement(key),
        }
    }

    /// The code rests: gives the first wait for which there is something the next thing, unless a timer was due before
    /// that came. Whether something was given.
    pub(super) fn give_next(&mut self, shared: &RunShared, now: Timestamp) -> bool {
        if self.stopping || self.required > self.durable {
            return false;
        }
        let ready = self.receivers.iter().filter_map(|(claim, waits)| {
            let (position, at) = self.has_come(waits)?;
            Some((at, *claim, position))
        });
        #[cfg(feature = "testing")]
        let ready = ready.filter(|(_, claim, _)| self.is_its_turn(shared, *claim));
        let Some((at, claim, received)) = ready.min() else { return false };
        if self.timers.next().is_some_and(|due| due <= now && due < at) {
            return false;
        }
        let Some(operation) = self.replay.operation(claim) else { return false };
        let operation = Operation { arguments: None, ..operation.clone() };
        let at = shared.environment.clock.now().max(at).0;
        let event = match self.receivers.remove(&claim) {
            Some(WaitsFor::Promise(_)) => Event::PromiseTaken(PromiseTaken { operation, at }),
            Some(WaitsFor::Signal(_)) | None => Event::SignalTaken(SignalTaken { operation, received: received.0, at }),
        };
        #[cfg(feature = "testing")]
        crate::context::director::recorded(&shared.environment, &shared.id, &event);
        let timer = self.replay.timer(claim);
        let is_given = self.append(event).is_some();
        self.outbox.clears.extend(timer.filter(|_| is_given));
        is_given
    }

    /// In a simulated process: whether the wait may be given a signal now.
    #[cfg(feature = "testing")]
    fn is_its_turn(&self, shared: &RunShared, claim: ClaimNumber) -> bool {
        let key = self.replay.key(claim).unwrap_or_default();
        shared.environment.director.as_ref().is_none_or(|director| director.may_fire(&shared.id, &key))
    }
}
