//! What it costs that runs sleep: memory, lateness, and opening the store.
//!
//! `cargo bench -p durable-runtime --bench sleepers` fills a store with a million sleeping runs, and prints the table of
//! `docs/benchmarks.md`; `-- 10000` takes fewer. Three processes, one after the other: the first fills the store, without
//! syncing, for that takes minutes, and is killed; the second opens it, synced, wakes some, and closes it; the third opens
//! it again.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use durable_runtime::{
    Clock, Context, Durability, Limits, RunFilter, RunId, RunStatus, Runtime, Sleep, StepContext, SystemClock,
    Timestamp, durable,
};

use rustix::process::{Signal, getpid, kill_process};

type Failure = Box<dyn std::error::Error>;

const SLEEPERS: u64 = 1_000_000;
/// How many of them are due while it is measured, one after the other.
const FEW: u64 = 1_000;
const APART: Duration = Duration::from_millis(20);
/// When the first of those is due, and when all others are.
const SOON: Timestamp = Timestamp(4_000_000_000_000);
const LATER: Timestamp = Timestamp(5_000_000_000_000);
/// How long before the first one is due the time begins: opening must be over by then.
const AHEAD: Duration = Duration::from_secs(30);
/// How many starts are under way at once while filling.
const LANES: u64 = 512;

/// The machine's clock, set forward, so that nobody has to wait for years.
#[derive(Debug)]
struct SetForward(Duration);

impl SetForward {
    fn to(time: Timestamp) -> Self {
        Self(time.since(SystemClock.now()))
    }
}

impl Clock for SetForward {
    fn now(&self) -> Timestamp {
        SystemClock.now().after(self.0)
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        SystemClock.sleep_until(Timestamp(0).after(due.since(Timestamp(0).after(self.0))))
    }
}

/// How late each was that has woken, in milliseconds.
#[derive(Debug, Default)]
struct Lateness(std::sync::Mutex<Vec<u64>>);

async fn told(step: StepContext, due: Timestamp) {
    let late = step.dependency::<SetForward>().now().since(due);
    let late = u64::try_from(late.as_millis()).expect("short");
    step.dependency::<Lateness>().0.lock().expect("no panic holds it").push(late);
}

#[durable]
async fn sleeper(ctx: Context, due: Timestamp) {
    ctx.sleep_until(due).await;
    ctx.run(told, due).await;
}

fn id(number: u64) -> String {
    format!("run-{number:08}")
}

fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(1_024 * line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()?)
}

/// Writes a line of the table.
fn row(what: &str, measured: &str) {
    println!("| {what} | {measured} |");
}

async fn fill(store: &Path, sleepers: u64) -> Result<(), Failure> {
    let limits = Limits { active_runs: 10_000, ..Limits::default() };
    let runtime = Runtime::builder().durability(Durability::Buffered).limits(limits).open(store).await?;
    let (before, began) = (resident_bytes()?, Instant::now());
    let next = Arc::new(AtomicU64::new(0));
    let lanes = (0..LANES).map(|_| {
        let (runtime, next) = (runtime.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= sleepers {
                    return;
                }
                let due = if number < FEW { SOON.after(APART * u32::try_from(number).expect("few")) } else { LATER };
                // The limit on active runs may be reached for a moment.
                while runtime.start(id(number), sleeper, due).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await?;
    }
    while !runtime.list(&RunFilter::new().status(RunStatus::Running), None, 1).await?.runs.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rate = u128::from(sleepers) * 1_000 / began.elapsed().as_millis();
    row("starts per second, not synced, until all sleep", &rate.to_string());
    // Until the store is tidied.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let bytes = (resident_bytes()?.saturating_sub(before)) / sleepers;
    row("memory per sleeping run, in the process that started them", &format!("{bytes} B"));
    kill_process(getpid(), Signal::KILL)?;
    Ok(())
}

fn percentiles(mut millis: Vec<u64>) -> String {
    millis.sort_unstable();
    let at = |percent: usize| millis[(millis.len() - 1) * percent / 100];
    format!("{} / {} / {} ms", at(50), at(99), at(100))
}

/// What the disk alone takes for what wakes a run, just before.
fn bare_syncs(store: &Path) -> Result<String, Failure> {
    let mut file = std::fs::File::create(store.with_extension("bare"))?;
    let millis = (0..FEW).map(|_| {
        std::thread::sleep(APART / 2);
        let began = Instant::now();
        for _ in 0..2 {
            file.write_all(&[7; 512])?;
            file.sync_data()?;
        }
        Ok(u64::try_from(began.elapsed().as_millis())?)
    });
    Ok(percentiles(millis.collect::<Result<_, Failure>>()?))
}

async fn wake(store: &Path, sleepers: u64) -> Result<(), Failure> {
    let before = resident_bytes()?;
    let start = Timestamp(SOON.since(Timestamp(0).after(AHEAD)).as_millis().try_into()?);
    let (clock, lateness) = (Arc::new(SetForward::to(start)), Arc::new(Lateness::default()));
    let builder = Runtime::builder().clock(SetForward(clock.0)).shared_dependency(clock);
    let began = Instant::now();
    let runtime = builder.shared_dependency(Arc::clone(&lateness)).open(store).await?;
    row("opening the store of a process that was killed", &format!("{} ms", began.elapsed().as_millis()));
    assert_eq!(runtime.recovery().resumed, 0, "nothing was running");
    let bytes = resident_bytes()?.saturating_sub(before) / sleepers;
    row("memory per sleeping run, opened", &format!("{bytes} B"));
    row("two syncs of a bare file: p50 / p99 / worst", &bare_syncs(store)?);
    for number in (0..FEW.min(sleepers)).rev() {
        let run = RunId::new(id(number))?;
        while runtime.get(run.as_str()).await?.ok_or("it was started")?.status != RunStatus::Completed {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let told = percentiles(lateness.0.lock().expect("no panic holds it").clone());
    row(&format!("lateness, synced, one due every {} ms: p50 / p99 / worst", APART.as_millis()), &told);
    let bytes = resident_bytes()?.saturating_sub(before) / sleepers;
    row("memory per sleeping run, opened, when those have woken", &format!("{bytes} B"));
    runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}

async fn open(store: &Path, sleepers: u64) -> Result<(), Failure> {
    let (before, began) = (resident_bytes()?, Instant::now());
    let runtime = Runtime::builder().open(store).await?;
    row("opening a store that was closed", &format!("{} ms", began.elapsed().as_millis()));
    let bytes = resident_bytes()?.saturating_sub(before) / sleepers;
    row("memory per sleeping run, opened again", &format!("{bytes} B"));
    runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let sleepers = arguments.first().map_or(Ok(SLEEPERS), |count| count.parse())?;
    if let [_, part, store] = &arguments[..] {
        let (tokio, store) = (tokio::runtime::Runtime::new()?, Path::new(store));
        return match part.as_str() {
            "fill" => tokio.block_on(fill(store, sleepers)),
            "wake" => tokio.block_on(wake(store, sleepers)),
            _ => tokio.block_on(open(store, sleepers)),
        };
    }
    let folder = tempfile::tempdir()?;
    println!("| {sleepers} runs sleep | |\n|---|---|");
    for part in ["fill", "wake", "open"] {
        let mut process = Command::new(std::env::current_exe()?);
        let ended = process.arg(sleepers.to_string()).arg(part).arg(folder.path().join("store")).status()?;
        if !ended.success() && part != "fill" {
            return Err(format!("the process \"{part}\": {ended}").into());
        }
    }
    Ok(())
}
