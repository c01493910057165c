//! Real processes, the sled store, and `kill -9`: whatever a worker process acknowledged is found again.
//!
//! A *worker* (this program, started again) opens the store, recovers, and keeps runs going. It tells its parent every
//! fact that the runtime acknowledged, through a pipe. The parent kills it at random moments, starts the next, and
//! judges all lives together from what it heard alone; only then it opens the store itself and compares.
//!
//! `DURABLE_SEED=<number>` chooses the same moments again. Lives are real, so what a moment hits may still differ.
//!
//! Reading order: [`fact`] what is told, [`order`] the durable function, [`life`] the worker, [`ledger`] what must
//! hold, [`reaper`] who kills, [`inspect`] the store at the end, [`forgetful`] a store that breaks its word.

mod fact;
mod forgetful;
mod inspect;
mod ledger;
mod life;
mod order;
mod reaper;
mod runner;

use std::process::ExitCode;

use crate::life::StoreKind;
use crate::reaper::{Death, Trial, seed};

const TESTS: &[runner::Test] = &[
    ("each_broken_promise_is_noticed", ledger::each_broken_promise_is_noticed),
    (
        "records_acknowledged_before_they_are_written_are_missed",
        records_acknowledged_before_they_are_written_are_missed,
    ),
    ("a_store_killed_while_it_is_created_opens", a_store_killed_while_it_is_created_opens),
    ("synced_records_survive_kill_9", synced_records_survive_kill_9),
    ("buffered_records_survive_kill_9", buffered_records_survive_kill_9),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments {
        [first, life] if first == life::ARGUMENT => life::live(life),
        _ => runner::run(TESTS, &arguments),
    }
}

/// R6, R12, S2.
fn synced_records_survive_kill_9() {
    survives(StoreKind::Synced, 32);
}

/// What the operating system has taken over outlives the process (R6).
fn buffered_records_survive_kill_9() {
    survives(StoreKind::Buffered, 32);
}

fn survives(store: StoreKind, kills: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trial = Trial::new(seed(), store, folder.path().join("store"));
    println!("  {store:?}, DURABLE_SEED={}", trial.seed);
    let survived = trial.run(kills).and_then(|told| {
        let found = inspect::inspect(&trial, &told.ledger)?;
        Ok((told, found))
    });
    match survived {
        Ok((told, found)) => {
            println!("  {told}");
            println!("  found: {found}");
            assert_eq!(told.deaths.len(), kills);
            let counts = told.ledger.counts();
            assert!(counts.recovered > 0 && counts.repeated > 0, "no kill hit any work: {counts}");
        }
        Err(violation) => {
            let kept = folder.keep();
            panic!("{violation}\nDURABLE_SEED={}, the store is kept in {}", trial.seed, kept.display());
        }
    }
}

/// A store whose creation was cut short is created anew, or opened as what it is: empty.
fn a_store_killed_while_it_is_created_opens() {
    const ROUNDS: u64 = 24;
    let seed = seed();
    let mut cut_short = 0;
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = if round % 2 == 0 { StoreKind::Synced } else { StoreKind::Buffered };
        let trial = Trial::new(seed.wrapping_add(round), store, folder.path().join("store"));
        let opened = trial.kill_while_opening().and_then(|told| {
            inspect::inspect(&trial, &told.ledger)?;
            Ok(told.deaths)
        });
        match opened {
            Ok(deaths) => cut_short += usize::from(deaths == [Death::Opening]),
            Err(violation) => {
                let kept = folder.keep();
                panic!("{violation}\nDURABLE_SEED={seed}, round {round}, the store is kept in {}", kept.display());
            }
        }
    }
    println!("  DURABLE_SEED={seed}, {cut_short} of {ROUNDS} creations were cut short");
    assert!(cut_short > 0, "no kill hit a creation");
}

/// The trial can fail: with a store that says `Ok` before it has written, a kill loses what was acknowledged.
fn records_acknowledged_before_they_are_written_are_missed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seed = seed();
    let trial = Trial::new(seed, StoreKind::Forgetful, folder.path().join("store"));
    let violation = match trial.run(20) {
        Ok(told) => panic!("it went unnoticed, DURABLE_SEED={seed}: {told}"),
        Err(violation) => violation,
    };
    println!("  noticed, as it should be: {violation}");
    assert!(violation.is_broken_promise(), "another failure than the one looked for: {violation}");
}
