//! The committer, the starts and the ends of runs, and the shutdown under shuttle: the real engine, its threads and
//! tasks interleaved at random, with fixed seeds.
//!
//! What waits forever is a deadlock, which shuttle reports, with the schedule that leads there.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use crate::clock::Timestamp;
use crate::id::RunId;
use crate::store::{Append, DueTimer, MemoryStore, Refused, RunHead, RunStatus, Store, StoreError, StoredRun};

/// How many schedules of either scheduler.
const SCHEDULES: usize = 3_000;

/// How many changes of priority make up a schedule of the PCT scheduler: the bugs that need fewer are found soonest.
const DEPTH: usize = 3;

const SEED: u64 = 20_261_122;

/// Runs `check` through thousands of schedules. `SHUTTLE_RANDOM_SEED` takes other ones.
pub(super) fn interleave(check: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    // serde and formatting need more than the default.
    config.stack_size = 512 * 1_024;
    config.silence_warnings = true;
    Runner::new(RandomScheduler::new_from_seed(SEED, SCHEDULES), config.clone()).run(check.clone());
    Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, SCHEDULES), config).run(check);
}

/// What becomes of the commits of a [`FaultyStore`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    None,
    /// The commit of this number fails, and writes nothing.
    Error(usize),
    /// The commit of this number panics, and writes nothing.
    Panic(usize),
}

/// A store in memory, in which other threads get a turn before and after a commit.
#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) runs: MemoryStore,
    fault: Fault,
    commits: AtomicUsize,
}

impl FaultyStore {
    pub(super) fn new(runs: MemoryStore, fault: Fault) -> Self {
        Self { runs, fault, commits: AtomicUsize::new(0) }
    }
}

impl Store for FaultyStore {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        shuttle::thread::yield_now();
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::Error(at) if at == number => return Err(StoreError::Broken { first: "a test's fault".to_owned() }),
            Fault::Panic(at) if at == number => panic!("a test's fault"),
            Fault::None | Fault::Error(_) | Fault::Panic(_) => {}
        }
        let answers = self.runs.commit(appends);
        shuttle::thread::yield_now();
        answers
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.runs.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.runs.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.runs.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.runs.corrupt()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.runs.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.runs.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        shuttle::thread::yield_now();
        self.runs.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.runs.compact()
    }
}
