//! What `replay` is to answer, told once more: from the whole list of events and claims each time, with no state
//! that could be wrong.

use crate::journal::{ChildStarted, Event, Operation, OperationKind, Started};
use crate::replay::{Begin, Difference, Path, Stage};

/// One claim of the code.
struct Claim {
    name: String,
    kind: OperationKind,
    digest: u64,
    is_sealed: bool,
    /// The number that it is recorded with, if that is known. Wider than any that can be recorded.
    number: Option<u64>,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) events: Vec<Event>,
    /// How many events there were at the start.
    replayed: usize,
    /// By key: the lowest number that was free at the start.
    free: Option<u64>,
    claims: Vec<Claim>,
    /// The positions of the delivered completions, in the order of their delivery.
    delivered: Vec<usize>,
    is_live: bool,
    is_at_rest: bool,
    foreign_wake: bool,
    difference: Option<Difference>,
    answers: Vec<(&'static str, bool)>,
}

/// What the code is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Deliver { claim: u32, position: usize, is_replayed: bool },
    Cancel,
    Nothing,
    Diverged(Difference),
}

/// What is recorded of an operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    failed_attempts: u32,
    /// Where the attempt behind those begins.
    pub(super) begun: Option<usize>,
    due: Option<u64>,
    pub(super) timer: Option<usize>,
    pub(super) is_completed: bool,
}

impl Model {
    /// The events are a journal, and the code is at its start.
    pub(super) fn starts(&mut self, by_key: bool) {
        self.replayed = self.events.len();
        let is_new = self.operations().next().is_none();
        let last = self.operations().map(|(_, operation)| u64::from(operation.claim)).max();
        self.free = by_key.then(|| last.map_or(0, |last| last + 1));
        self.is_live = is_new;
    }

    fn operations(&self) -> impl Iterator<Item = (usize, &Operation)> {
        self.events.iter().enumerate().filter_map(|(position, event)| Some((position, event.operation()?)))
    }

    /// Whether the event may be the next one.
    pub(super) fn admits(&self, event: &Event) -> bool {
        let is_in_place = match self.stage() {
            Stage::Empty => matches!(event, Event::Started(_)),
            Stage::Waiting => {
                matches!(
                    event,
                    Event::Begun { .. } | Event::SignalReceived(_) | Event::PromiseSettled(_) | Event::Cancelled(_)
                )
            }
            Stage::Running => !matches!(event, Event::Started(_) | Event::Resumed { .. } | Event::Begun { .. }),
            Stage::Halted => {
                matches!(
                    event,
                    Event::Resumed { .. }
                        | Event::SignalReceived(_)
                        | Event::PromiseSettled(_)
                        | Event::ChildEnded(_)
                        | Event::CancelRequested(_)
                        | Event::Cancelled(_)
                )
            }
            Stage::Finished => false,
        };
        let agrees = match event {
            // Behind nothing but the beginning of a run that has continued as new.
            Event::Kept(_) => {
                let is_new = |event: &Event| matches!(event, Event::Started(started) if started.continued.is_some());
                let is_more = |event: &Event| matches!(event, Event::Begun { .. } | Event::Kept(_));
                self.events.first().is_some_and(is_new) && self.events.iter().skip(1).all(is_more)
            }
            Event::Patched(new) => {
                !self.events.iter().any(|old| matches!(old, Event::Patched(old) if old.id == new.id))
            }
            Event::AttemptFailed(new) => self.admits_attempt(&new.operation, new.attempt),
            Event::StepStarted(new) => {
                let is_begun = self.recorded(new.operation.claim).is_some_and(|recorded| recorded.begun.is_some());
                self.admits_attempt(&new.operation, new.attempt) && !is_begun
            }
            Event::StepCompleted(new) => self.admits_attempt(&new.operation, new.attempts),
            Event::TimerSet(new) => {
                self.admits_operation(&new.operation, has_time(&new.operation))
                    && self.recorded(new.operation.claim).is_none()
            }
            Event::TimerFired(new) => {
                self.admits_operation(&new.operation, has_time(&new.operation))
                    && self.recorded(new.operation.claim).is_some_and(|recorded| !recorded.is_completed)
                    && (new.operation.kind == OperationKind::Timer || !self.is_settled(&new.operation.key))
            }
            Event::PromiseSettled(new) => {
                let has_fired = |event: &Event| {
                    matches!(event, Event::TimerFired(fired) if fired.operation.kind == OperationKind::Promise
                        && *fired.operation.key == *new.key)
                };
                !self.is_settled(&new.key) && !self.events.iter().any(has_fired)
            }
            Event::PromiseTaken(new) => {
                self.admits_operation(&new.operation, OperationKind::Promise)
                    && self.recorded(new.operation.claim).is_none_or(|recorded| !recorded.is_completed)
                    && self.is_settled(&new.operation.key)
            }
            Event::Emitted(new) => {
                self.admits_operation(&new.operation, OperationKind::Emission)
                    && self.recorded(new.operation.claim).is_none()
            }
            Event::ChildStarted(new) => self.admits_child(new),
            Event::ChildEnded(new) => {
                self.admits_operation(&new.operation, OperationKind::Child)
                    && self.recorded(new.operation.claim).is_some_and(|recorded| !recorded.is_completed)
            }
            Event::Published(new) => {
                self.admits_operation(&new.operation, OperationKind::Publication)
                    && self.recorded(new.operation.claim).is_none()
            }
            Event::UndoPlanned(new) => {
                self.admits_operation(&new.operation, OperationKind::Step)
                    && self.recorded(new.operation.claim).is_none()
            }
            Event::CancelRequested(_) | Event::Finished(_) => self.cancel().is_none(),
            Event::SignalReceived(new) => {
                let same = |old: &Event| match old {
                    Event::SignalReceived(old) => old.id == new.id,
                    Event::Started(Started { continued: Some(old), .. }) => {
                        old.signals.iter().any(|old| Some(&old.id) == new.id.as_ref())
                    }
                    _ => false,
                };
                new.id.is_none() || !self.events.iter().any(same)
            }
            Event::SignalTaken(new) => {
                self.admits_operation(&new.operation, OperationKind::Signal)
                    && self.recorded(new.operation.claim).is_none()
                    && self.is_next_signal(&new.operation.key, new.received)
            }
            _ => true,
        };
        is_in_place && agrees
    }

    /// Where it is recorded that the run is to be cancelled.
    fn cancel(&self) -> Option<usize> {
        self.events.iter().position(|event| matches!(event, Event::CancelRequested(_)))
    }

    fn untold_cancel(&self) -> Option<usize> {
        self.cancel().filter(|position| !self.delivered.contains(position))
    }

    fn is_settled(&self, key: &str) -> bool {
        self.events.iter().any(|event| matches!(event, Event::PromiseSettled(settled) if *settled.key == *key))
    }

    /// FIFO: all signals of the same name that came before were taken, and this one was not.
    fn is_next_signal(&self, key: &str, received: u64) -> bool {
        let name = key.split('#').next().unwrap_or_default();
        let is_taken = |position: usize| {
            let position = position as u64;
            self.events.iter().any(|event| matches!(event, Event::SignalTaken(taken) if taken.received == position))
        };
        let open = self.events.iter().enumerate().find(|(position, event)| {
            matches!(event, Event::SignalReceived(signal) if *signal.name == *name) && !is_taken(*position)
        });
        open.is_some_and(|(position, _)| position as u64 == received)
    }

    fn admits_attempt(&self, new: &Operation, attempt: u32) -> bool {
        let recorded = self.recorded(new.claim).unwrap_or_default();
        self.admits_operation(new, OperationKind::Step)
            && !recorded.is_completed
            && attempt.checked_sub(1) == Some(recorded.failed_attempts)
    }

    fn admits_child(&self, new: &ChildStarted) -> bool {
        let recorded = self.recorded(new.operation.claim);
        match new.operation.kind {
            // What was emitted is delivered.
            OperationKind::Emission => {
                self.admits_operation(&new.operation, OperationKind::Emission)
                    && recorded.is_some_and(|recorded| !recorded.is_completed)
                    && !new.attached
            }
            _ => self.admits_operation(&new.operation, OperationKind::Child) && recorded.is_none(),
        }
    }

    fn admits_operation(&self, new: &Operation, kind: OperationKind) -> bool {
        let is_same = |old: &Operation| (old.claim == new.claim, old.claim == new.claim && old.kind != new.kind);
        self.operations().all(|(_, old)| is_same(old) == (old.key == new.key, false))
            && new.claim <= u32::MAX / 2
            && new.kind == kind
    }

    pub(super) fn stage(&self) -> Stage {
        let mut stages = self.events.iter().rev().filter_map(|event| match event {
            Event::Started(started) if started.not_before.is_some() => Some(Stage::Waiting),
            Event::Started(_) | Event::Resumed { .. } | Event::Begun { .. } => Some(Stage::Running),
            Event::Halted(_) => Some(Stage::Halted),
            Event::Finished(_) | Event::Cancelled(_) => Some(Stage::Finished),
            _ => None,
        });
        stages.next().unwrap_or(Stage::Empty)
    }

    /// R12: recoveries since the last progress.
    pub(super) fn recoveries(&self) -> usize {
        let is_none = |event: &&Event| match event {
            Event::StepStarted(_) => true,
            Event::Resumed { .. } | Event::Begun { .. } => false,
            other => other.operation().is_none(),
        };
        let since = self.events.iter().rev().take_while(is_none);
        since.filter(|event| matches!(event, Event::Recovered { .. })).count()
    }

    fn recorded(&self, number: u32) -> Option<Recorded> {
        let mut recorded = None;
        for (position, event) in self.events.iter().enumerate() {
            if event.operation().is_none_or(|operation| operation.claim != number) {
                continue;
            }
            let known: &mut Recorded = recorded.get_or_insert_default();
            match event {
                Event::AttemptFailed(event) => {
                    (known.failed_attempts, known.begun) = (known.failed_attempts + 1, None);
                    (known.due, known.timer) = (Some(event.retry_at), Some(position));
                }
                Event::Emitted(_) | Event::UndoPlanned(_) => {}
                Event::StepStarted(_) => (known.begun, known.due, known.timer) = (Some(position), None, None),
                Event::ChildStarted(event) => (known.begun, known.is_completed) = (Some(position), !event.attached),
                Event::TimerSet(event) => (known.due, known.timer) = (Some(event.due), Some(position)),
                _ => (known.is_completed, known.timer) = (true, None),
            }
        }
        recorded
    }

    /// What is recorded of a claim.
    pub(super) fn recorded_of(&self, claim: usize) -> Option<Recorded> {
        self.recorded(self.claims.get(claim)?.number?.try_into().ok()?)
    }

    /// R4: the name, and the how-manieth of this name it is.
    pub(super) fn key(&self, claim: usize) -> String {
        let name = &self.claims[claim].name;
        match self.claims[..claim].iter().filter(|earlier| earlier.name == *name).count() {
            0 => name.clone(),
            earlier => format!("{name}#{}", earlier + 1),
        }
    }

    pub(super) fn claims(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn claim(&mut self, name: &str, kind: OperationKind, digest: u64) {
        self.seal();
        let number = if self.free.is_some() { None } else { Some(self.claims.len() as u64) };
        self.claims.push(Claim { name: name.to_owned(), kind, digest, is_sealed: false, number });
        self.progress();
    }

    pub(super) fn progress(&mut self) {
        self.foreign_wake |= self.is_at_rest;
    }

    pub(super) fn rename(&mut self, claim: usize, name: &str) -> bool {
        let may = claim + 1 == self.claims.len() && !self.claims[claim].is_sealed;
        if may {
            name.clone_into(&mut self.claims[claim].name);
        }
        may
    }

    /// R9: the newest claim against what is recorded.
    pub(super) fn seal(&mut self) {
        let Some(index) = self.claims.len().checked_sub(1).filter(|newest| !self.claims[*newest].is_sealed) else {
            return;
        };
        self.claims[index].is_sealed = true;
        let key = self.key(index);
        let Claim { kind, digest, .. } = self.claims[index];
        let with = |wanted: &dyn Fn(&Operation) -> bool| {
            let found = self.operations().find(|(_, operation)| wanted(operation));
            found.map(|(_, operation)| {
                let differs = match (operation.kind == kind, operation.digest == digest) {
                    (false, _) => Some(Difference::Kind),
                    (true, false) => Some(Difference::Arguments),
                    (true, true) => None,
                };
                (operation.claim, *operation.key == *key, differs)
            })
        };
        let with_key = with(&|operation| *operation.key == *key);
        let (number, difference) = match (self.free, self.claims[index].number) {
            (Some(free), _) => match with_key {
                Some((number, _, differs)) => (Some(number.into()), differs),
                None => (Some(self.newest().filter(|newest| *newest >= free).map_or(free, |newest| newest + 1)), None),
            },
            (None, number) => match with(&|operation| Some(u64::from(operation.claim)) == number) {
                Some((_, false, _)) => (number, Some(Difference::Key)),
                Some((_, true, differs)) => (number, differs),
                None => (number, with_key.map(|_| Difference::Order)),
            },
        };
        self.claims[index].number = number;
        self.difference = self.difference.or(difference);
    }

    /// The highest number of a claim.
    fn newest(&self) -> Option<u64> {
        self.claims.iter().filter_map(|claim| claim.number).max()
    }

    pub(super) fn is_diverged(&self) -> bool {
        self.foreign_wake || self.difference.is_some()
    }

    /// Completions that are to be delivered, or stand in the way.
    fn ahead(&self) -> impl Iterator<Item = (usize, &Operation)> {
        let completions = self
            .operations()
            .filter(|(position, _)| self.events[*position].is_outcome() && !self.delivered.contains(position));
        // By key, what was recorded before and is not asked for is passed over.
        completions.filter(|(position, operation)| {
            self.free.is_none() || *position >= self.replayed || self.claim_of(operation.claim).is_some()
        })
    }

    fn claim_of(&self, number: u32) -> Option<u32> {
        let claim = self.claims.iter().position(|claim| claim.number == Some(number.into()))?;
        u32::try_from(claim).ok()
    }

    fn is_unclaimed(&self) -> bool {
        let unclaimed = |operation: &Operation| self.claim_of(operation.claim).is_none();
        let recorded = if self.free.is_some() { self.replayed } else { self.events.len() };
        self.operations().any(|(position, operation)| position < recorded && unclaimed(operation))
    }

    fn known(&mut self) -> Option<Difference> {
        self.seal();
        if self.foreign_wake { Some(Difference::ForeignWake) } else { self.difference }
    }

    /// R3: the lowest position that was not delivered.
    pub(super) fn next(&mut self) -> Next {
        if let Some(difference) = self.known() {
            return Next::Diverged(difference);
        }
        let next = self.ahead().next().map(|(position, operation)| (position, self.claim_of(operation.claim)));
        if let Some(position) = self.untold_cancel().filter(|position| next.is_none_or(|(next, _)| *position < next)) {
            self.delivered.push(position);
            self.is_at_rest = false;
            return Next::Cancel;
        }
        match next {
            Some((position, Some(claim))) => {
                self.delivered.push(position);
                self.is_at_rest = false;
                Next::Deliver { claim, position, is_replayed: position < self.replayed }
            }
            Some((_, None)) => Next::Diverged(Difference::NotClaimed),
            None if !self.is_live && self.free.is_none() && self.is_unclaimed() => {
                Next::Diverged(Difference::NotClaimed)
            }
            None => {
                (self.is_live, self.is_at_rest) = (true, true);
                Next::Nothing
            }
        }
    }

    /// The function returned here.
    pub(super) fn end(&mut self) -> Option<Difference> {
        let known = self.known();
        let foreign = self.is_at_rest.then_some(Difference::ForeignWake);
        let left_over = (self.free.is_none() && self.is_unclaimed()).then_some(Difference::LeftOver);
        known.or(foreign).or(left_over)
    }

    pub(super) fn delivered(&self) -> usize {
        self.delivered.iter().max().map_or(0, |last| last + 1)
    }

    pub(super) fn is_repeating(&self) -> bool {
        let is_behind = self.ahead().next().is_some() || self.untold_cancel().is_some();
        !self.is_live && (is_behind || self.is_unclaimed())
    }

    pub(super) fn begin(&self, claim: usize) -> Begin {
        if !self.is_live || self.difference.is_some() || self.untold_cancel().is_some() {
            return Begin::Wait;
        }
        match self.recorded_of(claim).unwrap_or_default() {
            recorded if recorded.is_completed => Begin::Wait,
            recorded => Begin::Attempt { attempt: recorded.failed_attempts + 1, not_before: recorded.due },
        }
    }

    /// The first answer about a patch stays.
    pub(super) fn patch(&mut self, id: &'static str, patches_max: usize) -> Path {
        self.seal();
        if let Some((_, is_new)) = self.answers.iter().find(|(asked, _)| *asked == id) {
            return if *is_new { Path::New } else { Path::Old };
        }
        if self.answers.len() >= patches_max {
            return Path::TooMany;
        }
        let is_known = self.events.iter().any(|event| match event {
            Event::Started(event) => event.patches.iter().any(|known| **known == *id),
            Event::Patched(event) => *event.id == *id,
            _ => false,
        });
        // A cancel that lies ahead contradicts no path.
        let is_at_the_end = self.is_live || (self.ahead().next().is_none() && !self.is_unclaimed());
        self.answers.push((id, is_known || is_at_the_end));
        match (is_known, is_at_the_end) {
            (true, _) => Path::New,
            (false, true) => Path::NewIfRecorded,
            (false, false) => Path::Old,
        }
    }
}

/// Which kind an operation with a time is to have: a promise can have one, too.
fn has_time(operation: &Operation) -> OperationKind {
    match operation.kind {
        OperationKind::Promise => OperationKind::Promise,
        _ => OperationKind::Timer,
    }
}
