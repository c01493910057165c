//! How a replay learns facts: the one door for those of the journal and those of live execution.

use super::legality::{Facts, OperationFacts};
use super::past::Past;
use super::{Answer, Cancel, Completion, Illegal, Recorded, Replay, Sent};
use crate::clock::Timestamp;
use crate::id::Position;
use crate::journal::{Arguments, Event, Operation};

impl Replay {
    /// Takes in the next fact and returns its position.
    ///
    /// The one door for facts from the journal and from live execution.
    ///
    /// # Errors
    /// [`Illegal`]: the fact can't follow those before it; nothing was changed.
    pub(crate) fn apply(&mut self, event: Event) -> Result<Position, Illegal> {
        let position = self.legality.admit(&event, &self.facts(&event))?;
        let (at, due) = (event.at(), event.due().map(|due| due.0));
        self.past.learn(position, &event);
        self.emissions.learn(position, &event, self.past.records());
        match event {
            Event::AttemptFailed(event) => {
                let recorded = self.recorded_entry(position, event.operation);
                (recorded.failed_attempts, recorded.begun) = (event.attempt, None);
                recorded.first_failed_at.get_or_insert(at);
                (recorded.due, recorded.timer) = (due, Some(position));
            }
            Event::TimerSet(event) => {
                let recorded = self.recorded_entry(position, event.operation);
                (recorded.due, recorded.timer) = (due, Some(position));
            }
            Event::StepStarted(event) => {
                let recorded = self.recorded_entry(position, event.operation);
                (recorded.begun, recorded.due, recorded.timer) = (Some(position), None, None);
            }
            Event::StepCompleted(event) => self.completed(position, event.operation, Answer::Step(event.outcome), at),
            Event::TimerFired(event) => self.completed(position, event.operation, Answer::Fired, at),
            Event::SignalReceived(event) => {
                self.signals.receive(position, &event);
                self.signal_values.insert(position, (event.value, at));
            }
            Event::SignalTaken(event) => {
                let received = Position(event.received);
                self.signals.take(received);
                if let Some((value, _)) = self.signal_values.remove(&received) {
                    self.completed(position, event.operation, Answer::Signal(value), at);
                }
            }
            Event::PromiseSettled(event) => self.promises.settle(position, event),
            Event::PromiseTaken(event) => {
                if let Some(settlement) = self.promises.take(&event.operation.key) {
                    self.completed(position, event.operation, Answer::Promise(settlement), at);
                }
            }
            Event::ChildStarted(event) => {
                let recorded = self.recorded_entry(position, event.operation);
                // Nobody is told of the end of one that is not attached.
                (recorded.begun, recorded.completed) = (Some(position), !event.attached);
                recorded.child = Some(event.child);
            }
            Event::UndoPlanned(event) => self.recorded_entry(position, event.operation).undoes = true,
            Event::CancelRequested(event) => {
                self.cancel = Some(Cancel { position, reason: event.reason, is_told: false });
                self.deadline = None;
            }
            Event::ChildEnded(event) => self.completed(position, event.operation, Answer::Child(event.end), at),
            Event::Emitted(event) => {
                let arguments = Arguments::of_recorded(&event.value);
                self.recorded_entry(position, Operation { arguments, ..event.operation });
            }
            Event::Published(event) => {
                let arguments = Arguments::of_recorded(&event.value);
                self.recorded_entry(position, Operation { arguments, ..event.operation }).completed = true;
            }
            Event::Started(event) => {
                if !event.begins_later() {
                    self.deadline = due.map(|due| (position, Timestamp(due)));
                }
                self.part = event.part();
                self.signals.remember(&event);
                // Also if the clock was set back when it begins.
                self.now = event.not_before.unwrap_or_default().max(at);
                (self.patches.known, self.seed) = (event.patches, event.seed);
                (self.past, self.parent) = (Past::of(event.forks), event.parent);
            }
            // What it waited for is no part of what its code does.
            Event::Begun { at, .. } => {
                self.now = self.now.max(at);
                self.deadline = due.map(|due| (position, Timestamp(due)));
            }
            Event::Patched(event) => {
                self.patches.recorded.insert(event.id.to_string());
            }
            Event::Recovered { .. }
            | Event::Halted(_)
            | Event::Resumed { .. }
            | Event::Finished(_)
            | Event::Kept(_)
            | Event::Cancelled(_) => {}
        }
        Ok(position)
    }

    fn completed(&mut self, position: Position, operation: Operation, answer: Answer, at: u64) {
        let number = operation.claim;
        let recorded = self.recorded_entry(position, operation);
        (recorded.completed, recorded.timer) = (true, None);
        self.undelivered.insert(position, Completion { position, operation: number, answer, at });
    }

    fn recorded_entry(&mut self, position: Position, operation: Operation) -> &mut Recorded {
        let number = operation.claim;
        self.recorded_keys.entry(operation.key.clone()).or_insert(number);
        let is_sealed = self.is_sealed(number);
        self.recorded.entry(number).or_insert_with(|| Recorded {
            position,
            // What is compared already need not be shown any more, and a long journal's would fill the memory.
            operation: if is_sealed { Operation { arguments: None, ..operation } } else { operation },
            failed_attempts: 0,
            first_failed_at: None,
            begun: None,
            due: None,
            timer: None,
            child: None,
            undoes: false,
            completed: false,
        })
    }

    fn facts(&self, event: &Event) -> Facts {
        if let Event::Patched(event) = event {
            return Facts::Patch { is_recorded: self.patches.recorded.contains(&*event.id) };
        }
        if let Event::SignalReceived(event) = event {
            return Facts::Signal { is_received: self.signals.judge(event) != Sent::New };
        }
        if let Event::PromiseSettled(event) = event {
            return Facts::Promise { is_settled: self.settled(event).is_some() };
        }
        let Some(operation) = event.operation() else { return Facts::Nothing };
        let is_there = match event {
            Event::SignalTaken(taken) => self.signals.may_take(&operation.key, Position(taken.received)),
            _ => self.promises.is_settled(&operation.key),
        };
        let same_claim = self.recorded.get(&operation.claim);
        Facts::Operation(OperationFacts {
            key_of_claim: same_claim.map(|recorded| recorded.operation.key.clone()),
            claim_of_key: self.recorded_keys.get(&operation.key).copied(),
            kind_of_claim: same_claim.map(|recorded| recorded.operation.kind),
            failed_attempts: same_claim.map_or(0, |recorded| recorded.failed_attempts),
            completed: same_claim.is_some_and(|recorded| recorded.completed),
            begun: same_claim.is_some_and(|recorded| recorded.begun.is_some()),
            is_there,
        })
    }
}
