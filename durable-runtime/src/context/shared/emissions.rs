//! What the code has emitted: each is to be delivered by a run of its own, which is started once it is durable.

use super::{ChildStart, RunShared, State};
use crate::emission::{DELIVERY_FUNCTION, Undelivered, delivery_of};
use crate::halt::{Halt, HaltReason};
use crate::id::{Position, RunId};
use crate::journal::{ChildStarted, Event, Text};
use crate::replay::{Emission, Replay};
use crate::start::Said;

/// The run that is to deliver an emission of this run. `Err` says why there can't be one.
pub(crate) fn delivery(
    run: &RunId,
    part: u64,
    correlation: &str,
    replay: &Replay,
    emission: &Emission,
) -> Result<ChildStart, Halt> {
    let key = &emission.operation.key;
    let refused = |what: String| Halt::new(HaltReason::Limit, Some(key.clone()), what);
    let event = Undelivered::of(run, part, emission);
    let id = RunId::new(&*event.id).map_err(|error| refused(format!("the id of an event can't be one: {error}")))?;
    let (input, digest) =
        delivery_of(&event).map_err(|error| refused(format!("an event can't be delivered: {error}")))?;
    Ok(ChildStart {
        claim: emission.operation.claim,
        is_delivery: true,
        run: id,
        function: DELIVERY_FUNCTION,
        input,
        digest,
        parent: replay.as_parent(run.as_str(), key, false),
        correlation: Text::from(correlation.to_owned()),
        said: Said::default(),
    })
}

impl RunShared {
    /// Emissions of before that nobody delivers, as far as is known: they are durable.
    pub(super) fn deliver_what_is_left(&self) {
        let mut state = self.state.lock();
        let left: Vec<Emission> = state.replay.emissions().cloned().collect();
        for emission in left {
            state.deliver(self, Position(0), &emission);
        }
    }

    /// The driver: the run that delivers the emission with this number exists now.
    pub(super) fn delivery_started(&self, number: u32, run: &RunId) {
        let at = self.environment.clock.now().0;
        let mut state = self.state.lock();
        state.children.starting_deliveries.remove(&number);
        let emission = state.replay.emissions().find(|emission| emission.operation.claim == number);
        if let Some(operation) = emission.map(|emission| emission.operation.clone()) {
            let (child, function) = (run.as_str().to_owned().into(), DELIVERY_FUNCTION.into());
            state.append(Event::ChildStarted(ChildStarted { operation, child, function, attached: false, at }));
        }
    }

    /// The driver: whether something was emitted for which no run is being started yet.
    pub(crate) fn has_deliveries_to_start(&self) -> bool {
        self.state.lock().children.due.iter().any(|(_, start)| start.is_delivery)
    }

    /// The driver: the run goes no further for now, and all that it has recorded is durable. What was emitted is delivered all the same:
    /// what is to be started for that.
    pub(crate) fn take_deliveries(&self) -> Vec<ChildStart> {
        let mut state = self.state.lock();
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.children.due).into_iter().partition(|(_, start)| start.is_delivery);
        state.children.due = later;
        let starts: Vec<ChildStart> = now.into_iter().map(|(_, start)| start).collect();
        state.children.starting_deliveries.extend(starts.iter().map(|start| start.claim));
        starts
    }
}

impl State {
    /// An emission that is recorded is to be delivered once so many records are durable.
    pub(super) fn deliver(&mut self, shared: &RunShared, required: Position, emission: &Emission) {
        match delivery(&shared.id, shared.part, shared.correlation_id(), &self.replay, emission) {
            Ok(start) => self.children.due.push((required, start)),
            Err(halt) => self.halt(halt),
        }
    }
}
