//! The contract of [`Store`], executable: one function per rule, S1 to S14.
//!
//! A store passes when every function returns. In a test file of the store, one line makes one `#[test]` of each:
//!
//! ```
//! use std::sync::Arc;
//! use durable_runtime::store::{MemoryStore, Store};
//! use durable_runtime::testing::conformance::StoreHarness;
//!
//! struct Memory(MemoryStore);
//!
//! impl StoreHarness for Memory {
//!     fn open(&self) -> Arc<dyn Store> {
//!         Arc::new(self.0.clone())
//!     }
//! }
//!
//! durable_runtime::store_conformance!(Memory(MemoryStore::default()));
//! ```
//!
//! What a suite inside one process can't see is a power cut: S2 is checked here as far as closing and opening
//! goes, and for `SledStore` by the test target `power_cut`.

mod model;
mod order;
mod refusals;
mod replacing;
mod survival;

use std::fmt;
use std::sync::Arc;

pub use model::model_agrees_with_the_memory_store;
pub use order::{
    s04_frames_of_any_size_are_kept_exactly, s04_order_is_kept, s05_reads_see_own_writes,
    s09_the_scan_returns_each_unfinished_run_once, s10_due_timers_come_in_order, s10_timers_outlast_housekeeping,
};
pub use refusals::{
    s01_append_is_all_or_nothing, s03_a_wrong_position_changes_nothing, s06_create_is_idempotent_by_id,
    s07_fences_only_grow, s08_a_stale_fence_is_refused,
};
pub use replacing::{
    s01_a_replacement_takes_the_place_of_all_records, s01_replacements_share_a_commit_with_other_appends,
    s03_a_replacement_of_something_else_is_refused, s05_readers_see_the_old_records_or_the_new_ones,
    s10_a_replaced_run_has_its_new_timers_only, s13_space_of_replaced_runs_is_given_back,
};
pub use survival::{
    s02_ok_means_durable, s11_corrupt_bytes_give_a_typed_error, s12_everything_again_after_reopen,
    s13_space_of_deleted_runs_is_given_back, s14_hostile_ids_are_stored_exactly,
};

use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, DueTimer, Record, Refused, RunHead, RunStatus, Store, StoredPart, StoredRun};

/// How the suite gets at one store. Each test is given a harness of its own, which starts empty.
pub trait StoreHarness {
    /// Opens the store with everything it acknowledged before. The suite has dropped every earlier handle.
    ///
    /// # Panics
    /// When it can't be opened: the suite only opens what must open.
    fn open(&self) -> Arc<dyn Store>;

    /// Changes at least one byte of a stored frame underneath the store, which is closed meanwhile, and leaves its
    /// neighbours alone. `false` (the default) when there is no way to.
    fn corrupt_frame(&self, run: &RunId, position: Position) -> bool {
        let _ = (run, position);
        false
    }

    /// How many bytes the store takes up; `None` (the default) when that means nothing for it.
    fn bytes(&self) -> Option<u64> {
        None
    }
}

/// Makes one `#[test]` of each function of [`conformance`](crate::testing::conformance); the argument is an
/// expression for a fresh [`StoreHarness`].
#[macro_export]
macro_rules! store_conformance {
    ($harness:expr) => {
        $crate::store_conformance! { $harness =>
            s01_append_is_all_or_nothing
            s01_a_replacement_takes_the_place_of_all_records
            s01_replacements_share_a_commit_with_other_appends
            s02_ok_means_durable
            s03_a_wrong_position_changes_nothing
            s03_a_replacement_of_something_else_is_refused
            s04_order_is_kept
            s04_frames_of_any_size_are_kept_exactly
            s05_reads_see_own_writes
            s05_readers_see_the_old_records_or_the_new_ones
            s06_create_is_idempotent_by_id
            s07_fences_only_grow
            s08_a_stale_fence_is_refused
            s09_the_scan_returns_each_unfinished_run_once
            s10_due_timers_come_in_order
            s10_timers_outlast_housekeeping
            s10_a_replaced_run_has_its_new_timers_only
            s11_corrupt_bytes_give_a_typed_error
            s12_everything_again_after_reopen
            s13_space_of_deleted_runs_is_given_back
            s13_space_of_replaced_runs_is_given_back
            s14_hostile_ids_are_stored_exactly
            model_agrees_with_the_memory_store
        }
    };
    ($harness:expr => $($rule:ident)+) => {
        $(
            #[test]
            fn $rule() {
                $crate::testing::conformance::$rule(&$harness);
            }
        )+
    };
}

/// Later than any timer of the suite.
const END_OF_TIME: Timestamp = Timestamp(u64::MAX);

fn run(id: &str) -> RunId {
    RunId::new(id).expect("the suite uses valid ids")
}

/// One append to `run` of the given frames, under fence 1, without timers.
fn append(run: &RunId, expected: u64, frames: &[&str], status: RunStatus) -> Append {
    Append {
        run: run.clone(),
        expected: Position(expected),
        fence: Fence(1),
        records: frames.iter().map(|frame| Record { frame: frame.as_bytes().to_vec(), due: None }).collect(),
        replaces: false,
        clears: Vec::new(),
        status,
    }
}

/// Commits one append alone and gives its answer.
fn commit(store: &dyn Store, append: Append) -> Result<(), Refused> {
    let answers = store.commit(&[append]).expect("commit");
    assert_eq!(answers.len(), 1, "one answer per append");
    answers[0]
}

/// Closes the store and opens it again.
fn reopen(harness: &dyn StoreHarness, store: Arc<dyn Store>) -> Arc<dyn Store> {
    drop(store);
    harness.open()
}

/// Calls [`Store::tidy`] until nothing is left to do.
fn tidy_up(store: &dyn Store) {
    for _ in 0..10_000 {
        if !store.tidy().expect("tidy") {
            return;
        }
    }
    panic!("tidy still has work left after 10,000 calls");
}

/// Everything a store lets one see.
#[derive(PartialEq, Eq)]
struct Seen {
    heads: Vec<RunHead>,
    unfinished: Vec<RunHead>,
    runs: Vec<StoredRun>,
    dues: Vec<DueTimer>,
}

impl fmt::Debug for Seen {
    /// A line per run and per timer; of frames the lengths, because their bytes would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for StoredRun { head, frames } in &self.runs {
            let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
            writeln!(
                f,
                "\n{} {} at {} fence {}, frames of {lengths:?}",
                head.run, head.status, head.length, head.fence
            )?;
        }
        let unfinished: Vec<&RunId> = self.unfinished.iter().map(|head| &head.run).collect();
        writeln!(f, "unfinished {unfinished:?}")?;
        for timer in &self.dues {
            writeln!(f, "due {} {} at {}", timer.due.0, timer.run, timer.position)?;
        }
        Ok(())
    }
}

fn look(store: &dyn Store) -> Seen {
    let heads = store.list(None, None, usize::MAX).expect("list");
    let read = |head: &RunHead| store.read(&head.run).expect("read").expect("a listed run can be read");
    let runs: Vec<StoredRun> = heads.iter().map(read).collect();
    for (head, run) in heads.iter().zip(&runs) {
        assert_eq!(head, &run.head, "list and read disagree");
        assert_eq!(store.head(&head.run).expect("head").as_ref(), Some(head), "list and head disagree");
        assert_eq!(run.frames.len() as u64, head.length.0, "one frame per position");
        let ends = store.ends(&head.run).expect("ends").expect("a listed run has ends");
        assert!(ends.head == *head, "list and ends disagree: {head:?} and {:?}", ends.head);
        let found = (Some(&ends.first), Some(&ends.last));
        assert!(found == (run.frames.first(), run.frames.last()), "{}: ends and read disagree", head.run);
        for bytes_max in [0, 10_000] {
            assert!(parts(store, &head.run, bytes_max) == run.frames, "read and read_part disagree about {}", head.run);
        }
    }
    Seen {
        heads,
        unfinished: store.list(Some(RunStatus::Running), None, usize::MAX).expect("list"),
        runs,
        dues: store.due(END_OF_TIME, usize::MAX).expect("due"),
    }
}

/// The frames of a run, read bit by bit.
fn parts(store: &dyn Store, run: &RunId, bytes_max: usize) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    loop {
        let part = store.read_part(run, Position(frames.len() as u64), bytes_max);
        let StoredPart { head, frames: part } = part.expect("read_part").expect("a listed run can be read");
        assert_eq!(store.head(run).expect("head"), Some(head), "read_part and head disagree");
        let bytes = part.iter().map(Vec::len).sum::<usize>();
        assert!(
            part.len() <= 1 || bytes <= bytes_max,
            "{} frames of {bytes} bytes are more than {bytes_max}",
            part.len()
        );
        if part.is_empty() {
            return frames;
        }
        frames.extend(part);
    }
}

/// The frames of a run as text, for short comparisons.
fn frames(store: &dyn Store, run: &RunId) -> Vec<String> {
    let stored = store.read(run).expect("read").expect("the run exists");
    stored.frames.into_iter().map(|frame| String::from_utf8(frame).expect("text frames")).collect()
}
