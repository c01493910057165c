//! How what happens in a world is told.

use super::stage::Stage;
use crate::context::Attempt;
use crate::id::RunId;
use crate::journal::{self, Event};
use crate::store::{Append, RunStatus};

/// How an operation is called: by its key, behind those of the runs that lead to its own, if that is not the explored one; and
/// with the number of the part behind it, if its run had continued as new.
pub(super) fn label(explored: &RunId, run: &RunId, key: &str, part: usize) -> String {
    let path = run.as_str().strip_prefix(explored.as_str()).and_then(|path| path.strip_prefix(':'));
    let label = path.map_or_else(|| key.to_owned(), |path| format!("{path}:{key}"));
    if part == 1 { label } else { format!("{label}@{part}") }
}

impl Stage {
    /// How an operation is called here.
    pub(super) fn label(&self, run: &RunId, key: &str) -> String {
        let part = self.parts.lock().get(run).map_or(1, |before| before.len() + 1);
        label(&self.run, run, key, part)
    }

    /// How the step of an attempt is called.
    pub(super) fn step(&self, attempt: &Attempt) -> String {
        self.label(attempt.step.run_id(), attempt.step.key())
    }

    /// Whether the outcome of the operation is among these, or the event of the explored run that is called so.
    pub(super) fn has_outcome(&self, appends: &[Append], key: &str) -> bool {
        appends.iter().any(|append| {
            let mut events = append.records.iter().filter_map(|record| journal::decode(&record.frame).ok());
            events.any(|event| {
                match event.operation().filter(|_| event.is_outcome() || matches!(event, Event::Published(_))) {
                    Some(of) => self.label(&append.run, &of.key) == *key,
                    None => append.run == self.run && event.name() == key,
                }
            })
        })
    }

    /// What a commit records, for people.
    pub(super) fn list(&self, appends: &[Append]) -> String {
        appends.iter().flat_map(|append| self.told(append)).collect::<Vec<_>>().join(", ")
    }

    fn told(&self, append: &Append) -> impl Iterator<Item = String> {
        let events = append.records.iter().filter_map(|record| journal::decode(&record.frame).ok());
        let told = events.map(|event| match event.operation() {
            None if append.replaces && matches!(event, Event::Started(_)) => {
                self.label(&append.run, "continued as new")
            }
            Some(operation) => format!("{} {}", event.name(), self.label(&append.run, &operation.key)),
            None => match &event {
                Event::SignalReceived(signal) => format!("{} {}", event.name(), signal.name),
                Event::PromiseSettled(settled) => format!("{} {}", event.name(), settled.key),
                _ if append.run == self.run => event.name().to_owned(),
                _ => self.label(&append.run, event.name()),
            },
        });
        let status = match append.status {
            RunStatus::Suspended => Some("suspended"),
            RunStatus::Running if append.records.is_empty() => Some("woken"),
            status if status.is_over() && append.records.is_empty() => Some("wound up"),
            _ => None,
        };
        told.chain(status.map(str::to_owned))
    }
}
