//! What must hold in every world, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

use super::order::orders;
use super::play::{End, Played};
use super::quiet::{quietly, told};
use super::schedule::Schedule;
use super::{Exploration, World};
use crate::engine::{Registration, Verification};
use crate::function::DurableFunction;
use crate::journal::{self, Event, Journal, Operation};
use crate::payload::Payload;
use crate::testing::replay::replay_with;
use crate::{Digest, value};

/// The most prefixes of one journal that are replayed; of a longer one, as many at equal distances.
const PREFIXES_MAX: usize = 200;

/// What is seen of a run from outside, whenever one looks.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    /// What it returned.
    returned: Digest,
    /// What it published and emitted, by name, in order.
    published: BTreeMap<String, Vec<u64>>,
}

impl Outcome {
    fn of<'a, O: Serialize>(output: &O, journals: impl Iterator<Item = &'a Journal>) -> Result<Self, String> {
        let returned = value::digest(output).map_err(|error| error.to_string())?;
        let mut published: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (operation, _) in journals.flat_map(publications) {
            published.entry(operation.name().to_owned()).or_default().push(operation.digest);
        }
        Ok(Self { returned, published })
    }
}

/// What a run has shown and told outside.
fn publications(journal: &Journal) -> impl Iterator<Item = (&Operation, &Payload)> {
    journal.events.iter().filter_map(|event| match event {
        Event::Published(published) => Some((&published.operation, &published.value)),
        Event::Emitted(emitted) => Some((&emitted.operation, &emitted.value)),
        _ => None,
    })
}

/// What is known of the worlds that were judged.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What the function returns in worlds in which nothing goes wrong.
    outcomes: BTreeSet<Outcome>,
    /// By the hash of what is recorded, which operations come next.
    next: BTreeMap<u64, Vec<String>>,
    /// The journals whose prefixes were replayed.
    replayed: BTreeSet<u64>,
    /// How many outcomes could not be compared with that of a world in which nothing went wrong.
    pub(super) unconfirmed: usize,
}

impl<F: DurableFunction> Exploration<F> {
    /// Judges a world. `Ok` holds it, checked.
    ///
    /// # Errors
    /// What must not be, and is.
    pub(super) fn judge(
        &self,
        known: &mut Known,
        played: Played<F::Output>,
        check: &mut dyn FnMut(&World<F::Output>),
    ) -> Result<(), String> {
        if let Some(broken) = &played.seen.broken {
            return Err(broken.clone());
        }
        let outcome = match &played.end {
            End::Returned(output) => self.judge_outcome(known, &played, output),
            End::Halted(_) | End::Stuck(_) => Ok(()),
        };
        let world = played.world()?;
        let mut checked = || quietly(|| check(&world)).map_err(|panic| told(&*panic));
        if let Err(why) = outcome {
            return Err(checked().err().map_or(why.clone(), |check| format!("{why}\n  the check says: {check}")));
        }
        for part in world.journals() {
            judge_journal::<F>(known, part)?;
        }
        checked()
    }

    /// The outcome is that of a world in which the process does not die, and the steps act and end in the same order.
    fn judge_outcome(&self, known: &mut Known, played: &Played<F::Output>, output: &F::Output) -> Result<(), String> {
        let outcome = Outcome::of(output, played.journals())?;
        if known.outcomes.contains(&outcome) {
            return Ok(());
        }
        if played.seen.mishaps.is_empty() && played.lives == 1 {
            known.outcomes.insert(outcome);
            return Ok(());
        }
        let mut ends = Vec::new();
        for order in orders(played) {
            let is_faultless = order.fails.is_empty();
            let other = self.play_quietly(Schedule { order: Some(order), ..Schedule::default() })?;
            if let End::Returned(output) = &other.end {
                let expected = Outcome::of(output, other.journals())?;
                let is_same = expected == outcome;
                if is_faultless {
                    known.outcomes.insert(expected);
                }
                if is_same {
                    return Ok(());
                }
            }
            let published = list(other.journals());
            ends.push((other.end, published));
        }
        let returned = self.text(output);
        let expected = ends.iter().find_map(|(end, published)| match end {
            End::Returned(expected) => Some((expected, published)),
            End::Halted(_) | End::Stuck(_) => None,
        });
        Err(match (expected, ends.first().map(|(end, _)| end)) {
            (Some((same, expected)), _) if value::digest(same).ok() == Some(outcome.returned) => {
                let published = list(played.journals());
                format!(
                    "the run published or emitted what it does not when nothing goes wrong and its steps act and end in the same order\n  published: {published}\n  expected:  {expected}"
                )
            }
            (Some((expected, _)), _) => {
                let expected = self.text(expected);
                format!(
                    "the run returned what it does not return when nothing goes wrong and its steps act and end in the same order\n  returned: {returned}\n  expected: {expected}"
                )
            }
            (None, Some(End::Halted(halt))) => format!(
                "the run returned {returned}, but halts when nothing goes wrong and its steps act and end in the same order: {halt}"
            ),
            // After a crash, steps begin and are polled at other places: not every order can be had without one. That the
            // recorded outcomes lead to this result, `judge_journal` makes sure of.
            (None, _) => {
                known.unconfirmed += 1;
                return Ok(());
            }
        })
    }

    fn text(&self, output: &F::Output) -> String {
        let payload = crate::payload::Payload::encode(self.codec, output, crate::payload::PAYLOAD_BYTES_MAX);
        payload.map_or_else(|error| error.to_string(), |payload| payload.excerpt())
    }
}

/// What a run has published and emitted, for people.
fn list<'a>(journals: impl Iterator<Item = &'a Journal>) -> String {
    let told =
        journals.flat_map(publications).map(|(operation, value)| format!("{} {}", operation.key, value.excerpt()));
    told.collect::<Vec<_>>().join(", ")
}

/// One outcome for each operation, and every prefix replays: to the same next operations as it did before.
fn judge_journal<F: DurableFunction>(known: &mut Known, journal: &Journal) -> Result<(), String> {
    let mut outcomes = BTreeSet::new();
    for event in &journal.events {
        if let (true, Some(operation)) = (event.is_outcome() || matches!(event, Event::Published(_)), event.operation())
            && !outcomes.insert(&operation.key)
        {
            return Err(format!("{} has two recorded outcomes (R6)", operation.key));
        }
    }
    if !known.replayed.insert(hash(journal)) {
        return Ok(());
    }
    let registration = Registration::of::<F>();
    let length = journal.length();
    let stride = length.div_ceil(PREFIXES_MAX).max(1);
    for prefix in (1..length).step_by(stride).chain([length]) {
        let prefix = journal.prefix(prefix);
        let after = || format!("after {} of its {length} records", prefix.length());
        match replayed(&prefix, &registration) {
            Verification::Same => {}
            Verification::Continues { next } => {
                let before = known.next.entry(hash(&prefix)).or_insert_with(|| next.clone());
                if *before != next {
                    return Err(format!(
                        "{}, the function goes on with [{}], and with the same records it went on with [{}] before: it is not deterministic",
                        after(),
                        next.join(", "),
                        before.join(", ")
                    ));
                }
            }
            Verification::Differs { halt } => {
                return Err(format!("{}, the journal does not replay: {halt}", after()));
            }
        }
    }
    Ok(())
}

fn replayed(journal: &Journal, registration: &Registration) -> Verification {
    let tokio = tokio::runtime::Builder::new_current_thread().build();
    let tokio = tokio.unwrap_or_else(|error| panic!("a tokio runtime can't be built: {error}"));
    tokio.block_on(replay_with(journal, registration))
}

/// Of what is recorded, without times and marks of recoveries, which depend on what went wrong.
fn hash(journal: &Journal) -> u64 {
    let mut hash = Xxh3Default::new();
    for event in &journal.events {
        if matches!(event, Event::Recovered { .. }) {
            continue;
        }
        let mut event = event.clone();
        event.set_what_differs(0);
        // Encoded, because what is printed for people leaves out the values.
        let frame = journal::encode(&event).unwrap_or_else(|error| panic!("a record can't be encoded again: {error}"));
        hash.update(&frame);
    }
    hash.digest()
}
