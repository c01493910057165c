//! Code against journal: the heart, and PURE. No tokio, clock, randomness, I/O or hash maps.
//!
//! A [`Replay`] is what is known of one run. It learns *facts* from the journal and from live execution
//! through the same door ([`Replay::apply`]), *claims* from the code ([`Replay::claim`]), and answers
//! what the code is to be told next ([`Replay::next_delivery`]). Live execution and replay differ only
//! in when facts arrive: all at once from the journal, or one by one as steps end.

mod answers;
#[cfg(test)]
mod begun_tests;
mod by_key;
#[cfg(test)]
mod by_key_tests;
#[cfg(test)]
mod child_tests;
mod children;
mod continuing;
#[cfg(test)]
mod continuing_tests;
mod diff;
mod divergence;
mod dues;
#[cfg(test)]
mod emission_tests;
mod emissions;
mod incoming;
mod learning;
mod legality;
#[cfg(test)]
mod legality_tests;
#[cfg(test)]
mod message_tests;
mod past;
#[cfg(test)]
mod past_tests;
#[cfg(test)]
mod patch_tests;
mod patches;
#[cfg(test)]
mod promise_tests;
mod promises;
#[cfg(test)]
mod publication_tests;
#[cfg(test)]
mod signal_tests;
mod signals;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undo_tests;
mod undos;
mod whole;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use answers::{Answer, Begin, Begun, Delivery};
pub(crate) use children::{EndOfChild, open_children};
pub(crate) use continuing::{Next, continued};
pub(crate) use divergence::{CodeChange, Difference, Divergence, went_on_since};
pub(crate) use emissions::{Emission, undelivered};
pub(crate) use incoming::{Incoming, Sent};
pub(crate) use legality::{Illegal, Legality, Stage};
pub(crate) use past::{Told, forked};
pub(crate) use patches::Path;
pub use promises::PromiseState;
pub(crate) use promises::Settled;
pub(crate) use whole::Whole;

use by_key::ByKey;
use emissions::Emissions;
use past::Past;
use patches::Patches;
use promises::Promises;
use signals::Signals;

use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Arguments, Event, Operation, OperationKind, Parent, Site, Text};
use crate::payload::Payload;

/// The number of a claim: how many the code made before it in this life.
pub(crate) type ClaimNumber = u32;

/// The number that an operation is recorded with. That of its claim, except in code that [finds operations by their
/// keys](Replay::match_by_key).
type OperationNumber = u32;

/// What is known of one run: its recorded facts, the code's claims, and what is still to be delivered.
#[derive(Debug)]
pub(crate) struct Replay {
    legality: Legality,
    /// Recorded facts of operations.
    recorded: BTreeMap<OperationNumber, Recorded>,
    /// Which operation a recorded key belongs to.
    recorded_keys: BTreeMap<Arc<str>, OperationNumber>,
    /// Recorded and not delivered, by position.
    undelivered: BTreeMap<Position, Completion>,
    /// If operations are found by their keys.
    by_key: Option<ByKey>,
    /// The code's claims, by number.
    claims: Vec<Operation>,
    /// How often each name was claimed.
    names: BTreeMap<Cow<'static, str>, u32>,
    /// The newest claim while it may still be renamed.
    unsealed: Option<Unsealed>,
    patches: Patches,
    signals: Signals,
    /// What the signals say that were not taken.
    signal_values: BTreeMap<Position, (Payload, u64)>,
    promises: Promises,
    emissions: Emissions,
    cancel: Option<Cancel>,
    /// When the run is to be cancelled, and the record that says so.
    deadline: Option<(Position, Timestamp)>,
    /// How many records are behind what the code knows: the position after the last delivered completion.
    delivered: Position,
    /// What the run's chance is made of.
    seed: u128,
    /// Which part of the run this is: above 1, if it has continued as new.
    part: u64,
    /// Who has started it, if a run has.
    parent: Option<Parent>,
    /// What the run has from the runs that it was forked from.
    past: Past,
    /// The time that the code knows: of the newest record that it was told.
    now: u64,
    /// How many records were in the journal at the start.
    replayed: Position,
    /// Whether everything that was in the journal at the start, and is asked for, has been delivered.
    live: bool,
    /// Whether the code has made all the progress that the last delivery, or the start, gave it reason for.
    at_rest: bool,
    /// The operation with which the code made progress while it was [at rest](Self::at_rest).
    foreign: Option<ClaimNumber>,
    /// The first disagreement of a claim with the journal; kept even if the claim is dropped.
    divergence: Option<Divergence>,
}

#[derive(Debug)]
struct Recorded {
    /// Of its first record.
    position: Position,
    operation: Operation,
    failed_attempts: u32,
    /// When the first of them failed.
    first_failed_at: Option<u64>,
    /// The record that the attempt behind those has begun.
    begun: Option<Position>,
    /// The time of the next attempt, or of the timer.
    due: Option<u64>,
    /// The record that says so.
    timer: Option<Position>,
    /// The id of the run that it has started.
    child: Option<Text>,
    /// Whether it was planned, to be run only to undo something.
    undoes: bool,
    completed: bool,
}

/// That the run is to be cancelled.
#[derive(Debug)]
struct Cancel {
    position: Position,
    reason: String,
    /// Whether the code was told.
    is_told: bool,
}

#[derive(Debug)]
struct Completion {
    position: Position,
    operation: OperationNumber,
    answer: Answer,
    at: u64,
}

#[derive(Debug)]
struct Unsealed {
    name: Cow<'static, str>,
}

/// What the code asks for, before it has a key.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: OperationKind,
    pub(crate) digest: u64,
    pub(crate) site: Site,
}

impl Replay {
    /// A run that has no facts yet.
    pub(crate) fn new() -> Self {
        Self {
            legality: Legality::new(),
            recorded: BTreeMap::new(),
            recorded_keys: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            by_key: None,
            claims: Vec::new(),
            names: BTreeMap::new(),
            unsealed: None,
            patches: Patches::default(),
            signals: Signals::default(),
            signal_values: BTreeMap::new(),
            promises: Promises::default(),
            emissions: Emissions::default(),
            cancel: None,
            deadline: None,
            delivered: Position(0),
            seed: 0,
            part: 1,
            parent: None,
            past: Past::default(),
            now: 0,
            replayed: Position(0),
            live: true,
            at_rest: false,
            foreign: None,
            divergence: None,
        }
    }

    /// A run with the facts of its journal, about to be replayed.
    ///
    /// # Errors
    /// [`Illegal`]: the events can't be the journal of one run.
    pub(crate) fn of_journal(events: impl IntoIterator<Item = Event>) -> Result<Self, Illegal> {
        let mut replay = Self::new();
        for event in events {
            replay.apply(event)?;
        }
        replay.replayed = replay.length();
        replay.live = replay.recorded.is_empty();
        Ok(replay)
    }

    /// How many records there are.
    pub(crate) fn length(&self) -> Position {
        self.legality.length()
    }

    /// Where the run is in its life.
    pub(crate) fn stage(&self) -> Stage {
        self.legality.stage()
    }

    /// How often the run was recovered since it last made progress (R12).
    pub(crate) fn recoveries(&self) -> u32 {
        self.legality.recoveries()
    }

    /// Claims the next key for what the code asks (R4). The newest claim can still be [renamed](Self::rename).
    pub(crate) fn claim(&mut self, request: Request) -> ClaimNumber {
        self.seal();
        let claim = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        let key = self.next_key(request.name.clone());
        let Request { name, kind, digest, site } = request;
        // By key, its number is known when its key is.
        let number = if self.by_key.is_some() { OperationNumber::MAX } else { claim };
        self.claims.push(Operation { claim: number, key, kind, digest, site, arguments: None });
        self.unsealed = Some(Unsealed { name });
        self.progress(claim);
        claim
    }

    /// Whether the arguments of the newest claim are to be [shown](Self::show): they are not those that are recorded.
    pub(crate) fn differs(&self, claim: ClaimNumber) -> bool {
        if self.by_key.is_some() {
            // Which operation it is to be compared with is known when its key is.
            return self.first_unclaimed().is_some();
        }
        let Some(operation) = self.operation(claim) else { return false };
        self.recorded.get(&operation.claim).is_some_and(|recorded| recorded.operation.digest != operation.digest)
    }

    /// Keeps a claim's arguments for the message of a divergence.
    pub(crate) fn show(&mut self, claim: ClaimNumber, arguments: Option<Arguments>) {
        if let Some(operation) = self.claims.get_mut(claim as usize) {
            operation.arguments = arguments;
        }
    }

    /// The code made progress with a claim: it made it, polled it for the first time, took its outcome, or dropped it
    /// without.
    ///
    /// It has reason for that at its start and behind a delivery, and goes on until it waits for its operations only
    /// (R2). At any other time something else has woken it, which no replay will do at the same place.
    pub(crate) fn progress(&mut self, claim: ClaimNumber) {
        if self.at_rest {
            self.foreign.get_or_insert(claim);
        }
    }

    /// Whether code and journal are known to disagree: nothing new may begin.
    pub(crate) fn is_diverged(&self) -> bool {
        self.foreign.is_some() || self.divergence.is_some()
    }

    /// Gives the newest claim another name. `false`, and nothing changed, if it is sealed: another
    /// claim was made since, or it was polled.
    pub(crate) fn rename(&mut self, claim: ClaimNumber, name: Cow<'static, str>) -> bool {
        if claim as usize + 1 != self.claims.len() {
            return false;
        }
        let Some(unsealed) = self.unsealed.take() else { return false };
        if let Some(count) = self.names.get_mut(&unsealed.name) {
            *count -= 1;
        }
        let key = self.next_key(name.clone());
        if let Some(operation) = self.claims.last_mut() {
            operation.key = key;
        }
        self.unsealed = Some(Unsealed { name });
        true
    }

    fn next_key(&mut self, name: Cow<'static, str>) -> Arc<str> {
        let shown = name.clone();
        let count = self.names.entry(name).or_insert(0);
        *count += 1;
        match *count {
            1 => Arc::from(&*shown),
            count => format!("{shown}#{count}").into(),
        }
    }

    /// Which claim the operation has, if the code has asked for it.
    fn claim_of(&self, operation: OperationNumber) -> Option<ClaimNumber> {
        match &self.by_key {
            Some(by_key) => by_key.claim_of(operation),
            None => ((operation as usize) < self.claims.len()).then_some(operation),
        }
    }

    /// Whether the code has asked for the operation, and that was compared with what is recorded.
    fn is_sealed(&self, operation: OperationNumber) -> bool {
        let newest = self.claims.len().checked_sub(1).filter(|_| self.unsealed.is_some());
        self.claim_of(operation).is_some_and(|claim| newest != Some(claim as usize))
    }

    /// Fixes the newest claim's key and compares it with the journal (R9).
    pub(crate) fn seal(&mut self) {
        if self.unsealed.take().is_none() {
            return;
        }
        let Some(claim) = self.claims.len().checked_sub(1).and_then(|newest| u32::try_from(newest).ok()) else {
            return;
        };
        if self.by_key.is_some() {
            return self.bind(claim);
        }
        let Some(operation) = self.operation(claim) else { return };
        let by_key = self.recorded_keys.get(&operation.key).and_then(|claim| self.recorded.get(claim));
        let (number, difference) = match (self.recorded.get(&claim), by_key) {
            (Some(recorded), _) => {
                let found = &recorded.operation;
                let difference = if found.key != operation.key {
                    Some(Difference::Key)
                } else if found.kind != operation.kind {
                    Some(Difference::Kind)
                } else if found.digest != operation.digest {
                    Some(Difference::Arguments)
                } else {
                    None
                };
                (claim, difference)
            }
            // Not recorded at this place: then its key must not be recorded at another one.
            (None, Some(recorded)) => (recorded.operation.claim, Some(Difference::Order)),
            (None, None) => return,
        };
        self.compared(claim, number, difference);
    }

    /// A claim was compared with a recorded operation.
    fn compared(&mut self, claim: ClaimNumber, number: OperationNumber, difference: Option<Difference>) {
        if let Some(difference) = difference {
            let current = self.operation(claim).cloned();
            let by_key = current.as_ref().and_then(|current| self.recorded_keys.get(&current.key));
            let elsewhere = by_key.and_then(|number| self.recorded.get(number)).map(|recorded| recorded.position);
            let (recorded, length) = (self.found(number), self.length());
            self.divergence.get_or_insert(Divergence { difference, recorded, current, elsewhere, length });
        } else {
            // They will not be shown any more.
            self.show(claim, None);
            if let Some(recorded) = self.recorded.get_mut(&number) {
                recorded.operation.arguments = None;
            }
        }
    }

    /// The key of a claim.
    pub(crate) fn key(&self, claim: ClaimNumber) -> Option<Arc<str>> {
        self.operation(claim).map(|operation| operation.key.clone())
    }

    /// What a claim asked for.
    pub(crate) fn operation(&self, claim: ClaimNumber) -> Option<&Operation> {
        self.claims.get(claim as usize)
    }

    /// How many claims the code made.
    pub(crate) fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Whether the claim may begin an attempt now: only once the whole journal is replayed, so that a
    /// divergence is found before any new effect.
    pub(crate) fn begin(&self, claim: ClaimNumber) -> Begin {
        // A disagreement can also be found live: that the old path of a patch is gone.
        if !self.live || self.divergence.is_some() || self.untold_cancel().is_some() {
            return Begin::Wait;
        }
        match self.recorded_of(claim) {
            Some(recorded) if recorded.completed => Begin::Wait,
            Some(recorded) => Begin::Attempt { attempt: recorded.failed_attempts + 1, not_before: recorded.due },
            None => Begin::Attempt { attempt: 1, not_before: None },
        }
    }

    /// Whether the claim's present attempt is recorded to have begun, and if so, whether that was before this life.
    pub(crate) fn begun(&self, claim: ClaimNumber) -> Begun {
        match self.begun_at(claim) {
            None => Begun::No,
            Some(position) if position < self.replayed => Begun::Before,
            Some(_) => Begun::Now,
        }
    }

    /// Where it is recorded that the claim has begun.
    pub(crate) fn begun_at(&self, claim: ClaimNumber) -> Option<Position> {
        self.recorded_of(claim).and_then(|recorded| recorded.begun)
    }

    /// Whether the code has made all the progress that it had reason for, and none that it had not.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.at_rest && !self.is_diverged()
    }

    /// Whether anything is recorded of the claim.
    pub(crate) fn is_recorded(&self, claim: ClaimNumber) -> bool {
        self.recorded_of(claim).is_some()
    }

    /// Whether the claim's outcome is recorded.
    pub(crate) fn is_completed(&self, claim: ClaimNumber) -> bool {
        self.recorded_of(claim).is_some_and(|recorded| recorded.completed)
    }

    fn recorded_of(&self, claim: ClaimNumber) -> Option<&Recorded> {
        self.operation(claim).and_then(|operation| self.recorded.get(&operation.claim))
    }

    /// What the code is to be told next (R2, R3). Call only when it makes no more progress by itself.
    pub(crate) fn next_delivery(&mut self) -> Delivery {
        if let Some(divergence) = self.known_divergence() {
            return Delivery::Diverged(Box::new(divergence));
        }
        // The lowest undelivered position is the next; the code has claimed it, or the two disagree:
        // when it was recorded, the code had claimed it knowing no more than it knows now.
        let first = self.undelivered.first_key_value().map(|(position, _)| *position);
        if let Some(position) = self.untold_cancel().filter(|position| first.is_none_or(|first| *position < first)) {
            self.at_rest = false;
            self.delivered = self.delivered.max(position.next());
            if let Some(cancel) = &mut self.cancel {
                cancel.is_told = true;
            }
            return Delivery::Cancel;
        }
        if let Some((position, next)) = self.undelivered.pop_first() {
            let Some(claim) = self.claim_of(next.operation) else {
                return Delivery::Diverged(Box::new(self.unclaimed(Difference::NotClaimed, next.operation)));
            };
            self.at_rest = false;
            // By key, an earlier record can be delivered after a later one.
            self.delivered = self.delivered.max(position.next());
            // A clock may have been set back meanwhile.
            self.now = self.now.max(next.at);
            return Delivery::Deliver { claim, answer: next.answer, replayed: position < self.replayed };
        }
        if !self.live {
            if let Some(unclaimed) = self.first_left_over() {
                return Delivery::Diverged(Box::new(self.unclaimed(Difference::NotClaimed, unclaimed)));
            }
            self.live = true;
        }
        self.at_rest = true;
        Delivery::Nothing
    }

    /// Whether the next delivery, if there is one, was not in the journal at the start.
    pub(crate) fn is_next_live(&self) -> bool {
        let first = self.undelivered.first_key_value().map(|(position, _)| *position);
        first.into_iter().chain(self.untold_cancel()).min().is_some_and(|position| position >= self.replayed)
    }

    /// The disagreement that the code's claims, and when it made them, show by now.
    fn known_divergence(&mut self) -> Option<Divergence> {
        self.seal();
        // First, because it may be the cause of the other one.
        match self.foreign {
            Some(claim) => Some(self.foreign_wake(self.operation(claim).cloned())),
            None => self.divergence.clone(),
        }
    }

    /// The disagreement, if any, of a function that returned here: recorded operations it never claimed,
    /// a mismatch it swallowed, or that something foreign made it return.
    pub(crate) fn end(&mut self) -> Option<Divergence> {
        if let Some(divergence) = self.known_divergence() {
            return Some(divergence);
        }
        if self.at_rest {
            return Some(self.foreign_wake(self.claims.last().cloned()));
        }
        self.first_left_over().map(|operation| self.unclaimed(Difference::LeftOver, operation))
    }

    /// The disagreement of code that waits although no operation of the run will wake it.
    pub(crate) fn waits_for_nothing(&self) -> Divergence {
        Divergence {
            difference: Difference::ForeignWait,
            recorded: None,
            current: self.claims.last().cloned(),
            elsewhere: None,
            length: self.length(),
        }
    }

    fn foreign_wake(&self, current: Option<Operation>) -> Divergence {
        Divergence {
            difference: Difference::ForeignWake,
            recorded: None,
            current,
            elsewhere: None,
            length: self.length(),
        }
    }

    /// Whether the code is at a place it has passed before: recorded facts are still ahead of it.
    pub(crate) fn is_repeating(&self) -> bool {
        let is_behind = || !self.undelivered.is_empty() || self.untold_cancel().is_some();
        !self.live && (is_behind() || self.first_unclaimed().is_some())
    }

    /// What the run's chance is made of.
    pub(crate) fn seed(&self) -> u128 {
        self.seed
    }

    /// Which part of the run this is, from 1: above that, it has continued as new.
    pub(crate) fn part(&self) -> u64 {
        self.part
    }

    /// How many records the code's present knowledge rests on: they must be durable before anything that
    /// depends on it can be seen outside (R5).
    pub(crate) fn delivered(&self) -> Position {
        self.delivered
    }

    /// What is recorded, was not asked for, and should have been.
    fn first_left_over(&self) -> Option<OperationNumber> {
        if self.by_key.is_some() { None } else { self.first_unclaimed() }
    }

    fn first_unclaimed(&self) -> Option<OperationNumber> {
        if let Some(by_key) = &self.by_key {
            return by_key.first_unclaimed();
        }
        let claimed = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        self.recorded.range(claimed..).next().map(|(operation, _)| *operation)
    }

    fn found(&self, operation: OperationNumber) -> Option<(Position, Operation)> {
        self.recorded.get(&operation).map(|recorded| (recorded.position, recorded.operation.clone()))
    }

    fn unclaimed(&self, difference: Difference, operation: OperationNumber) -> Divergence {
        Divergence {
            difference,
            recorded: self.found(operation),
            current: self.claims.last().cloned(),
            elsewhere: None,
            length: self.length(),
        }
    }
}
