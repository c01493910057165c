//! How fast `SledStore` is, next to the same bytes in a bare file and in sled used record by record.
//!
//! `cargo bench -p durable-runtime --features testing --bench store` prints a table. Everything that is counted was
//! synced. The contenders take turns in rounds, so that a slow moment of the disk hits all; the best round counts.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use durable_runtime::store::{Append, Record, SledStore, Store};
use durable_runtime::testing::Random;
use durable_runtime::{Durability, Fence, Position, RunId, RunStatus};

const FRAME_BYTES: usize = 200;
/// What `SledStore` and the others write per record: the frame, the run's id and the rest of its entry.
const RECORD_BYTES: usize = FRAME_BYTES + 30;
const GROUPS: [usize; 4] = [1, 16, 256, 4_096];
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(700);

/// A name, and what gives records per second in groups of a size.
type Contender = (&'static str, fn(usize) -> f64);

fn main() {
    println!(
        "records of {RECORD_BYTES} bytes per second, acknowledged after one sync per group; best of {ROUNDS} rounds"
    );
    println!("{:<44}{}", "", GROUPS.map(|group| format!("{group:>12}")).concat());
    let contenders: [Contender; 4] = [
        ("bare file, preallocated, fdatasync", bare_file),
        ("sled, insert per record, flush, fdatasync", sled_per_record),
        ("SledStore, one record per append", sled_store),
        ("SledStore, whole runs of 4 records, tidied", sled_store_whole_runs),
    ];
    // One contender, as `-- <words of its name>`, for a profiler.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let contenders: Vec<_> =
        contenders.into_iter().filter(|(name, _)| wanted.iter().all(|word| name.contains(word))).collect();
    let mut best = [[0.0_f64; GROUPS.len()]; 4];
    for _ in 0..ROUNDS {
        for (at, group) in GROUPS.into_iter().enumerate() {
            for (contender, (_, measure)) in contenders.iter().enumerate() {
                best[contender][at] = best[contender][at].max(measure(group));
            }
        }
    }
    for ((name, _), best) in contenders.iter().zip(best) {
        println!("{name:<44}{}", best.map(|rate| format!("{rate:>12.0}")).concat());
    }
    if wanted.is_empty() {
        reopening();
    }
}

/// The machine's clock, which everything but a measurement takes from `Clock`.
fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    Instant::now()
}

/// Calls `commit_group` for a round and gives records per second.
fn rate(group: usize, mut commit_group: impl FnMut()) -> f64 {
    for _ in 0..3 {
        commit_group();
    }
    let (start, mut groups) = (now(), 0_u32);
    while start.elapsed() < ROUND {
        commit_group();
        groups += 1;
    }
    f64::from(groups) * f64::from(u32::try_from(group).expect("small")) / start.elapsed().as_secs_f64()
}

fn bare_file(group: usize) -> f64 {
    const FILE_BYTES: usize = 256 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = File::create(folder.path().join("log")).expect("create");
    let zeros = vec![0; 1 << 20];
    (0..FILE_BYTES >> 20).for_each(|_| file.write_all(&zeros).expect("preallocate"));
    file.sync_all().expect("sync");
    let bytes = Random::new(1).bytes(group * RECORD_BYTES);
    let mut at = 0;
    rate(group, || {
        use std::os::unix::fs::FileExt;
        at = if at + bytes.len() > FILE_BYTES { 0 } else { at };
        file.write_all_at(&bytes, at as u64).expect("write");
        file.sync_data().expect("sync");
        at += bytes.len();
    })
}

fn sled_per_record(group: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let config = sled::Config::new().path(folder.path()).flush_every_ms(None).cache_capacity(64 << 20);
    let db = config.open().expect("open");
    let file = File::open(folder.path().join("db")).expect("open");
    let value = Random::new(1).bytes(RECORD_BYTES - 12);
    let mut number = 0_u64;
    rate(group, || {
        for run in 0..u32::try_from(group).expect("small") {
            db.insert([&run.to_be_bytes()[..], &number.to_be_bytes()].concat(), &value[..]).expect("insert");
        }
        number += 1;
        db.flush().expect("flush");
        file.sync_data().expect("sync");
    })
}

fn append(run: &RunId, expected: u64, frame: &[u8], status: RunStatus) -> Append {
    Append {
        run: run.clone(),
        expected: Position(expected),
        fence: Fence(1),
        records: vec![Record { frame: frame.to_vec(), due: None }],
        replaces: false,
        clears: Vec::new(),
        status,
    }
}

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, Durability::Sync).expect("open")
}

fn sled_store(group: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let runs: Vec<RunId> = (0..group).map(|run| RunId::new(format!("ord_{run:012}")).expect("an id")).collect();
    let frame = Random::new(1).bytes(FRAME_BYTES);
    let mut position = 0;
    rate(group, || {
        let appends: Vec<Append> = runs.iter().map(|run| append(run, position, &frame, RunStatus::Running)).collect();
        let answers = store.commit(&appends).expect("commit");
        assert!(answers.iter().all(Result::is_ok));
        position += 1;
    })
}

/// Runs come, live for four records and finish; `tidy` is called once in 64 groups, and all its work counts.
fn sled_store_whole_runs(group: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let frame = Random::new(1).bytes(FRAME_BYTES);
    let mut groups = 0;
    rate(group, || {
        let status = if groups % 4 == 3 { RunStatus::Completed } else { RunStatus::Running };
        let id = |run: usize| RunId::new(format!("ord_{:08}_{run:04}", groups / 4)).expect("an id");
        let appends: Vec<Append> = (0..group).map(|run| append(&id(run), groups % 4, &frame, status)).collect();
        let answers = store.commit(&appends).expect("commit");
        assert!(answers.iter().all(Result::is_ok));
        groups += 1;
        if groups % 64 == 0 {
            while store.tidy().expect("tidy") {}
        }
    })
}

fn reopening() {
    const RUNS: usize = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    let frame = Random::new(1).bytes(FRAME_BYTES);
    let id = |run: usize| RunId::new(format!("ord_{run:012}")).expect("an id");
    let store = open(folder.path());
    let millis = |start: Instant| format!("{:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
    for runs in (0..RUNS).collect::<Vec<_>>().chunks(1_000) {
        let appends: Vec<Append> = runs
            .iter()
            .map(|run| {
                let status = if run % 100 == 0 { RunStatus::Running } else { RunStatus::Completed };
                let records = vec![Record { frame: frame.clone(), due: None }; 5];
                Append { records, ..append(&id(*run), 0, &[], status) }
            })
            .collect();
        store.commit(&appends).expect("commit");
    }
    drop(store);
    let start = now();
    let store = open(folder.path());
    println!("\nopening {RUNS} unsettled runs of 5 records: {}", millis(start));
    let start = now();
    while store.tidy().expect("tidy") {}
    println!("settling all but 1 % of them: {}", millis(start));
    drop(store);
    let start = now();
    let store = open(folder.path());
    println!("opening again: {}", millis(start));
    let start = now();
    let unfinished = store.list(Some(RunStatus::Running), None, usize::MAX).expect("list").len();
    println!("finding the {unfinished} unfinished: {}", millis(start));
    let start = now();
    store.read(&id(RUNS / 2 + 1)).expect("read").expect("a run");
    println!("reading a settled run, cold: {}", millis(start));
    let bytes = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let newest = entries.map(|entry| entry.expect("an entry").path()).find(|path| path.is_dir()).expect("sled's");
        std::fs::metadata(newest.join("db")).expect("its length").len() >> 20
    };
    let before = bytes(folder.path());
    for run in 0..RUNS / 10 {
        store.delete(&id(run)).expect("delete");
    }
    let start = now();
    store.compact().expect("compact");
    println!("compacting, from {before} to {} MiB: {}", bytes(folder.path()), millis(start));
}
