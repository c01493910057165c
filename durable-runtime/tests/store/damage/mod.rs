//! Damaged folders: whatever happens to whichever byte of whichever file, opening ends in a typed error or in what was
//! written. Never in a panic, an abort, a hang, a huge allocation or a wrong value.
//!
//! Samples are taken in processes of their own with a limited address space, so that an abort is seen and named.
//! `DURABLE_DAMAGE_ROUNDS=<number>` takes more: from 8 on every bit is flipped of what is swept systematically.

mod child;
mod runs;
mod stores;

use std::fmt;
use std::path::{Path, PathBuf};

use durable_runtime::Durability;
use durable_runtime::testing::{Damage, DamageKind, Random};

use crate::support::{files_below, open_sled};

/// How many samples are taken at random in one round.
const RANDOM: u64 = 80;
/// sled's, as the store sets it.
const SEGMENT_BYTES: usize = 2 << 20;

/// A folder as a process leaves it that has closed it: without syncs, to be fast. What it wrote to the side file then is the same.
const CLOSED: Durability = Durability::Buffered;
/// As one leaves it that was killed.
const KILLED: Durability = Durability::Sync;

/// How a folder was left, and what is looked at when it is damaged.
#[derive(Debug, Clone, Copy)]
enum Past {
    /// The store itself.
    Store { is_closed: bool },
    /// A runtime with runs in flight.
    Runs { is_closed: bool },
}

/// What happens to a folder.
#[derive(Debug)]
enum Sample {
    /// A file is damaged.
    File(Damage),
    /// A bit of a value of sled's is another one, and sled can't know: the value and the bit are chosen by the seed.
    Value(u64),
}

impl Sample {
    fn inflict(&self, folder: &Path) {
        let seed = match self {
            Self::File(damage) => return damage.inflict(folder).expect("the file is there"),
            Self::Value(seed) => *seed,
        };
        let (mut random, db) = (Random::new(seed), open_sled(folder));
        let items = db.iter().map(|item| item.expect("an item"));
        let mut items: Vec<_> = items.filter(|(_, value)| !value.is_empty()).collect();
        let (key, value) = items.swap_remove(random.below(items.len()));
        let mut changed = value.to_vec();
        let at = random.below(changed.len());
        changed[at] ^= 1 << random.below(8);
        db.insert(key, changed).expect("insert");
        db.flush().expect("flush");
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(damage) => damage.fmt(f),
            Self::Value(seed) => write!(f, "a bit of a value flipped by seed {seed}"),
        }
    }
}

/// What is known of the undamaged folder.
enum Known {
    Store(stores::Known),
    Runs(runs::Known),
}

impl Past {
    const ALL: [(&'static str, Self); 4] = [
        ("closed store", Self::Store { is_closed: true }),
        ("killed store", Self::Store { is_closed: false }),
        ("closed runs", Self::Runs { is_closed: true }),
        ("killed runs", Self::Runs { is_closed: false }),
    ];

    fn make(self, folder: &Path) {
        match self {
            Self::Store { is_closed } => stores::make(folder, is_closed),
            Self::Runs { is_closed } => runs::make(folder, is_closed),
        }
    }

    /// What can be found out again from what [`make`](Self::make) left.
    fn know(self, folder: &Path) -> Known {
        match self {
            Self::Store { .. } => Known::Store(stores::Known::new()),
            Self::Runs { .. } => Known::Runs(runs::Known::of(folder)),
        }
    }
}

impl Known {
    /// Opens a damaged folder, looks at everything and tells what it found; panics if that can't be.
    fn look(&self, damaged: &Path) -> String {
        match self {
            Self::Store(known) => known.look(damaged),
            Self::Runs(known) => known.look(damaged),
        }
    }
}

/// The samples of one round: systematic ones, and such as are chosen by their seed.
fn samples(past: Past, folder: &Path, round: u64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for path in files_below(folder) {
        let bytes = std::fs::metadata(&path).expect("its length").len();
        let bytes = usize::try_from(bytes).expect("small");
        let file: PathBuf = path.strip_prefix(folder).expect("below").into();
        let mut sample = |kind: DamageKind| samples.push(Damage { file: file.clone(), kind });
        if round == 0 {
            for kind in [DamageKind::Remove, DamageKind::Cut(0), DamageKind::Cut(bytes / 2), DamageKind::Grow(1, 1)] {
                sample(kind);
            }
        }
        // Of sled's data each segment's header and what follows; of the side file each slot; of what else there is the
        // beginning.
        let every = if file.ends_with("db") { SEGMENT_BYTES } else { 4_096 };
        for at in (0..bytes).filter(|at| at % every < 56) {
            let bit = u8::try_from((3 * at as u64 + round) % 8).expect("small");
            sample(DamageKind::Flip { at, bit });
        }
    }
    let seeds = round * RANDOM..(round + 1) * RANDOM;
    let choose = |seed| Damage::choose(folder, &mut Random::new(seed)).expect("read").expect("files");
    samples.extend(seeds.clone().map(choose));
    let mut samples: Vec<Sample> = samples.into_iter().map(Sample::File).collect();
    // The store leaves it to frames to tell whether they are whole, and those of the store's own tests don't.
    if matches!(past, Past::Runs { .. }) {
        samples.extend(seeds.map(Sample::Value));
    }
    samples
}

fn sweep(past: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    Past::ALL[past].1.make(folder.path());
    let rounds = std::env::var("DURABLE_DAMAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    for round in 0..rounds {
        child::take(past, folder.path(), round);
    }
}

#[test]
fn damage_to_a_closed_store_is_told_or_harmless() {
    sweep(0);
}

#[test]
fn damage_to_a_killed_store_is_told_or_harmless() {
    sweep(1);
}

/// R12, S11.
#[test]
fn of_a_damaged_folder_that_was_closed_each_run_ends_right_or_is_reported() {
    sweep(2);
}

/// R12, S11.
#[test]
fn of_a_damaged_folder_of_a_killed_process_each_run_ends_right_or_is_reported() {
    sweep(3);
}
