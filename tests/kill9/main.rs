//! Real processes, the sled store, and `kill -9`: whatever a worker process acknowledged is found again.
//!
//! A *worker* (this program, started again) opens the store, recovers, and keeps runs going. It tells its parent every
//! fact that the runtime acknowledged, through a pipe. The parent kills it at random moments, starts the next, and
//! judges all lives together from what it heard alone; only then it opens the store itself and compares.
//!
//! `DURABLE_SEED=<number>` chooses the same moments again. Lives are real, so what a moment hits may still differ.
//!
//! Reading order: [`fact`] what is told, [`order`] the durable function, [`life`] the worker, [`ledger`] what must
//! hold, [`promises`] how each rule of it is broken, [`reaper`] who kills, [`inspect`] the store once all runs have
//! ended, [`reference`] what comes of them unkilled, [`points`] a kill at every fail point, [`soak`] all of it for
//! minutes or hours, [`forgetful`] and [`repeating`] stores that break their word.

mod fact;
mod forgetful;
mod inspect;
mod ledger;
mod life;
mod order;
mod points;
mod promises;
mod reaper;
mod reference;
mod repeating;
mod runner;
mod soak;

use std::path::Path;
use std::process::ExitCode;

use crate::inspect::inspect;
use crate::ledger::Violation;
use crate::life::StoreKind;
use crate::reaper::{Death, End, Ending, Moment, Trial, seed};

const TESTS: &[runner::Test] = &[
    ("each_broken_promise_is_noticed", promises::each_broken_promise_is_noticed),
    (
        "records_acknowledged_before_they_are_written_are_missed",
        records_acknowledged_before_they_are_written_are_missed,
    ),
    ("recorded_steps_that_are_executed_again_are_noticed", recorded_steps_that_are_executed_again_are_noticed),
    ("a_store_killed_while_it_is_created_opens", a_store_killed_while_it_is_created_opens),
    ("synced_records_survive_kill_9", synced_records_survive_kill_9),
    ("buffered_records_survive_kill_9", buffered_records_survive_kill_9),
    (
        "a_process_that_dies_at_any_fail_point_of_a_creation_leaves_a_store_that_opens",
        points::a_process_that_dies_at_any_fail_point_of_a_creation_leaves_a_store_that_opens,
    ),
    (
        "a_process_that_dies_at_any_fail_point_loses_and_doubles_nothing",
        points::a_process_that_dies_at_any_fail_point_loses_and_doubles_nothing,
    ),
    ("soak", soak::soak),
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
    let seed = seed();
    println!("  {store:?}, DURABLE_SEED={seed}");
    with_folder(seed, |folder| {
        let mut trial = Trial::new(seed, store, folder.join("store"));
        trial.run(kills)?;
        let found = inspect(&mut trial)?;
        println!("  {}", trial.told);
        println!("  found: {found}");
        assert_eq!(trial.told.kills(), kills);
        let counts = trial.told.ledger.counts();
        assert!(counts.recovered > 0 && counts.repeated > 0, "no kill hit any work: {counts}");
        assert_eq!((counts.lost(), counts.doubled()), (0, 0), "{counts}");
        Ok(())
    });
}

/// Does something in a folder of its own, which is kept when that goes wrong.
fn with_folder<T>(seed: u64, work: impl FnOnce(&Path) -> Result<T, Violation>) -> T {
    let folder = tempfile::tempdir().expect("a temporary folder");
    match work(folder.path()) {
        Ok(worked) => worked,
        Err(violation) => {
            let kept = folder.keep();
            panic!("{violation}\nDURABLE_SEED={seed}, the store is kept in {}", kept.display());
        }
    }
}

/// A store whose creation was cut short is created anew, or opened as what it is: empty.
fn a_store_killed_while_it_is_created_opens() {
    const ROUNDS: u64 = 24;
    let seed = seed();
    let mut cut_short = 0;
    for round in 0..ROUNDS {
        let store = if round % 2 == 0 { StoreKind::Synced } else { StoreKind::Buffered };
        let seed = seed.wrapping_add(round);
        let end = with_folder(seed, |folder| {
            let mut trial = Trial::new(seed, store, folder.join("store"));
            let moment = Moment::of_death(Death::Opening, &mut trial.random);
            // Starts nothing, should it come so far.
            let end = trial.live(&Ending::Killed(moment), |life| {
                life.orders = (0, 0);
                life.lingers = true;
            })?;
            inspect(&mut trial)?;
            Ok(end)
        });
        cut_short += usize::from(end == End::Killed(Death::Opening));
    }
    println!("  DURABLE_SEED={seed}, {cut_short} of {ROUNDS} creations were cut short");
    assert!(cut_short > 0, "no kill hit a creation");
}

/// The trial can fail: with a store that says `Ok` before it has written, a kill loses what was acknowledged.
fn records_acknowledged_before_they_are_written_are_missed() {
    is_noticed(StoreKind::Forgetful);
}

/// The other way: with a store that loses a record of each run whenever it is opened, steps are executed twice.
/// Also R6.
fn recorded_steps_that_are_executed_again_are_noticed() {
    is_noticed(StoreKind::Repeating);
}

fn is_noticed(store: StoreKind) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seed = seed();
    println!("  {store:?}, DURABLE_SEED={seed}");
    let mut trial = Trial::new(seed, store, folder.path().join("store"));
    let violation = match trial.run(20) {
        Ok(()) => panic!("it went unnoticed, DURABLE_SEED={seed}: {}", trial.told),
        Err(violation) => violation,
    };
    println!("  noticed, as it should be: {violation}");
    assert!(violation.is_broken_promise(), "another failure than the one looked for: {violation}");
}
