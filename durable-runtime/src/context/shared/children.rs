//! Runs that the code asks for: recorded when the code rests, and started once that is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use super::super::step_context::idempotency_key;
use super::{RunShared, State};
use crate::clock::Timestamp;
use crate::emission::DELIVERY_FUNCTION;
use crate::halt::{Halt, HaltReason};
use crate::id::{Position, RunId};
use crate::journal::{Arguments, ChildStarted, Event, Operation, Parent, Text};
use crate::payload::Payload;
use crate::replay::{Answer, Begun, ClaimNumber};
use crate::start::Said;

/// A run that the code asks for.
#[derive(Debug)]
pub(crate) struct ChildRequest {
    pub(crate) function: &'static str,
    pub(crate) input: Payload,
    pub(crate) digest: u64,
    /// For the record.
    pub(crate) arguments: Option<Arguments>,
    /// Whether this run is told of its end.
    pub(crate) attached: bool,
    /// Whether it is started also if the code drops it before.
    pub(crate) kept: bool,
    /// How it is to be started.
    pub(crate) said: Said,
}

/// A run that is to be started now.
#[derive(Debug)]
pub(crate) struct ChildStart {
    /// Of the operation; of a delivery, the number that it is recorded with.
    pub(crate) claim: ClaimNumber,
    /// Whether it delivers what was emitted.
    pub(crate) is_delivery: bool,
    pub(crate) run: RunId,
    pub(crate) function: &'static str,
    pub(crate) input: Payload,
    pub(crate) digest: u64,
    pub(crate) parent: Parent,
    /// That of the run that starts it.
    pub(crate) correlation: Text,
    pub(crate) said: Said,
}

/// A run that exists now.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) claim: ClaimNumber,
    pub(crate) is_delivery: bool,
    pub(crate) run: RunId,
    pub(crate) function: &'static str,
    pub(crate) attached: bool,
}

/// The runs that the code has asked for.
#[derive(Debug)]
pub(super) struct Children {
    /// Those that these first records say were started are known to exist.
    born: Position,
    /// Those that the code has asked for since it rested.
    asked: BTreeMap<ClaimNumber, ChildRequest>,
    /// Those that are to be started when so many records are durable.
    pub(super) due: Vec<(Position, ChildStart)>,
    /// Those that are being started.
    starting: BTreeSet<ClaimNumber>,
    /// The same, of those that deliver something.
    pub(super) starting_deliveries: BTreeSet<ClaimNumber>,
    /// Those that are attached, and are known to exist.
    open: BTreeSet<ClaimNumber>,
}

impl Children {
    pub(super) fn new(born: Position) -> Self {
        let (asked, due) = (BTreeMap::new(), Vec::new());
        let (starting, starting_deliveries) = (BTreeSet::new(), BTreeSet::new());
        Self { born, asked, due, starting, starting_deliveries, open: BTreeSet::new() }
    }

    /// How many first records say of none that does not exist, if there are so many.
    pub(super) fn born(&self, length: Position) -> Position {
        if self.are_started() { length } else { self.born }
    }

    /// The code has dropped one.
    pub(super) fn remove(&mut self, claim: ClaimNumber) {
        if self.asked.get(&claim).is_some_and(|request| !request.kept) {
            self.asked.remove(&claim);
        }
    }

    /// Whether some are to be started: should the run leave memory now, nobody would.
    pub(super) fn are_to_start(&self) -> bool {
        !self.due.is_empty() || !self.starting.is_empty() || !self.starting_deliveries.is_empty()
    }

    /// Whether it is attached, and known to exist.
    pub(super) fn is_open(&self, claim: ClaimNumber) -> bool {
        self.open.contains(&claim)
    }

    /// Whether nothing is left to do for any of them.
    pub(super) fn are_started(&self) -> bool {
        self.asked.is_empty() && !self.are_to_start()
    }
}

impl RunShared {
    /// The id of the run that the operation is.
    pub(crate) fn child_id(&self, claim: ClaimNumber) -> String {
        // Where it repeats what it was forked from, that of the other run's child.
        let (told, _) = self.told();
        let state = self.state.lock();
        match (state.replay.child(claim), state.replay.operation(claim)) {
            (Some(recorded), _) => recorded.to_owned(),
            (None, Some(operation)) => idempotency_key(told, &operation.key, self.part),
            (None, None) => String::new(),
        }
    }

    /// The code asks for a run without awaiting it.
    pub(crate) fn ask_child(&self, claim: ClaimNumber, request: ChildRequest) {
        let mut state = self.state.lock();
        // Its name is what it will be found by.
        state.replay.seal();
        state.children.asked.insert(claim, request);
    }

    /// A child is polled: what became of it, if that was delivered. If not, it will be woken.
    pub(crate) fn take_child(
        &self,
        claim: ClaimNumber,
        request: &mut Option<ChildRequest>,
        waker: &Waker,
    ) -> Option<Answer> {
        let mut state = self.state.lock();
        if let Some(answer) = state.take_answer(claim) {
            return Some(answer);
        }
        if state.is_polled(claim)
            && !state.replay.is_completed(claim)
            && let Some(request) = request.take()
        {
            // One that is recorded is to exist, also if the code drops it before it rests.
            let kept = state.replay.begun(claim) != Begun::No;
            state.children.asked.insert(claim, ChildRequest { kept, ..request });
        }
        state.wakes_with(claim, waker);
        None
    }

    /// The driver: the runs that are to be started now.
    pub(crate) fn take_child_starts(&self) -> Vec<ChildStart> {
        let mut state = self.state.lock();
        if state.stopping || state.halt.is_some() || state.children.due.is_empty() {
            return Vec::new();
        }
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.children.due).into_iter().partition(|(required, _)| *required <= state.durable);
        state.children.due = later;
        let starts: Vec<ChildStart> = now.into_iter().map(|(_, start)| start).collect();
        for start in &starts {
            let children = &mut state.children;
            let starting = if start.is_delivery { &mut children.starting_deliveries } else { &mut children.starting };
            starting.insert(start.claim);
        }
        starts
    }

    /// The driver: that run exists now.
    pub(crate) fn child_started(&self, started: &Born) {
        let Born { claim, is_delivery, ref run, function, attached } = *started;
        if is_delivery {
            return self.delivery_started(claim, run);
        }
        let at = self.environment.clock.now().0;
        let mut state = self.state.lock();
        state.children.starting.remove(&claim);
        if attached {
            state.children.open.insert(claim);
        } else if let Some(operation) = state.replay.operation(claim).cloned() {
            let (child, function) = (run.as_str().to_owned().into(), function.into());
            state.append(Event::ChildStarted(ChildStarted { operation, child, function, attached, at }));
        }
    }

    /// The driver: the function has returned, and what it has asked for is to be started before the run ends. Whether there is
    /// anything.
    pub(crate) fn has_children_to_start(&self) -> bool {
        let now = self.environment.clock.now();
        let mut state = self.state.lock();
        state.tend_children(self, now);
        !state.children.are_started()
    }

    /// The driver: whether the run has something left to do when it ends: telling the run that has started it, or, if it is
    /// cancelled, ending those that it has started, and delivering what it has emitted. One that has delivered something is not kept.
    pub(crate) fn has_duties(&self, is_cancelled: bool) -> bool {
        let state = self.state.lock();
        state.replay.parent().is_some_and(|parent| parent.attached)
            || (is_cancelled && (state.replay.has_open_children() || state.replay.emissions().next().is_some()))
            || (!is_cancelled && self.function == DELIVERY_FUNCTION)
    }
}

impl State {
    /// The code rests: records the runs that it has asked for since. They are started once that is durable.
    pub(super) fn tend_children(&mut self, shared: &RunShared, now: Timestamp) {
        if self.stopping || self.children.asked.is_empty() {
            return;
        }
        for (claim, request) in std::mem::take(&mut self.children.asked) {
            let Some(operation) = self.replay.operation(claim).cloned() else { continue };
            let run = match RunId::new(idempotency_key(&shared.id, &operation.key, shared.part)) {
                Ok(run) => run,
                Err(error) => {
                    let message = format!("the id of a child can't be one: {error}");
                    self.halt(Halt::new(HaltReason::Limit, Some(operation.key), message));
                    return;
                }
            };
            let ChildRequest { function, input, digest, arguments, attached, said, .. } = request;
            let correlation = Text::from(shared.correlation_id().to_owned());
            let parent = self.replay.as_parent(shared.id.as_str(), &operation.key, attached);
            let is_born = self.replay.begun_at(claim).is_some_and(|position| position < self.children.born);
            let required = match self.replay.begun(claim) {
                // It is recorded once it exists, so that it is not started again after it was deleted. It knows all that is
                // recorded so far (R5).
                Begun::No if !attached => self.replay.length(),
                Begun::Now | Begun::Before if !attached => continue,
                // Recorded before it exists, so that it is cancelled with this run.
                Begun::No => {
                    let (child, function) = (run.as_str().to_owned().into(), function.into());
                    let operation = Operation { arguments, ..operation };
                    let started = ChildStarted { operation, child, function, attached, at: now.0 };
                    let Some(position) = self.append(Event::ChildStarted(started)) else { return };
                    position.next()
                }
                Begun::Now | Begun::Before if is_born => {
                    self.children.open.insert(claim);
                    continue;
                }
                Begun::Now | Begun::Before => Position(0),
            };
            self.children.due.push((
                required,
                ChildStart { claim, is_delivery: false, run, function, input, digest, parent, correlation, said },
            ));
        }
    }
}
