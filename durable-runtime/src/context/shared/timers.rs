//! The timers that a run's code awaits: set when the code rests, and let fire one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use super::{RunShared, State};
use crate::clock::Timestamp;
use crate::journal::{Arguments, Event, Operation, TimerFired, TimerSet};
use crate::replay::ClaimNumber;

/// Timers that are awaited and have not fired.
#[derive(Debug, Default)]
pub(super) struct Timers {
    dues: BTreeMap<ClaimNumber, Timestamp>,
    /// The same, the next one first: of two for the same time, the one that was asked for first.
    by_due: BTreeSet<(Timestamp, ClaimNumber)>,
    /// Those of which nothing is recorded.
    unset: BTreeMap<ClaimNumber, Option<Arguments>>,
}

impl Timers {
    /// One that is recorded.
    pub(super) fn add(&mut self, claim: ClaimNumber, due: Timestamp) {
        self.dues.insert(claim, due);
        self.by_due.insert((due, claim));
    }

    /// One that is not.
    pub(super) fn add_unset(&mut self, claim: ClaimNumber, due: Timestamp, arguments: Option<Arguments>) {
        self.add(claim, due);
        self.unset.insert(claim, arguments);
    }

    pub(super) fn remove(&mut self, claim: ClaimNumber) {
        if let Some(due) = self.dues.remove(&claim) {
            self.by_due.remove(&(due, claim));
            self.unset.remove(&claim);
        }
    }

    /// Whether nothing of it is recorded.
    pub(super) fn is_unset(&self, claim: ClaimNumber) -> bool {
        self.unset.contains_key(&claim)
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// The one that is due first.
    pub(super) fn first(&self) -> Option<ClaimNumber> {
        self.by_due.first().map(|(_, claim)| *claim)
    }

    /// Those that were not recorded, in the order in which they were asked for; from now on they count as recorded.
    pub(super) fn take_unset(&mut self) -> Vec<(ClaimNumber, Timestamp, Option<Arguments>)> {
        let unset = std::mem::take(&mut self.unset);
        unset.into_iter().filter_map(|(claim, arguments)| Some((claim, *self.dues.get(&claim)?, arguments))).collect()
    }
}

impl RunShared {
    /// The time, as far as the code can know it.
    pub(crate) fn now(&self) -> Timestamp {
        self.state.lock().replay.now()
    }

    /// A timer for this time is polled: whether it has fired. If not, it will be woken.
    pub(crate) fn has_fired(
        &self,
        claim: ClaimNumber,
        due: Timestamp,
        arguments: &mut Option<Arguments>,
        waker: &Waker,
    ) -> bool {
        let mut state = self.state.lock();
        if state.take_answer(claim).is_some() {
            return true;
        }
        if state.is_polled(claim) && !state.replay.is_completed(claim) {
            state.await_time(claim, due, arguments);
        }
        state.wakes_with(claim, waker);
        false
    }

    /// The driver: when the run is to be looked at again because of its timers.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        let state = self.state.lock();
        state.timers.next().filter(|_| state.may_fire(self))
    }
}

impl State {
    /// The operation is to end at this time, unless another one is recorded.
    pub(super) fn await_time(&mut self, claim: ClaimNumber, due: Timestamp, arguments: &mut Option<Arguments>) {
        match self.replay.due(claim) {
            Some(recorded) => self.timers.add(claim, recorded),
            None => self.timers.add_unset(claim, due, arguments.take()),
        }
    }

    /// The code rests: sets the timers that it has come to since, and lets the first one fire that is due. Whether one
    /// has.
    pub(super) fn tend_timers(&mut self, shared: &RunShared, now: Timestamp) -> bool {
        if self.stopping {
            return false;
        }
        for (claim, due, arguments) in self.timers.take_unset() {
            if let Some(operation) = self.replay.operation(claim).cloned() {
                let operation = Operation { arguments, ..operation };
                self.append(Event::TimerSet(TimerSet { operation, due: due.0, at: now.0 }));
            }
        }
        let Some(due) = self.timers.next().filter(|due| *due <= now) else { return false };
        if !self.may_fire(shared) {
            return false;
        }
        let Some(claim) = self.timers.first() else { return false };
        let Some(operation) = self.replay.operation(claim) else { return false };
        let operation = Operation { arguments: None, ..operation.clone() };
        let timer = self.replay.timer(claim);
        self.timers.remove(claim);
        // The clock may have been set meanwhile.
        let at = shared.environment.clock.now().max(due).0;
        let event = Event::TimerFired(TimerFired { operation, at });
        #[cfg(feature = "testing")]
        crate::context::director::recorded(&shared.environment, &shared.id, &event);
        let fired = self.append(event);
        self.outbox.clears.extend(timer.filter(|_| fired.is_some()));
        fired.is_some()
    }

    /// Whether the first timer may fire once it is due. If it waits for the disk, the driver is told of that.
    fn may_fire(&self, shared: &RunShared) -> bool {
        let is_held = self.stopping || self.required > self.durable;
        #[cfg(feature = "testing")]
        let is_held = is_held
            || shared.environment.director.as_ref().is_some_and(|director| {
                let operation = self.timers.first().and_then(|claim| self.replay.operation(claim));
                operation.is_some_and(|operation| !director.may_fire(&shared.id, &operation.key))
            });
        #[cfg(not(feature = "testing"))]
        let _ = shared;
        !is_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_due_first_and_of_two_the_one_asked_for_first() {
        let mut timers = Timers::default();
        for (claim, due) in [(3, 20), (1, 30), (2, 20), (0, 10)] {
            match claim % 2 {
                0 => timers.add_unset(claim, Timestamp(due), None),
                _ => timers.add(claim, Timestamp(due)),
            }
        }
        assert_eq!(timers.take_unset(), [(0, Timestamp(10), None), (2, Timestamp(20), None)]);
        assert_eq!(timers.take_unset(), []);
        timers.remove(0);
        timers.remove(7);
        assert_eq!(timers.next(), Some(Timestamp(20)));
        let mut fire = || {
            let first = timers.first();
            if let Some(claim) = first {
                timers.remove(claim);
            }
            first
        };
        assert_eq!([fire(), fire(), fire(), fire()], [Some(2), Some(3), Some(1), None]);
        assert_eq!(timers.next(), None);
    }
}
