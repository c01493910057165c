//! What a runtime may make of a damaged folder with runs in flight.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_runtime::store::StoreError;
use durable_runtime::{
    AdminError, Clock, Context, Durability, HaltReason, Journal, OpenError, Retry, RunError, Runtime, Sleep,
    StartError, StepContext, StepStatus, Timestamp, durable,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{CLOSED, KILLED};
use crate::support::copy_folder;

const RUNS: u32 = 24;
const STEPS: u32 = 4;

/// What the steps of one process do and wait for.
#[derive(Debug, Default)]
struct Outside {
    executed: Mutex<Vec<String>>,
    waiting: watch::Sender<u32>,
    is_open: watch::Sender<bool>,
}

/// How far a run had come when the process ended: it waited in this step, it waits for another attempt of one, or it has
/// ended.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Waits(u32),
    Retries(u32),
    Ended,
}

fn stage(number: u32) -> Stage {
    match number % (STEPS + 2) {
        0 => Stage::Ended,
        1 => Stage::Retries(2),
        other => Stage::Waits(other - 2),
    }
}

fn bytes(number: u32, index: u32) -> usize {
    (number * 7_919 + index * 104_729) as usize % 12_000
}

async fn part(step: StepContext, number: u32, index: u32) -> Result<String, String> {
    let outside = step.dependency::<Outside>();
    outside.executed.lock().push(step.idempotency_key().to_owned());
    if stage(number) == Stage::Waits(index) {
        outside.waiting.send_modify(|waiting| *waiting += 1);
        outside.is_open.subscribe().wait_for(|is_open| *is_open).await.expect("the sender is a dependency");
    }
    if stage(number) == Stage::Retries(index) && step.attempt() == 1 {
        return Err("not yet".to_owned());
    }
    Ok("x".repeat(bytes(number, index)))
}

#[durable]
async fn in_a_damaged_folder(ctx: Context, number: u32) -> usize {
    let mut bytes = 0;
    for index in 0..STEPS {
        let part = ctx.run(part, number, index).retry(Retry::fixed(Duration::from_hours(1)).max_attempts(2));
        bytes += part.await.map_or(0, |part| part.len());
    }
    bytes
}

fn id(number: u32) -> String {
    format!("run {number}")
}

/// Whoever sleeps moves the time.
#[derive(Debug, Default)]
struct Skipping(AtomicU64);

impl Clock for Skipping {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        self.0.fetch_max(due.0, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a tokio runtime").block_on(work)
}

/// Leaves the folder as a process did that closed the store, or was killed, while runs were at all stages.
pub(super) fn make(folder: &Path, is_closed: bool) {
    let temporary = tempfile::tempdir().expect("a folder");
    let store = temporary.path().join("store");
    block_on(async {
        let outside = Arc::new(Outside::default());
        let builder = Runtime::builder().shared_dependency(Arc::clone(&outside)).durability(if is_closed {
            CLOSED
        } else {
            KILLED
        });
        let runtime = builder.open(&store).await.expect("open");
        let mut waiting = 0;
        for number in 0..RUNS {
            let run = runtime.start(id(number), in_a_damaged_folder, number).await.expect("started");
            match stage(number) {
                Stage::Ended => drop(run.await.expect("ended")),
                Stage::Waits(_) => waiting += 1,
                Stage::Retries(index) => loop {
                    let info = runtime.get(id(number)).await.expect("get").expect("it was started");
                    let step = info.steps.get(index as usize).map(|step| &step.status);
                    if matches!(step, Some(StepStatus::Retrying { .. })) {
                        break;
                    }
                },
            }
        }
        let mut arrived = outside.waiting.subscribe();
        arrived.wait_for(|arrived| *arrived == waiting).await.expect("the sender is here");
        // Those that wait for another attempt are settled.
        runtime.compact().await.expect("compact");
        if is_closed {
            runtime.shutdown(Duration::ZERO).await;
        }
        copy_folder(&store, folder);
    });
}

/// What was recorded.
pub(super) struct Known {
    journals: BTreeMap<String, Journal>,
}

impl Known {
    pub(super) fn of(folder: &Path) -> Self {
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(folder, copy.path());
        let journals = block_on(async {
            let runtime = Runtime::builder().recover_later().open(copy.path()).await.expect("it is not damaged");
            let mut journals = BTreeMap::new();
            for number in 0..RUNS {
                let journal = runtime.journal(id(number)).await.expect("journal").expect("it was started");
                journals.insert(id(number), journal);
            }
            runtime.shutdown(Duration::ZERO).await;
            journals
        });
        Self { journals }
    }

    pub(super) fn look(&self, damaged: &Path) -> String {
        let outside = Arc::new(Outside::default());
        outside.is_open.send_replace(true);
        let builder = Runtime::builder().shared_dependency(Arc::clone(&outside)).clock(Skipping::default());
        let builder = builder.durability(Durability::Buffered).recover_later();
        block_on(async {
            let runtime = match builder.open(damaged).await {
                Ok(runtime) => runtime,
                Err(OpenError::Store(error)) => return error.to_string(),
                Err(error) => panic!("{error}"),
            };
            let outcome = self.runs(&runtime, &outside).await;
            runtime.shutdown(Duration::ZERO).await;
            outcome.unwrap_or_else(|error| format!("opened, and then {error}"))
        })
    }

    /// Each run, before and after it went on; or the error of a store that fails as a whole.
    async fn runs(&self, runtime: &Runtime, outside: &Outside) -> Result<String, StoreError> {
        let (mut whole, mut corrupt) = (0, 0_u64);
        let mut recorded = Vec::new();
        for (id, journal) in &self.journals {
            match runtime.journal(id).await {
                Ok(Some(found)) => {
                    assert_eq!(found, *journal, "{id} has another journal than it had");
                    whole += 1;
                    let info = runtime.get(id).await.expect("its journal was read").expect("its journal was read");
                    let completed = info.steps.iter().filter(|step| step.status == StepStatus::Completed);
                    recorded.extend(completed.map(|step| format!("{id}:{}", step.key)));
                }
                Ok(None) => panic!("{id} is lost, and nobody has told"),
                Err(AdminError::Store(StoreError::Corrupt { run, .. })) => {
                    assert_eq!(run.as_str(), id, "another run is named");
                    corrupt += 1;
                }
                Err(AdminError::Store(error)) => return Err(error),
                Err(error) => panic!("{id}: {error}"),
            }
        }
        let report = match runtime.verify_store().await {
            Ok(report) => report,
            Err(AdminError::Store(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(
            (report.runs, report.findings_count),
            (whole + corrupt, usize::try_from(corrupt).expect("small")),
            "{report}"
        );
        match runtime.recover().await {
            Ok(_) => {}
            Err(AdminError::Store(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
        let mut ended = 0;
        for number in 0..RUNS {
            let run = match runtime.start(id(number), in_a_damaged_folder, number).await {
                Ok(run) => run,
                Err(StartError::Store { source, .. }) => return Err(source),
                Err(error) => panic!("{error}"),
            };
            match run.await {
                Ok(result) => {
                    assert_eq!(result, (0..STEPS).map(|index| bytes(number, index)).sum::<usize>(), "run {number}");
                    ended += 1;
                }
                Err(RunError::Halted { halt, .. }) => {
                    assert!(matches!(halt.reason, HaltReason::Corrupt | HaltReason::Storage), "{halt}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        let again = outside.executed.lock().iter().find(|key| recorded.contains(key)).cloned();
        assert_eq!(again, None, "a recorded step was executed again");
        Ok(format!("opened: {whole} runs whole, {corrupt} corrupt; {ended} have ended"))
    }
}
