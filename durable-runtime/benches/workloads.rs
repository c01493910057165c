//! The workloads W1 to W5, each beside two lower bounds measured in the same run.
//!
//! A run has 3 sequential steps, each a trivial async function that returns 50 bytes; input and result have
//! 50 bytes; everything acknowledged is synced. W1: one run at a time. W2: N runs at once. W3: one run of
//! 1,000 sequential steps. W4: reopen and replay a run of recorded steps until its first new step. W5: one
//! run with 1,000 steps joined at once.
//!
//! The bounds write the very bytes of the very commits of the measured run again: into a bare preallocated
//! file with one `fdatasync` per commit, and into sled with one insert per record and one flush and
//! `fdatasync` per commit. `cargo bench --bench workloads` prints the table of `docs/benchmarks.md`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use durable_runtime::store::{Append, DueTimer, Refused, RunHead, SledStore, Store, StoreError, StoredRun};
use durable_runtime::{Context, Durability, RunId, RunStatus, Runtime, Timestamp, durable};

type Failure = Box<dyn std::error::Error>;

const TEXT: &str = "0123456789 0123456789 0123456789 0123456789 012345";

async fn first(text: &str) -> String {
    text.to_owned()
}

async fn second(text: &str) -> String {
    text.to_owned()
}

async fn third(text: &str) -> String {
    text.to_owned()
}

/// A run of W1 and W2.
#[durable]
async fn three_steps(ctx: Context, text: String) -> String {
    let text = ctx.run(first, &text).await;
    let text = ctx.run(second, &text).await;
    ctx.run(third, &text).await
}

/// A run of W3.
#[durable]
async fn many_steps(ctx: Context, steps: u32, text: String) -> String {
    let mut text = text;
    for _ in 0..steps {
        text = ctx.run(first, &text).await;
    }
    text
}

/// A run of W5.
#[durable]
async fn wide(ctx: Context, steps: u32, text: String) -> usize {
    futures::future::join_all((0..steps).map(|_| ctx.run(first, &text))).await.len()
}

static HOLD: AtomicBool = AtomicBool::new(false);
static REACHED: Mutex<Option<tokio::sync::oneshot::Sender<()>>> = Mutex::new(None);

async fn last(_text: &str) -> u32 {
    if let Some(reached) = REACHED.lock().expect("no panic holds it").take() {
        // The receiver may be gone already.
        let _ = reached.send(());
    }
    if HOLD.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    1
}

/// A run of W4: the recorded steps, then one that is new.
#[durable]
async fn replayed(ctx: Context, steps: u32, text: String) -> u32 {
    for _ in 0..steps {
        ctx.run(first, &text).await;
    }
    ctx.run(last, &text).await
}

/// Passes everything on to sled, and keeps what was committed together.
#[derive(Debug)]
struct Recorder {
    store: SledStore,
    commits: Mutex<Vec<Vec<Append>>>,
}

impl Store for Recorder {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.commits.lock().expect("no panic holds it").push(appends.to_vec());
        self.store.commit(appends)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.store.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.store.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.store.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.store.corrupt()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.store.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.store.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.store.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.store.compact()
    }
}

/// One line of the table, summed over rounds: each round is measured, and then its bounds, so that a slower
/// moment of the machine slows all three.
#[derive(Default)]
struct Line {
    count: usize,
    runs: usize,
    commits: usize,
    took: Duration,
    file: Duration,
    sled: Duration,
}

impl Line {
    /// Adds a round: `count` units in `runs` runs took this long, and committed what the recorder has.
    fn round(
        &mut self,
        scratch: &Path,
        count: usize,
        runs: usize,
        took: Duration,
        recorder: &Recorder,
    ) -> Result<(), Failure> {
        let commits = std::mem::take(&mut *recorder.commits.lock().expect("no panic holds it"));
        self.count += count;
        self.runs += runs;
        self.commits += commits.len();
        self.took += took;
        self.file += bare_file(&scratch.join("bare"), &commits)?;
        self.sled += sled_per_record(&scratch.join("sled"), &commits)?;
        Ok(())
    }

    fn print(&self, workload: &str, unit: &str, percentiles: &str) {
        let rate = |took: Duration| per_second(self.count, took);
        let (ours, file, sled) = (rate(self.took), rate(self.file), rate(self.sled));
        println!(
            "| {workload} | {ours:.0} {unit} | {percentiles} | {:.2} | {sled:.0} | {:.2} | {file:.0} | {:.2} |",
            quotient(self.commits, self.runs),
            ours / sled,
            ours / file,
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn quotient(dividend: usize, divisor: usize) -> f64 {
    dividend as f64 / divisor as f64
}

/// The bytes of the commits into a preallocated file, one sync per commit.
fn bare_file(path: &Path, commits: &[Vec<Append>]) -> Result<Duration, Failure> {
    let groups: Vec<Vec<u8>> = commits
        .iter()
        .map(|commit| {
            commit.iter().flat_map(|append| &append.records).flat_map(|record| record.frame.clone()).collect()
        })
        .collect();
    let bytes: usize = groups.iter().map(Vec::len).sum();
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    file.write_all(&vec![0; bytes])?;
    file.sync_all()?;
    drop(file);
    let mut file = OpenOptions::new().write(true).open(path)?;
    let begin = Instant::now();
    for group in &groups {
        file.write_all(group)?;
        file.sync_data()?;
    }
    let took = begin.elapsed();
    std::fs::remove_file(path)?;
    Ok(took)
}

/// The records of the commits into sled, one insert per record, one flush and sync per commit.
fn sled_per_record(folder: &Path, commits: &[Vec<Append>]) -> Result<Duration, Failure> {
    let db = sled::Config::new().path(folder).flush_every_ms(None).cache_capacity(64 * 1_024 * 1_024).open()?;
    let file = File::open(folder.join("db"))?;
    db.flush()?;
    file.sync_data()?;
    let begin = Instant::now();
    for commit in commits {
        let mut batch = sled::Batch::default();
        for append in commit {
            for (record, position) in append.records.iter().zip(append.expected.0..) {
                let mut key = append.run.as_str().as_bytes().to_vec();
                key.extend_from_slice(&position.to_be_bytes());
                batch.insert(key, &record.frame[..]);
            }
        }
        db.apply_batch(batch)?;
        db.flush()?;
        file.sync_data()?;
    }
    let took = begin.elapsed();
    drop((db, file));
    std::fs::remove_dir_all(folder)?;
    Ok(took)
}

struct Bench {
    folder: PathBuf,
    opened: usize,
}

impl Bench {
    async fn open(&mut self) -> Result<(Runtime, Arc<Recorder>), Failure> {
        self.opened += 1;
        let store = SledStore::open(self.folder.join(format!("store-{}", self.opened)), Durability::Sync)?;
        let recorder = Arc::new(Recorder { store, commits: Mutex::default() });
        let runtime = Runtime::builder().open_store(Arc::clone(&recorder) as Arc<dyn Store>).await?;
        Ok((runtime, recorder))
    }

    async fn w1(&mut self) -> Result<(), Failure> {
        const ROUNDS: usize = 20;
        const RUNS: usize = 200;
        let (runtime, recorder) = self.open().await?;
        let mut each = Vec::with_capacity(ROUNDS * RUNS);
        let mut line = Line::default();
        for round in 0..ROUNDS {
            let begin = Instant::now();
            for run in 0..RUNS {
                let begin = Instant::now();
                runtime.start(format!("w1-{round}-{run}"), three_steps, TEXT.to_owned()).await?.await?;
                each.push(begin.elapsed());
            }
            line.round(&self.folder, RUNS, RUNS, begin.elapsed(), &recorder)?;
        }
        each.sort_unstable();
        let (median, high) = (each[each.len() / 2], each[each.len() * 99 / 100]);
        line.print("W1", "runs/s", &format!("{} / {} µs", median.as_micros(), high.as_micros()));
        runtime.shutdown(Duration::ZERO).await;
        Ok(())
    }

    async fn w2(&mut self, at_once: usize) -> Result<(), Failure> {
        const ROUNDS: usize = 4;
        let runs_each = (40_000 / ROUNDS / at_once).max(2);
        let (runtime, recorder) = self.open().await?;
        let mut line = Line::default();
        for round in 0..ROUNDS {
            let begin = Instant::now();
            let tasks: Vec<_> = (0..at_once)
                .map(|lane| {
                    let runtime = runtime.clone();
                    tokio::spawn(async move {
                        for run in 0..runs_each {
                            let id = format!("w2-{round}-{lane}-{run}");
                            let run = runtime.start(id, three_steps, TEXT.to_owned()).await.expect("the store works");
                            run.await.expect("the run ends");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await?;
            }
            let runs = at_once * runs_each;
            line.round(&self.folder, 3 * runs, runs, begin.elapsed(), &recorder)?;
        }
        line.print(&format!("W2/{at_once}"), "steps/s", "–");
        runtime.shutdown(Duration::ZERO).await;
        Ok(())
    }

    async fn w3(&mut self) -> Result<(), Failure> {
        const STEPS: u32 = 1_000;
        let (runtime, recorder) = self.open().await?;
        let mut line = Line::default();
        for round in 0..3 {
            let begin = Instant::now();
            runtime.start(format!("w3-{round}"), many_steps, (STEPS, TEXT.to_owned())).await?.await?;
            line.round(&self.folder, STEPS as usize, 1, begin.elapsed(), &recorder)?;
        }
        line.print("W3", "steps/s", "–");
        runtime.shutdown(Duration::ZERO).await;
        Ok(())
    }

    async fn w4(&mut self, steps: u32) -> Result<(), Failure> {
        HOLD.store(true, Ordering::SeqCst);
        self.opened += 1;
        let folder = self.folder.join(format!("store-{}", self.opened));
        let runtime = Runtime::open(&folder).await?;
        let reached = reached();
        let _run = runtime.start("w4", replayed, (steps, TEXT.to_owned())).await?;
        reached.await?;
        runtime.shutdown(Duration::ZERO).await;
        let reached = self::reached();
        let begin = Instant::now();
        let runtime = Runtime::open(&folder).await?;
        reached.await?;
        let took = begin.elapsed();
        runtime.shutdown(Duration::ZERO).await;
        let begin = Instant::now();
        let store = SledStore::open(&folder, Durability::Sync)?;
        let stored = store.read(&RunId::new("w4")?)?.ok_or("the run is stored")?;
        let floor = begin.elapsed();
        println!(
            "| W4/{steps} | {:.1} ms | – | – | {:.1} ms (open and read {} frames) | {:.2} | – | – |",
            took.as_secs_f64() * 1e3,
            floor.as_secs_f64() * 1e3,
            stored.frames.len(),
            floor.as_secs_f64() / took.as_secs_f64(),
        );
        HOLD.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn w5(&mut self) -> Result<(), Failure> {
        const STEPS: u32 = 1_000;
        const RUNS: usize = 20;
        let (runtime, recorder) = self.open().await?;
        let mut line = Line::default();
        for run in 0..RUNS {
            let begin = Instant::now();
            runtime.start(format!("w5-{run}"), wide, (STEPS, TEXT.to_owned())).await?.await?;
            line.round(&self.folder, STEPS as usize, 1, begin.elapsed(), &recorder)?;
        }
        line.print("W5", "steps/s", "–");
        runtime.shutdown(Duration::ZERO).await;
        Ok(())
    }
}

fn reached() -> tokio::sync::oneshot::Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    *REACHED.lock().expect("no panic holds it") = Some(sender);
    receiver
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |workload: &str| chosen.is_empty() || chosen.iter().any(|name| name == workload);
    let folder =
        tempfile::tempdir_in(std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from))?;
    let mut bench = Bench { folder: folder.path().to_owned(), opened: 0 };
    println!("| workload | measured | p50 / p99 | syncs per run | sled per record | ratio | bare file | ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    if is_chosen("W1") {
        bench.w1().await?;
    }
    if is_chosen("W2") {
        for at_once in [64, 512, 4_096] {
            bench.w2(at_once).await?;
        }
    }
    if is_chosen("W3") {
        bench.w3().await?;
    }
    if is_chosen("W4") {
        bench.w4(1_000).await?;
        bench.w4(10_000).await?;
    }
    if is_chosen("W5") {
        bench.w5().await?;
    }
    Ok(())
}
