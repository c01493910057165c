//! A kill at every fail point: workers that end themselves exactly there, also while they recover from the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use durable_runtime::testing::{FAIL_POINTS, Random};

use crate::inspect::inspect;
use crate::ledger::Violation;
use crate::life::{Place, StoreKind};
use crate::reaper::{End, Ending, Trial, seed};
use crate::with_folder;

/// Reached when a store is created, and only then.
const OF_CREATION: &str = "store.create.";
/// Reached when an earlier creation was killed inside of sled.
const BEGUN_ANEW: &str = "store.create.begun_anew";
/// Reached when sled was killed while it wrote a snapshot.
const SNAPSHOT_REMOVED: &str = "store.sled.snapshot_removed";
/// Reached when a step has panicked.
const OF_HALTS: [&str; 3] = ["run.halt.", "recovery.resume.", "incoming.append."];
/// Reached when a run has waited for a time.
const OF_SLEEP: &str = "sleepers.";
/// Reached when a runtime shuts down while runs are active.
const RUN_STOPPED: &str = "run.stop.dropped";

/// Reached when the store has nothing else to do, for which a life that is in a hurry may leave no time.
const OF_IDLENESS: &str = "store.tidy.";

/// Reached by every life that has an order to work on.
const AT_WORK: &str = "step.body.unbegun";

/// After so many deaths all runs are led to their end and the store is inspected.
const DEATHS_BETWEEN_INSPECTIONS: usize = 24;

/// For each fail point a worker dies there the first time it comes there, the second time, and some later time. Each
/// life is on the store that the one before has left, so that it dies while it recovers from that (R5, R6, R12, R13).
pub(crate) fn a_process_that_dies_at_any_fail_point_loses_and_doubles_nothing() {
    let seed = seed();
    println!("  DURABLE_SEED={seed}");
    with_folder(seed, |folder| {
        let mut trial = Trial::new(seed, StoreKind::Synced, folder.join("store"));
        // The store is there already, so that it can be damaged the way that a point needs.
        trial.live_to_the_end()?;
        inspect(&mut trial)?;
        // As many orders as there will be, and nobody dies.
        let place = Place { point: FAIL_POINTS[0].to_owned(), hit: usize::MAX };
        die(&mut trial, &place)?;
        let mut places = places(&trial.told.hits.clone(), &mut trial.random);
        let mut missed = BTreeSet::new();
        while let Some(place) = places.pop() {
            let is_first = place.hit == 1;
            if missed.contains(&place) {
                // So that this one finds runs that were inspected and may be deleted, and one that has not ended.
                trial.live_to_the_end()?;
                inspect(&mut trial)?;
                die(&mut trial, &Place { point: AT_WORK.to_owned(), hit: 2 })?;
            }
            let ended = die(&mut trial, &place)?;
            if ended == End::InOrder && is_first {
                // What the other lives had left made it unnecessary to come there. Another one will.
                if !missed.insert(place.clone()) {
                    return Err(Violation::Trouble(format!("no life came to {}", place.point)));
                }
                places.insert(0, place);
            }
            if places.len().is_multiple_of(DEATHS_BETWEEN_INSPECTIONS) {
                trial.live_to_the_end()?;
                inspect(&mut trial)?;
            }
        }
        println!("  {}", trial.told);
        let died_at: BTreeSet<&str> = trial.told.died_at.iter().map(|place| &*place.point).collect();
        let all: BTreeSet<&str> = FAIL_POINTS.iter().copied().filter(|point| !point.starts_with(OF_CREATION)).collect();
        assert!(died_at.is_superset(&all), "nobody died at {:?}", all.difference(&died_at));
        assert_eq!((trial.told.ledger.counts().lost(), trial.told.ledger.counts().doubled()), (0, 0));
        Ok(())
    });
}

/// All places to die at, in random order, for lives that come to each fail point about so often.
fn places(hits: &BTreeMap<String, usize>, random: &mut Random) -> Vec<Place> {
    let mut places = Vec::new();
    // A creation has a test of its own.
    for point in FAIL_POINTS.iter().filter(|point| !point.starts_with(OF_CREATION)) {
        let last = hits.get(*point).copied().unwrap_or(0);
        let later = 3 + random.below(last.saturating_sub(2));
        for hit in [1, 2, later].into_iter().filter(|hit| *hit <= last.max(1)) {
            places.insert(random.below(places.len() + 1), Place { point: (*point).to_owned(), hit });
        }
    }
    places
}

fn die(trial: &mut Trial, place: &Place) -> Result<End, Violation> {
    if place.point == SNAPSHOT_REMOVED {
        tear_a_snapshot(&trial.folder);
    }
    // One of six orders breaks, and one of nine sleeps.
    let orders = match &*place.point {
        point if OF_HALTS.iter().any(|of_halts| point.starts_with(of_halts)) => 6,
        point if point.starts_with(OF_SLEEP) => 9,
        _ => 2,
    };
    let facts = if place.point == RUN_STOPPED { 60 } else { usize::MAX };
    trial.live(&Ending::AtPlace(place.clone()), |life| {
        life.orders.1 = life.orders.0 + orders;
        life.facts = facts;
        life.lingers = place.hit == 1 && place.point.starts_with(OF_IDLENESS);
        // So that each life has something to delete.
        life.deletes = life.deletes.iter().copied().take(2).collect();
    })
}

/// What sled leaves that is killed while it writes a snapshot whose name it has already.
pub(crate) fn tear_a_snapshot(store: &Path) {
    for entry in std::fs::read_dir(store).expect("the store's folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("sled-") {
            std::fs::write(entry.path().join("snap.0000000000000001"), "half a snapshot").expect("a file can be made");
        }
    }
}

/// For each fail point that a worker comes to while it creates a store: one dies there, the next one dies at another
/// of them, and the third finds a store that works (R12).
pub(crate) fn a_process_that_dies_at_any_fail_point_of_a_creation_leaves_a_store_that_opens() {
    let seed = seed();
    println!("  DURABLE_SEED={seed}");
    let reached = with_folder(seed, |folder| {
        let mut trial = Trial::new(seed, StoreKind::Synced, folder.join("store"));
        trial.live(&Ending::Whole, |life| life.orders = (0, 0))?;
        Ok(trial.told.reached)
    });
    let of_opening: Vec<String> = reached.into_iter().filter(|point| point.starts_with("store.")).collect();
    let mut random = Random::new(seed);
    let mut died_at = BTreeSet::new();
    for (point, number) in of_opening.iter().zip(1..).chain([(&BEGUN_ANEW.to_owned(), 0)]) {
        let second = &of_opening[random.below(of_opening.len())];
        with_folder(seed, |folder| {
            let mut trial = Trial::new(seed.wrapping_add(number), StoreKind::Synced, folder.join("store"));
            let place = |point: &str| Ending::AtPlace(Place { point: point.to_owned(), hit: 1 });
            if point == BEGUN_ANEW {
                trial.live(&place("store.sled.unopened"), |_| {})?;
                tear_a_creation(&trial.folder);
            }
            trial.live(&place(point), |life| life.orders.1 = life.orders.0)?;
            trial.live(&place(second), |life| life.orders.1 = life.orders.0 + 1)?;
            trial.live_to_the_end()?;
            inspect(&mut trial)?;
            died_at.extend(trial.told.died_at);
            Ok(())
        });
    }
    let died_at: BTreeSet<&str> = died_at.iter().map(|place| &*place.point).collect();
    println!("  died at {} fail points", died_at.len());
    let all: BTreeSet<&str> = FAIL_POINTS.iter().copied().filter(|point| point.starts_with(OF_CREATION)).collect();
    assert!(died_at.is_superset(&all), "nobody died at {:?}", all.difference(&died_at));
}

/// What sled leaves that is killed while it writes its file `conf`, and then its checksum.
fn tear_a_creation(store: &Path) {
    let sled = store.join("sled-1");
    std::fs::create_dir_all(sled.join("blobs")).expect("a folder can be made");
    std::fs::write(sled.join("conf"), "a configuration without its checksum").expect("a file can be made");
}
