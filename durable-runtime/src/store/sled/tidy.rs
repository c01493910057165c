//! Housekeeping: finished runs are settled, and unfinished ones that hold back the log are moved to its end.

use std::collections::BTreeSet;

use super::codec::{self, Moved};
use super::index::{Index, Live};
use super::write::Chores;
use super::{SledStore, State, read};
use crate::id::{Position, RunId};
use crate::store::StoreError;

/// How much of each kind of work is done at once.
#[derive(Debug, Clone, Copy)]
struct Budget {
    settled_runs_max: usize,
    /// Of frames, settled and moved.
    bytes_max: u64,
    /// Nothing is moved while the log is shorter.
    log_bytes_min: u64,
}

/// One call of `tidy`.
const TIDY: Budget = Budget { settled_runs_max: 1_024, bytes_max: 4 << 20, log_bytes_min: 16 << 20 };

/// So many finished runs may wait for `tidy` before commits settle some in passing.
const FINISHED_WAITING_MAX: usize = 8_192;
/// So long may the log become before commits move runs in passing.
const LOG_BYTES_WAITING_MAX: u64 = 256 << 20;
/// How many times the unfinished runs' size the log may have.
const LOG_TO_LIVE_MAX: u64 = 4;

impl SledStore {
    pub(super) fn tidy_some(&self) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        writer.fail_if_broken()?;
        let mut chores = self.chores(TIDY, &BTreeSet::new())?;
        chores.truncate = self.state.read().index.has_removable_commits(writer.last);
        if !chores.is_empty() {
            self.write_chores(&mut writer, chores)?;
        }
        let state = self.state.read();
        let is_left = state.index.finished_count() > 0
            || state.index.has_removable_commits(writer.last)
            || movable(&state, TIDY).next().is_some();
        Ok(is_left)
    }

    /// What a commit should do besides, because nobody called `tidy` in time. `touched` are the runs it appends to.
    pub(super) fn overdue_chores(&self, touched: &BTreeSet<&RunId>) -> Result<Chores, StoreError> {
        let (waiting, log_bytes) = {
            let state = self.state.read();
            (state.index.finished_count(), state.index.log_bytes())
        };
        if waiting <= FINISHED_WAITING_MAX && log_bytes <= LOG_BYTES_WAITING_MAX {
            return Ok(Chores::default());
        }
        // Twice what this commit can add, so that the backlog shrinks.
        let settled_runs_max = if waiting > FINISHED_WAITING_MAX { 16 + 2 * touched.len() } else { 0 };
        self.chores(Budget { settled_runs_max, bytes_max: 1 << 20, log_bytes_min: LOG_BYTES_WAITING_MAX }, touched)
    }

    fn chores(&self, budget: Budget, touched: &BTreeSet<&RunId>) -> Result<Chores, StoreError> {
        let mut chores = Chores::default();
        let mut bytes_left = budget.bytes_max;
        while chores.settled.len() < budget.settled_runs_max && bytes_left > 0 {
            let Some(run) = self.state.write().index.next_finished() else { break };
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
        for (run, live) in movable(&state, budget) {
            if bytes_left == 0 {
                break;
            }
            if touched.contains(run) {
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

/// Adds a finished run to the batch. Valid through the newest commit: no later one has anything of it yet.
fn settle(state: &State, chores: &mut Chores, run: &RunId, live: &Live) -> Result<(), StoreError> {
    let Some(stored) = state.read(run)? else { return Ok(()) };
    let old = if live.settled > 0 { read::settled_header(&state.disk, run)? } else { None };
    let through = state.index.newest_commit();
    let bytes = codec::put_settled(live.status, live.fence, through, &live.dues, &stored.frames);
    let bytes = bytes.ok_or_else(|| read::too_large("a settled run"))?;
    read::put_settled(&mut chores.batch, run, &bytes, old);
    chores.settled.push(run.clone());
    Ok(())
}

/// The unfinished runs to move, if the log has become too long for what is in it: those that need its oldest commits.
///
/// A corrupt run can't be moved, and moving those after it would not shorten the log.
fn movable(state: &State, budget: Budget) -> impl Iterator<Item = (&RunId, &Live)> {
    let corrupt = state.corrupt.lock().clone();
    let runs = state.index.by_age().take_while(move |(run, _)| !corrupt.contains_key(*run));
    let is_too_long = is_too_long(&state.index, budget.log_bytes_min);
    runs.filter(move |(_, live)| is_too_long && live.status.is_unfinished())
}

fn is_too_long(index: &Index, log_bytes_min: u64) -> bool {
    index.log_bytes() > log_bytes_min.max(LOG_TO_LIVE_MAX * index.live_bytes())
}
