//! Life after life on one store, for minutes or for hours: every way to die, everything a run can do, and one ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use durable_runtime::testing::{FAIL_POINTS, Random};

use crate::inspect::inspect;
use crate::ledger::Violation;
use crate::life::{Compacts, Place, StoreKind};
use crate::points::tear_a_snapshot;
use crate::reaper::{Ending, Moment, Trial, seed};
use crate::with_folder;

/// How long it takes unless `DURABLE_SOAK_MINUTES` says otherwise.
const MINUTES: u64 = 2;
/// How often it tells how it stands.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// After so many lives all runs are led to their end, and the store is inspected.
const LIVES_BETWEEN_INSPECTIONS: usize = 25;
/// What the store may take between inspections, which delete what they have seen.
const DISK_BYTES_MAX: u64 = 1 << 30;

/// `DURABLE_SOAK_MINUTES=240` lasts for hours, `DURABLE_SEED=<number>` chooses the same lives again.
pub(crate) fn soak() {
    let minutes = std::env::var("DURABLE_SOAK_MINUTES").map_or(MINUTES, |minutes| minutes.parse().expect("a number"));
    let seed = seed();
    println!("  {minutes} minutes, DURABLE_SEED={seed}");
    with_folder(seed, |folder| {
        let mut soak = Soak::new(seed, folder);
        let end = Duration::from_secs(60 * minutes);
        while soak.elapsed() < end {
            let mut lives = 0;
            while lives < LIVES_BETWEEN_INSPECTIONS && soak.elapsed() < end {
                soak.live()?;
                lives += 1;
            }
            soak.inspect()?;
        }
        soak.tell();
        println!("  {}", soak.trial.told);
        let counts = soak.trial.told.ledger.counts();
        assert!(counts.repeated > 0 && counts.mended > 0 && counts.deleted > 0, "it was no soak: {counts}");
        assert_eq!((counts.lost(), counts.doubled()), (0, 0), "{counts}");
        Ok(())
    });
}

struct Soak {
    trial: Trial,
    began: Instant,
    told: Duration,
    disk_bytes: u64,
}

impl Soak {
    fn new(seed: u64, folder: &Path) -> Self {
        let trial = Trial::new(seed, StoreKind::Synced, folder.join("store"));
        Self { trial, began: now(), told: Duration::ZERO, disk_bytes: 0 }
    }

    fn elapsed(&self) -> Duration {
        now().duration_since(self.began)
    }

    /// One life, and its end.
    fn live(&mut self) -> Result<(), Violation> {
        let random = &mut self.trial.random;
        let ending = ending(random, &self.trial.told.hits);
        let lanes = [1, 8, 8, 48][random.below(4)];
        let orders = if random.one_in(8) { 40 } else { 1 + random.below(6) as u64 };
        let compacts = if random.one_in(3) { Compacts::Once } else { Compacts::Never };
        self.trial.store = if random.one_in(4) { StoreKind::Buffered } else { StoreKind::Synced };
        if random.one_in(8) && self.trial.folder.exists() {
            tear_a_snapshot(&self.trial.folder);
        }
        self.trial.live(&ending, |life| {
            life.lanes = lanes;
            if life.orders.1 != u64::MAX {
                life.orders.1 = life.orders.0 + orders;
                life.compacts = compacts;
            }
        })?;
        if self.elapsed() >= self.told + BETWEEN_LINES {
            self.tell();
        }
        Ok(())
    }

    /// Leads all runs to their end and compares the store with all that was heard. Lives to come delete what was seen.
    fn inspect(&mut self) -> Result<(), Violation> {
        self.trial.live_to_the_end()?;
        self.disk_bytes = self.disk_bytes.max(bytes_in(&self.trial.folder));
        if self.disk_bytes > DISK_BYTES_MAX {
            return Err(Violation::Trouble(format!("the store takes {} bytes", self.disk_bytes)));
        }
        inspect(&mut self.trial).map(drop)
    }

    fn tell(&mut self) {
        self.told = self.elapsed();
        let (told, counts) = (&self.trial.told, self.trial.told.ledger.counts());
        println!(
            "  {:>6} s: {} kills in {} lives, {} runs, {} steps executed, {} records found again, died at {} of {} fail points, at most {} MiB, {} lost, {} doubled",
            self.told.as_secs(),
            told.kills(),
            told.ends.len(),
            counts.started,
            counts.executions,
            counts.records,
            told.points_died_at(),
            FAIL_POINTS.len(),
            self.disk_bytes >> 20,
            counts.lost(),
            counts.doubled()
        );
    }
}

/// Half of all lives are killed from outside, most others at a fail point that lives come to.
fn ending(random: &mut Random, hits: &BTreeMap<String, usize>) -> Ending {
    let reached: Vec<(&String, &usize)> = hits.iter().filter(|(_, hits)| **hits > 0).collect();
    match random.below(20) {
        0..9 if !reached.is_empty() => {
            let (point, hits) = reached[random.below(reached.len())];
            Ending::AtPlace(Place { point: point.clone(), hit: 1 + random.below(*hits) })
        }
        0..18 => Ending::Killed(Moment::of(random)),
        _ => Ending::InOrder(20 + random.below(600)),
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a soak lasts as long as it is told to; nothing else depends on it")]
    Instant::now()
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
