//! The real power cut: what `SledStore` acknowledged is on the disk, not only in the system's cache (S2).
//!
//! A child process writes to a store on an ext4 file system inside an image file, and tells each operation that was
//! acknowledged. It is killed, and the image is copied at once: the copy has what was written to the disk by then and
//! nothing that was only cached. The copy is mounted, the store opened, and compared with a [`MemoryStore`] that did
//! the acknowledged operations. A store shim in memory can't see a sync that sled itself forgets; this does.
//!
//! Mounting needs a privilege. Where there is none the test says that it did not run, and passes.

mod full_disk;
mod image;
mod workload;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use durable_runtime::Durability;
use durable_runtime::store::{MemoryStore, SledStore, Store, StoredRun};
use durable_runtime::testing::Random;
use image::{Image, Mounted};
use workload::Workload;

/// Each with a seed of its own; `DURABLE_POWER_CUT_ROUNDS=<number>` in the environment for more.
const ROUNDS: u64 = 5;
const WRITER: &str = "writer";

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let rounds = std::env::var("DURABLE_POWER_CUT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let Some(cut) = cut_the_power(round, Durability::Sync) else { return };
        let found = everything(&cut.store().expect("the store opens after a power cut"));
        assert!(cut.acknowledged > 0, "round {round}: nothing was acknowledged, so nothing was tested");
        let matching = cut.possible_states().into_iter().find(|state| *state == found);
        assert!(
            matching.is_some(),
            "round {round}: {} operations were acknowledged, and what was found is not what they made: {}",
            cut.acknowledged,
            difference(&cut.possible_states()[0], &found),
        );
        println!("round {round}: all of {} acknowledged operations found", cut.acknowledged);
    }
}

/// The test above is worth something: without syncing it fails.
#[test]
fn without_syncing_a_power_cut_is_seen_to_lose_something() {
    let Some(cut) = cut_the_power(100, Durability::Buffered) else { return };
    assert!(cut.acknowledged > 0);
    let lost = match cut.store() {
        Ok(store) => !cut.possible_states().contains(&everything(&store)),
        Err(_) => true,
    };
    assert!(lost, "all {} operations were found, although nothing was synced", cut.acknowledged);
}

/// The process whose power is cut.
#[test]
#[ignore = "it is a part of the tests here, which start it"]
fn writer() {
    let Ok(folder) = std::env::var("DURABLE_POWER_CUT_FOLDER") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok()).expect("a number");
    let durability = if number("DURABLE_POWER_CUT_SYNC") == 1 { Durability::Sync } else { Durability::Buffered };
    let store = SledStore::open(folder, durability).expect("open");
    let mut workload = Workload::new(number("DURABLE_POWER_CUT_SEED"));
    let mut out = std::io::stdout();
    for operation in 1..=workload::OPERATIONS {
        workload.next(&store).expect("the operation");
        writeln!(out, "acknowledged {operation}").and_then(|()| out.flush()).expect("the parent listens");
    }
    // Wait for the end.
    loop {
        std::thread::park();
    }
}

/// A disk after a power cut.
struct Cut {
    seed: u64,
    acknowledged: u64,
    disk: Mounted,
}

impl Cut {
    fn store(&self) -> Result<SledStore, durable_runtime::store::StoreError> {
        SledStore::open(self.disk.path().join("store"), Durability::Sync)
    }

    /// What may be found: what was acknowledged, and perhaps the operation that was under way.
    fn possible_states(&self) -> Vec<Vec<StoredRun>> {
        let model = MemoryStore::default();
        let mut workload = Workload::new(self.seed);
        (0..self.acknowledged).for_each(|_| workload.next(&model).expect("the model"));
        let acknowledged = everything(&model);
        workload.next(&model).expect("the model");
        vec![acknowledged, everything(&model)]
    }
}

/// Lets a writer write for a while, cuts the power, and mounts what is left. `None` where that is not possible.
fn cut_the_power(seed: u64, durability: Durability) -> Option<Cut> {
    let prepared = Image::create().and_then(|image| {
        let mounted = image.mount()?;
        Ok((image, mounted))
    });
    let (image, mounted) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => {
            not_run(&reason);
            return None;
        }
    };
    let mut writer = spawn_writer(&mounted.path().join("store"), seed, durability);
    let mut told =
        BufReader::new(writer.stdout.take().expect("a pipe")).lines().map(|line| acknowledged(&line.expect("text")));
    // Cut after some operations, at no moment in particular of the next ones.
    let mut random = Random::new(seed);
    let (operations, micros) = (1 + random.number() % (workload::OPERATIONS - 1), random.number() % 2_000);
    told.by_ref().find(|number| *number == Some(operations)).expect("the writer tells that many operations");
    std::thread::park_timeout(Duration::from_micros(micros));
    writer.kill().expect("kill");
    let copy = image.copy();
    // What it said before it died counts, too.
    let acknowledged = told.flatten().last().unwrap_or(operations);
    writer.wait().expect("wait");
    let disk = copy.mount().expect("a file system can be mounted after a power cut");
    Some(Cut { seed, acknowledged, disk })
}

/// The number of the operation that a line of the writer tells to be acknowledged.
fn acknowledged(line: &str) -> Option<u64> {
    line.strip_prefix("acknowledged ")?.parse().ok()
}

fn spawn_writer(folder: &Path, seed: u64, durability: Durability) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", WRITER, "--ignored", "--nocapture"])
        .env("DURABLE_POWER_CUT_FOLDER", folder)
        .env("DURABLE_POWER_CUT_SEED", seed.to_string())
        .env("DURABLE_POWER_CUT_SYNC", if durability == Durability::Sync { "1" } else { "0" })
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts")
}

fn not_run(reason: &str) {
    // Directly, so that it is seen although the test passes.
    writeln!(std::io::stderr(), "power cut: NOT RUN here: {reason}").expect("standard error");
}

fn everything(store: &dyn Store) -> Vec<StoredRun> {
    let heads = store.list(None, None, usize::MAX).expect("list");
    heads.iter().map(|head| store.read(&head.run).expect("read").expect("a listed run")).collect()
}

fn difference(expected: &[StoredRun], found: &[StoredRun]) -> String {
    let short = |runs: &[StoredRun]| -> Vec<String> {
        runs.iter().map(|run| format!("{} {} at {}", run.head.run, run.head.status, run.head.length)).collect()
    };
    let (expected, found) = (short(expected), short(found));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|run| !those.contains(run)).take(10).cloned().collect()
    };
    format!("expected and not found {:?}, found instead {:?}", only(&expected, &found), only(&found, &expected))
}
