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

use durable_runtime::Durability;

use crate::reaper::{Death, Trial, seed};

const TESTS: &[runner::Test] = &[
    ("each_broken_promise_is_noticed", ledger::each_broken_promise_is_noticed),
    (
        "records_acknowledged_before_they_are_written_are_missed",
        records_acknowledged_before_they_are_written_are_missed,
    ),
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

fn synced_records_survive_kill_9() {
    survives(Durability::Sync);
}

/// What the operating system has taken over outlives the process.
fn buffered_records_survive_kill_9() {
    survives(Durability::Buffered);
}

fn survives(durability: Durability) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trial = Trial { seed: seed(), durability, forgetful: false, kills: 45, folder: folder.path().join("store") };
    println!("  {durability:?}, DURABLE_SEED={}", trial.seed);
    let survived = trial.run().and_then(|(ledger, deaths)| {
        let found = inspect::inspect(&trial, &ledger)?;
        Ok((ledger, deaths, found))
    });
    match survived {
        Ok((ledger, deaths, found)) => {
            let by = |death| deaths.iter().filter(|other| **other == death).count();
            println!(
                "  {} kills ({} while opening, {} right after it, {} at work, {} while tidying), {} lives",
                deaths.len(),
                by(Death::Opening),
                by(Death::Early),
                by(Death::AtWork),
                by(Death::Idle),
                deaths.len() + 1
            );
            println!("  told:  {}", ledger.counts());
            println!("  found: {found}");
            assert!(deaths.len() >= 30, "only {} kills", deaths.len());
            let counts = ledger.counts();
            assert!(counts.recovered > 0 && counts.repeated > 0, "no kill hit any work: {counts}");
        }
        Err(violation) => {
            let kept = folder.keep();
            panic!("{violation}\nDURABLE_SEED={}, the store is kept in {}", trial.seed, kept.display());
        }
    }
}

/// The trial can fail: with a store that says `Ok` before it has written, a kill loses what was acknowledged.
fn records_acknowledged_before_they_are_written_are_missed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (seed, durability) = (seed(), Durability::Sync);
    let trial = Trial { seed, durability, forgetful: true, kills: 20, folder: folder.path().join("store") };
    let violation = match trial.run() {
        Ok((ledger, deaths)) => {
            panic!("DURABLE_SEED={seed}: {} kills went unnoticed: {}", deaths.len(), ledger.counts())
        }
        Err(violation) => violation,
    };
    println!("  noticed, as it should be: {violation}");
    assert!(violation.is_broken_promise(), "another failure than the one looked for: {violation}");
}
