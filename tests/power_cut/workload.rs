//! What the writer does: the same operations for the same seed, to any store.

use durable_runtime::store::{Append, Record, Store, StoreError};
use durable_runtime::testing::Random;
use durable_runtime::{Fence, Position, RunId, RunStatus};

/// How many operations a writer does at most.
pub(crate) const OPERATIONS: u64 = 600;
const RUNS: usize = 100;

/// Commits of a few to many runs, some of which are replaced, deletions and housekeeping, so that sled moves and reuses its
/// segments.
pub(crate) struct Workload {
    random: Random,
    lengths: Vec<u64>,
    operations: u64,
    does_housekeeping: bool,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), lengths: vec![0; RUNS], operations: 0, does_housekeeping: true }
    }

    /// Only commits and deletions.
    pub(crate) fn without_housekeeping(seed: u64) -> Self {
        Self { does_housekeeping: false, ..Self::new(seed) }
    }

    /// Does the next operation; `Ok` when it was acknowledged.
    pub(crate) fn next(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.operations += 1;
        // Rarely, because it takes long.
        if self.does_housekeeping && self.operations.is_multiple_of(250) {
            return store.compact();
        }
        match self.random.below(20) {
            0 if self.does_housekeeping => {
                store.tidy()?;
            }
            1 | 2 => {
                let run = self.random.below(RUNS);
                let is_known = store.delete(&id(run))?;
                assert_eq!(is_known, self.lengths[run] > 0, "the store forgot run {run} while it was open");
                self.lengths[run] = 0;
            }
            _ => {
                let count = 1 + self.random.below(30);
                let appends: Vec<Append> = (0..count).map(|_| self.append()).collect();
                let answers = store.commit(&appends)?;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
        }
        Ok(())
    }

    fn append(&mut self) -> Append {
        let run = self.random.below(RUNS);
        let bytes = if self.random.one_in(50) { self.random.below(60_000) } else { self.random.below(5_000) };
        let expected = Position(self.lengths[run]);
        let replaces = expected > Position(0) && self.random.one_in(8);
        self.lengths[run] = if replaces { 1 } else { expected.0 + 1 };
        let statuses = [RunStatus::Running, RunStatus::Suspended, RunStatus::Halted, RunStatus::Completed];
        Append {
            run: id(run),
            expected,
            fence: Fence(1),
            records: vec![Record { frame: vec![self.random.number().to_le_bytes()[0]; bytes], due: None }],
            replaces,
            clears: Vec::new(),
            status: statuses[self.random.below(4)],
        }
    }
}

fn id(run: usize) -> RunId {
    RunId::new(format!("run {run}")).expect("a valid id")
}
