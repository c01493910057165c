//! Code against journal: the heart, and PURE. No tokio, clock, randomness, I/O or hash maps.
//!
//! A [`Replay`] is what is known of one run. It learns *facts* from the journal and from live execution
//! through the same door ([`Replay::apply`]), *claims* from the code ([`Replay::claim`]), and answers
//! what the code is to be told next ([`Replay::next_delivery`]). Live execution and replay differ only
//! in when facts arrive: all at once from the journal, or one by one as steps end.

mod diff;
mod divergence;
mod legality;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod patch_tests;
mod patches;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) use divergence::{CodeChange, Difference, Divergence};
pub(crate) use legality::{Illegal, Legality, Stage};
pub(crate) use patches::Path;

use legality::{Facts, OperationFacts};
use patches::Patches;

use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Arguments, Event, Operation, OperationKind, Outcome, Site};

/// The number of a claim: how many the run made before it.
pub(crate) type ClaimNumber = u32;

/// What is known of one run: its recorded facts, the code's claims, and what is still to be delivered.
#[derive(Debug)]
pub(crate) struct Replay {
    legality: Legality,
    /// Recorded facts of operations, by claim number.
    recorded: BTreeMap<ClaimNumber, Recorded>,
    /// Which claim a recorded key belongs to.
    recorded_keys: BTreeMap<Arc<str>, ClaimNumber>,
    /// Recorded and not delivered, by position.
    undelivered: VecDeque<Completion>,
    /// The code's claims, by number.
    claims: Vec<Operation>,
    /// How often each name was claimed.
    names: BTreeMap<Cow<'static, str>, u32>,
    /// The newest claim while it may still be renamed.
    unsealed: Option<Unsealed>,
    patches: Patches,
    /// How many records are behind what the code knows: the position after the last delivered completion.
    delivered: Position,
    /// Whether everything that was in the journal at the start has been delivered.
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
    retry_at: Option<u64>,
    /// The record that carries the timer of the next attempt.
    timer: Option<Position>,
    completed: bool,
}

#[derive(Debug)]
struct Completion {
    position: Position,
    claim: ClaimNumber,
    outcome: Outcome,
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

/// What the code is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Resolve this claim with this outcome, then let the code run until it makes no more progress.
    Deliver {
        claim: ClaimNumber,
        outcome: Outcome,
        /// Whether it was in the journal at the start.
        replayed: bool,
    },
    /// Nothing is recorded that was not delivered.
    Nothing,
    /// Code and journal disagree.
    Diverged(Box<Divergence>),
}

/// How a claimed step is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Not now: its outcome is recorded, or the journal is not yet replayed.
    Wait,
    /// Begin this attempt, not before this time.
    Attempt { attempt: u32, not_before: Option<u64> },
}

impl Begin {
    /// Whether an attempt would begin right now.
    pub(crate) fn is_due(self, now: Timestamp) -> bool {
        match self {
            Self::Wait => false,
            Self::Attempt { not_before, .. } => not_before.is_none_or(|due| due <= now.0),
        }
    }
}

impl Replay {
    /// A run that has no facts yet.
    pub(crate) fn new() -> Self {
        Self {
            legality: Legality::new(),
            recorded: BTreeMap::new(),
            recorded_keys: BTreeMap::new(),
            undelivered: VecDeque::new(),
            claims: Vec::new(),
            names: BTreeMap::new(),
            unsealed: None,
            patches: Patches::default(),
            delivered: Position(0),
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
        replay.live = replay.recorded.is_empty();
        Ok(replay)
    }

    /// Takes in the next fact and returns its position.
    ///
    /// The one door for facts from the journal and from live execution.
    ///
    /// # Errors
    /// [`Illegal`]: the fact can't follow those before it; nothing was changed.
    pub(crate) fn apply(&mut self, event: Event) -> Result<Position, Illegal> {
        let position = self.legality.admit(&event, &self.facts(&event))?;
        match event {
            Event::AttemptFailed(event) => {
                let recorded = self.recorded_entry(position, event.operation);
                recorded.failed_attempts = event.attempt;
                recorded.retry_at = Some(event.retry_at);
                recorded.timer = Some(position);
            }
            Event::StepCompleted(event) => {
                let claim = event.operation.claim;
                let recorded = self.recorded_entry(position, event.operation);
                recorded.completed = true;
                recorded.timer = None;
                self.undelivered.push_back(Completion { position, claim, outcome: event.outcome });
            }
            Event::Started(event) => self.patches.known = event.patches,
            Event::Patched(event) => {
                self.patches.recorded.insert(event.id.to_string());
            }
            Event::Recovered { .. } | Event::Halted(_) | Event::Resumed { .. } | Event::Finished(_) => {}
        }
        Ok(position)
    }

    fn recorded_entry(&mut self, position: Position, operation: Operation) -> &mut Recorded {
        let claim = operation.claim;
        self.recorded_keys.entry(operation.key.clone()).or_insert(claim);
        let is_sealed = self.is_sealed(claim);
        self.recorded.entry(claim).or_insert_with(|| Recorded {
            position,
            // What is compared already need not be shown any more, and a long journal's would fill the memory.
            operation: if is_sealed { Operation { arguments: None, ..operation } } else { operation },
            failed_attempts: 0,
            retry_at: None,
            timer: None,
            completed: false,
        })
    }

    fn facts(&self, event: &Event) -> Facts {
        if let Event::Patched(event) = event {
            return Facts::Patch { is_recorded: self.patches.recorded.contains(&*event.id) };
        }
        let Some(operation) = event.operation() else { return Facts::Nothing };
        let same_claim = self.recorded.get(&operation.claim);
        Facts::Operation(OperationFacts {
            key_of_claim: same_claim.map(|recorded| recorded.operation.key.clone()),
            claim_of_key: self.recorded_keys.get(&operation.key).copied(),
            failed_attempts: same_claim.map_or(0, |recorded| recorded.failed_attempts),
            completed: same_claim.is_some_and(|recorded| recorded.completed),
        })
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
        let number = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        let key = self.next_key(request.name.clone());
        let Request { name, kind, digest, site } = request;
        self.claims.push(Operation { claim: number, key, kind, digest, site, arguments: None });
        self.unsealed = Some(Unsealed { name });
        self.progress(number);
        number
    }

    /// Whether the arguments of the newest claim are to be [shown](Self::show): they are not those that are recorded.
    pub(crate) fn differs(&self, claim: ClaimNumber) -> bool {
        let Some(operation) = self.operation(claim) else { return false };
        self.recorded.get(&claim).is_some_and(|recorded| recorded.operation.digest != operation.digest)
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

    /// Whether the claim was made, and compared with what is recorded.
    fn is_sealed(&self, claim: ClaimNumber) -> bool {
        (claim as usize) + usize::from(self.unsealed.is_some()) < self.claims.len()
    }

    /// Fixes the newest claim's key and compares it with the journal (R9).
    pub(crate) fn seal(&mut self) {
        if self.unsealed.take().is_none() {
            return;
        }
        let Some(operation) = self.claims.last() else { return };
        let claim = operation.claim;
        let by_key = self.recorded_keys.get(&operation.key).and_then(|claim| self.recorded.get(claim));
        let difference = match (self.recorded.get(&claim), by_key) {
            (Some(recorded), _) => {
                let found = &recorded.operation;
                if found.key != operation.key {
                    Some((recorded, Difference::Key))
                } else if found.kind != operation.kind {
                    Some((recorded, Difference::Kind))
                } else if found.digest != operation.digest {
                    Some((recorded, Difference::Arguments))
                } else {
                    None
                }
            }
            // Not recorded at this place: then its key must not be recorded at another one.
            (None, by_key) => by_key.map(|recorded| (recorded, Difference::Order)),
        };
        if let Some((recorded, difference)) = difference {
            let divergence = Divergence {
                difference,
                recorded: Some((recorded.position, recorded.operation.clone())),
                current: Some(operation.clone()),
                elsewhere: by_key.map(|recorded| recorded.position),
                length: self.length(),
            };
            self.divergence.get_or_insert(divergence);
        } else if let Some(recorded) = self.recorded.get_mut(&claim) {
            recorded.operation.arguments = None;
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
        if !self.live || self.divergence.is_some() {
            return Begin::Wait;
        }
        match self.recorded.get(&claim) {
            Some(recorded) if recorded.completed => Begin::Wait,
            Some(recorded) => Begin::Attempt { attempt: recorded.failed_attempts + 1, not_before: recorded.retry_at },
            None => Begin::Attempt { attempt: 1, not_before: None },
        }
    }

    /// Whether a step waits for the time of its next attempt, so that the run may have nothing to do now.
    pub(crate) fn is_backing_off(&self, now: u64) -> bool {
        self.recorded.values().any(|recorded| !recorded.completed && recorded.retry_at.is_some_and(|due| due > now))
    }

    /// Whether anything is recorded of the claim.
    pub(crate) fn is_recorded(&self, claim: ClaimNumber) -> bool {
        self.recorded.contains_key(&claim)
    }

    /// Whether the claim's outcome is recorded.
    pub(crate) fn is_completed(&self, claim: ClaimNumber) -> bool {
        self.recorded.get(&claim).is_some_and(|recorded| recorded.completed)
    }

    /// The record whose timer ends when the claim's next fact is recorded.
    pub(crate) fn timer(&self, claim: ClaimNumber) -> Option<Position> {
        self.recorded.get(&claim).and_then(|recorded| recorded.timer)
    }

    /// What the code is to be told next (R2, R3). Call only when it makes no more progress by itself.
    pub(crate) fn next_delivery(&mut self) -> Delivery {
        if let Some(divergence) = self.known_divergence() {
            return Delivery::Diverged(Box::new(divergence));
        }
        // The lowest undelivered position is the next; the code has claimed it, or the two disagree:
        // when it was recorded, the code had claimed it knowing no more than it knows now.
        if let Some(next) = self.undelivered.pop_front() {
            if self.operation(next.claim).is_none() {
                return Delivery::Diverged(Box::new(self.unclaimed(Difference::NotClaimed, next.claim)));
            }
            self.delivered = next.position.next();
            self.at_rest = false;
            return Delivery::Deliver { claim: next.claim, outcome: next.outcome, replayed: !self.live };
        }
        if !self.live {
            if let Some(unclaimed) = self.first_unclaimed() {
                return Delivery::Diverged(Box::new(self.unclaimed(Difference::NotClaimed, unclaimed)));
            }
            self.live = true;
        }
        self.at_rest = true;
        Delivery::Nothing
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
        self.first_unclaimed().map(|claim| self.unclaimed(Difference::LeftOver, claim))
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
        !self.live && (!self.undelivered.is_empty() || self.first_unclaimed().is_some())
    }

    /// How many records the code's present knowledge rests on: they must be durable before anything that
    /// depends on it can be seen outside (R5).
    pub(crate) fn delivered(&self) -> Position {
        self.delivered
    }

    fn first_unclaimed(&self) -> Option<ClaimNumber> {
        let claimed = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        self.recorded.range(claimed..).next().map(|(claim, _)| *claim)
    }

    fn found(&self, claim: ClaimNumber) -> Option<(Position, Operation)> {
        self.recorded.get(&claim).map(|recorded| (recorded.position, recorded.operation.clone()))
    }

    fn unclaimed(&self, difference: Difference, claim: ClaimNumber) -> Divergence {
        Divergence {
            difference,
            recorded: self.found(claim),
            current: self.claims.last().cloned(),
            elsewhere: None,
            length: self.length(),
        }
    }
}
