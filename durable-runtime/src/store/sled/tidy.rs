//! Housekeeping: runs that ended or sleep are settled, and live ones that hold back the log are moved to its end.

use std::collections::BTreeSet;

use super::codec::{self, Moved};
use super::index::Live;
use super::layout::due_key;
use super::write::{Accepted, Chores};
use super::{SledStore, State, read};
use crate::id::{Position, RunId};
use crate::store::{RunStatus, StoreError};

/// When housekeeping is done, and how much of it at once. Tests make it small to see all of it happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// One call of `tidy`.
    pub(super) tidy: Budget,
    /// One commit that does some in passing, because nobody called `tidy` in time.
    pub(super) in_passing: Budget,
    /// So many finished runs may wait for `tidy` before commits settle some in passing.
    pub(super) finished_waiting_max: usize,
    /// So many suspended runs stay live, those that changed last, and twice as many until somebody tidies: one that is
    /// woken soon need not be settled.
    pub(super) suspended_max: usize,
    /// The same by what they take up in the log, which is read when the store is opened.
    pub(super) suspended_bytes_max: u64,
    /// How many times the unsettled runs' size the log may have before some are moved.
    pub(super) log_to_live_max: u64,
    /// How many keys of the log one commit removes at most, so that no commit takes long.
    pub(super) removed_chunks_max: u32,
    /// After how many commits the side file is written again. In between, at most this many of the newest commits
    /// could be lost to damage (not to a crash) without being missed.
    pub(super) side_file_commits: u64,
}

/// How much of each kind of work is done at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) settled_runs_max: usize,
    /// Of frames, settled and moved.
    pub(super) bytes_max: u64,
    /// Nothing is moved while the log is shorter.
    pub(super) log_bytes_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tidy: Budget { settled_runs_max: 256, bytes_max: 1 << 20, log_bytes_min: 16 << 20 },
            in_passing: Budget { settled_runs_max: 16, bytes_max: 1 << 20, log_bytes_min: 256 << 20 },
            finished_waiting_max: 8_192,
            suspended_max: 16_384,
            suspended_bytes_max: 64 << 20,
            log_to_live_max: 4,
            removed_chunks_max: 4_096,
            side_file_commits: 256,
        }
    }
}

impl Limits {
    /// Whether some of so many suspended runs, with so many bytes, are to be settled.
    fn are_many_suspended(&self, (runs, bytes): (usize, u64), times: u8) -> bool {
        runs > self.suspended_max * usize::from(times) || bytes > self.suspended_bytes_max * u64::from(times)
    }
}

impl SledStore {
    pub(super) fn tidy_some(&self) -> Result<bool, StoreError> {
        self.tidy_within(&self.limits)
    }

    pub(super) fn tidy_within(&self, limits: &Limits) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        writer.fail_if_broken()?;
        let mut chores = self.chores(limits, limits.tidy, &BTreeSet::new())?;
        {
            let state = self.state.read();
            state.remove_stale(&mut chores)?;
            chores.truncate = state.index.has_removable_commits(writer.last);
        }
        if !chores.is_empty() {
            fail_point!("store.tidy.unwritten");
            self.write_chores(&mut writer, chores)?;
            fail_point!("store.tidy.synced");
        }
        let last = writer.last;
        let marked = writer.folder.mark(last, 0);
        writer.noted(marked)?;
        let state = self.state.read();
        let is_left = state.index.finished_count() > 0
            || limits.are_many_suspended(state.index.suspended(), 1)
            || state.index.has_removable_commits(writer.last)
            || movable(&state, limits, limits.tidy).next().is_some();
        Ok(is_left)
    }

    /// What a commit should do besides its appends, because nobody called `tidy` in time.
    pub(super) fn overdue_chores(&self, accepted: &[Accepted<'_>]) -> Result<Chores, StoreError> {
        let mut budget = self.limits.in_passing;
        let is_overdue = {
            let index = &self.state.read().index;
            index.finished_count() > self.limits.finished_waiting_max
                || self.limits.are_many_suspended(index.suspended(), 2)
                || index.log_bytes() > budget.log_bytes_min
        };
        if !is_overdue {
            return Ok(Chores::default());
        }
        // Twice what this commit can add, so that the backlog shrinks.
        budget.settled_runs_max += 2 * accepted.len();
        self.chores(&self.limits, budget, &accepted.iter().map(|accepted| &accepted.append.run).collect())
    }

    /// Collects work within the budget, and none on the runs that the commit itself appends to.
    fn chores(&self, limits: &Limits, budget: Budget, touched: &BTreeSet<&RunId>) -> Result<Chores, StoreError> {
        let mut chores = Chores::default();
        let mut bytes_left = budget.bytes_max;
        while chores.settled.len() < budget.settled_runs_max && bytes_left > 0 {
            let next = {
                let index = &mut self.state.write().index;
                let are_many_suspended = limits.are_many_suspended(index.suspended(), 1);
                index.next_finished().or_else(|| are_many_suspended.then(|| index.next_suspended())?)
            };
            let Some(run) = next else { break };
            // A run of this commit will be queued anew by it. One queued twice was already taken.
            if touched.contains(&run) || chores.settled.contains(&run) {
                continue;
            }
            let state = self.state.read();
            let Some(live) = state.index.get(&run) else { continue };
            match settle(&state, &mut chores, &run, live) {
                // A run that can't be read stays in the log and is reported.
                Ok(()) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
            bytes_left = bytes_left.saturating_sub(live.log_bytes());
        }
        let state = self.state.read();
        for (run, live) in movable(&state, limits, budget) {
            if bytes_left == 0 {
                break;
            }
            // One that is settled leaves the log anyway.
            if touched.contains(run) || chores.settled.contains(run) {
                continue;
            }
            match state.noted(read::log_frames(&state.disk, run, Position(live.settled), &live.places)) {
                Ok(frames) => chores.moved.push(Moved {
                    run: run.clone(),
                    status: live.status,
                    fence: live.fence,
                    first: Position(live.settled),
                    dues: live.dues.clone(),
                    frames,
                }),
                Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
            bytes_left = bytes_left.saturating_sub(live.log_bytes());
        }
        Ok(chores)
    }
}

/// Adds a run to the batch. Valid through the newest commit: no later one has anything of it yet.
fn settle(state: &State, chores: &mut Chores, run: &RunId, live: &Live) -> Result<(), StoreError> {
    let Some(stored) = state.read(run)? else { return Ok(()) };
    let old = if live.settled > 0 { read::settled_header(&state.disk, run)? } else { None };
    let through = state.index.newest_commit();
    let ordinal = u32::try_from(chores.settled.len()).map_err(|_| read::too_large("that many settled runs"))?;
    let bytes = codec::put_settled(live.status, live.fence, (through, ordinal), &live.dues, &stored.frames);
    let bytes = bytes.ok_or_else(|| read::too_large("a settled run"))?;
    read::put_settled(&mut chores.batch, run, &bytes, old);
    if live.status == RunStatus::Suspended {
        live.dues.iter().for_each(|(_, due)| chores.batch.insert(due_key(*due, run), &[]));
    }
    chores.settled.insert(run.clone());
    Ok(())
}

/// The unfinished runs to move, if the log has become too long for what is in it: those that need its oldest commits.
///
/// A corrupt run can't be moved, and moving those after it would not shorten the log.
fn movable<'a>(state: &'a State, limits: &Limits, budget: Budget) -> impl Iterator<Item = (&'a RunId, &'a Live)> {
    let log_bytes_max = budget.log_bytes_min.max(limits.log_to_live_max * state.index.live_bytes());
    // Moving is what is left when removing is done: else each could undo what the other gains.
    let can_shrink = state.index.has_removable_commits(state.index.newest_commit());
    let is_too_long = !can_shrink && state.index.log_bytes() > log_bytes_max;
    let corrupt = state.corrupt.lock().clone();
    let runs = state.index.by_age().take_while(move |(run, _)| is_too_long && !corrupt.contains_key(*run));
    runs.filter(|(_, live)| live.status.is_unfinished())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{DEEP, LIMITS, PLENTY, append, commit, due, everything, live, opened, run, sleep};
    use super::*;
    use crate::store::{Durability, Store};
    use crate::testing::conformance::StoreHarness;

    /// Housekeeping with nearly every commit, in tiny portions.
    struct Restless(tempfile::TempDir);

    impl StoreHarness for Restless {
        fn open(&self) -> Arc<dyn Store> {
            let budget = Budget { settled_runs_max: 1, bytes_max: 300, log_bytes_min: 1_000 };
            let limits = Limits {
                tidy: budget,
                in_passing: budget,
                finished_waiting_max: 2,
                suspended_max: 1,
                suspended_bytes_max: 1_000,
                log_to_live_max: 2,
                removed_chunks_max: 3,
                side_file_commits: 1,
            };
            Arc::new(SledStore::open_with(self.0.path(), Durability::Buffered, limits).expect("open"))
        }
    }

    /// Else it would be in the log behind its settled part, and corrupt when the store is opened.
    #[test]
    fn a_run_that_is_settled_is_not_moved_as_well() {
        let temporary = tempfile::tempdir().expect("a folder");
        let store = opened(temporary.path(), LIMITS);
        commit(&store, &[append(1, 0, 10, RunStatus::Running), append(2, 0, 10, RunStatus::Running)]);
        while store.tidy().expect("tidy") {}
        commit(&store, &[sleep(1, 1, 5)]);
        let before = everything(&store);
        drop(store);
        // The log is too long, the run that sleeps is among those that need its beginning, and none may sleep in it.
        let tidy = Budget { log_bytes_min: 0, ..PLENTY };
        let limits = Limits { tidy, log_to_live_max: 0, ..DEEP };
        let mut store = opened(temporary.path(), limits);
        let moved_to = store.state.read().index.newest_commit() + 1;
        store.tidy().expect("tidy");
        assert_eq!(store.state.read().index.oldest_needed(), Some(moved_to), "the other one was moved");
        for _ in 0..2 {
            assert_eq!(live(&store), [run(2)]);
            assert_eq!((everything(&store), due(&store, 5, 9)), (before.clone(), vec![(5, run(1), 1)]));
            drop(store);
            store = opened(temporary.path(), LIMITS);
        }
    }

    crate::store_conformance!(Restless(tempfile::tempdir().expect("a folder")));
}
