//! Continuing as new: what a run takes with it when its journal begins anew.

use std::collections::BTreeMap;

use crate::chance::next_seed;
use crate::journal::{Continued, Event, Kept, SignalReceived, Started, TakenSignal, Text};
use crate::payload::Payload;

/// How many of the signals that were taken are remembered by their senders' ids.
const SIGNALS_REMEMBERED: usize = 1_000;

/// With what a run continues as new.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    /// Of the code that goes on with it.
    pub(crate) version: u32,
    pub(crate) fingerprint: u64,
    pub(crate) patches: Vec<Text>,
    pub(crate) input: Payload,
    pub(crate) input_digest: u64,
    /// When it does, in milliseconds since the epoch.
    pub(crate) at: u64,
}

/// What takes the place of these events when their run continues as new. `None` if they are not those of a run.
///
/// It is the same run: what was said of it when it was started, its place in a queue, its deadline and the run that waits for
/// it stay. It takes the signals with it that were not taken, and the latest value of each name that it has published. All else is gone:
/// who comes with the outcome of an operation of before is told that there is none.
pub(crate) fn continued(events: &[Event], next: Next) -> Option<Vec<Event>> {
    let Some(Event::Started(before)) = events.first() else { return None };
    let Next { version, fingerprint, patches, input, input_digest, at } = next;
    let deadline = before.deadline(before.at);
    let started = Started {
        function: before.function.clone(),
        version,
        fingerprint,
        input,
        input_digest,
        at,
        patches,
        seed: next_seed(before.seed),
        tags: before.tags.clone(),
        correlation: before.correlation.clone(),
        // Nothing is left of them.
        forks: Vec::new(),
        parent: before.parent.clone(),
        not_before: before.not_before,
        queue: before.queue.clone(),
        // One that begins later has its deadline in the record that it has begun.
        timeout: deadline.map(|deadline| deadline.saturating_sub(at)),
        continued: Some(Box::new(Continued {
            times: before.part(),
            created_at: before.created_at().0,
            input: before.first_input(),
            input_digest: before.first_digest(),
            signals: Vec::new(),
        })),
    };
    let mut kept: BTreeMap<Text, Kept> = BTreeMap::new();
    let mut waiting: BTreeMap<u64, &SignalReceived> = BTreeMap::new();
    let mut taken = before.continued.as_ref().map(|continued| continued.signals.clone()).unwrap_or_default();
    let mut begun = None;
    for (event, position) in events.iter().zip(0..) {
        match event {
            Event::Begun { .. } => begun = Some(event.clone()),
            Event::Kept(event) => drop(kept.insert(event.name.clone(), Kept { at, ..event.clone() })),
            Event::Published(event) => {
                let name: Text = event.operation.name().to_owned().into();
                let number = kept.get(&name).map_or(0, |kept| kept.number.saturating_add(1));
                let (value, published_at) = (event.value.clone(), event.at);
                kept.insert(name.clone(), Kept { name, number, value, published_at, at });
            }
            Event::SignalReceived(signal) => drop(waiting.insert(position, signal)),
            Event::SignalTaken(event) => {
                if let Some(SignalReceived { id: Some(id), name, digest, .. }) = waiting.remove(&event.received) {
                    taken.push(TakenSignal { id: id.clone(), name: name.clone(), digest: *digest });
                }
            }
            _ => {}
        }
    }
    let forgotten = taken.len().saturating_sub(SIGNALS_REMEMBERED);
    let started = remembering(started, taken.split_off(forgotten));
    let waiting = waiting.into_values().cloned().map(Event::SignalReceived);
    Some(
        [Event::Started(started)]
            .into_iter()
            .chain(begun)
            .chain(kept.into_values().map(Event::Kept))
            .chain(waiting)
            .collect(),
    )
}

fn remembering(mut started: Started, signals: Vec<TakenSignal>) -> Started {
    if let Some(continued) = &mut started.continued {
        continued.signals = signals;
    }
    started
}
