//! What is kept in memory: where each unsettled run's records are in the log, its timers, and which runs hold back
//! which commits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use super::layout::CHUNK_BYTES;
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{DueTimer, RunHead, RunStatus};

/// Where a frame is: in which commit record, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) commit: u64,
    pub(super) offset: u32,
    pub(super) bytes: u32,
}

/// A run with records in the log that are not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) status: RunStatus,
    pub(super) fence: Fence,
    /// How many records are in the run's settled part; 0 when it has none.
    pub(super) settled: u64,
    /// One per record after those.
    pub(super) places: Vec<Place>,
    /// The timers that are set.
    pub(super) dues: Vec<(Position, Timestamp)>,
    /// The oldest commit that is needed for this run.
    oldest_commit: u64,
    /// The commit that changed it last.
    newest_commit: u64,
    /// At least what its log part would take up if it were written anew.
    log_bytes: u64,
}

impl Live {
    pub(super) fn length(&self) -> Position {
        Position(self.settled + self.places.len() as u64)
    }

    pub(super) fn head(&self, run: &RunId) -> RunHead {
        RunHead { run: run.clone(), status: self.status, length: self.length(), fence: self.fence }
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }
}

/// What an entry takes up in a directory apart from its run id, its records and its timers; and what one of those
/// does. No less than in fact: a log that is never small enough would be moved forever.
const ENTRY_BYTES: u64 = 48;
const RECORD_BYTES: u64 = 5;
const TIMER_BYTES: u64 = 20;

/// A settled run as it stands before it goes on in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) status: RunStatus,
    pub(super) fence: Fence,
    pub(super) records: u64,
    pub(super) dues: Vec<(Position, Timestamp)>,
}

/// The records of one entry, on their way into the index.
pub(super) struct NewRecords<'a> {
    pub(super) commit: u64,
    /// Where in the commit record the first frame begins.
    pub(super) offset: u32,
    pub(super) status: RunStatus,
    pub(super) fence: Fence,
    pub(super) dues: &'a mut dyn Iterator<Item = (Position, Timestamp)>,
    pub(super) clears: &'a [Position],
    pub(super) frame_bytes: &'a mut dyn Iterator<Item = u32>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    live: BTreeMap<RunId, Live>,
    /// Timers of suspended runs only.
    dues: BTreeSet<(Timestamp, RunId, Position)>,
    /// Which run needs which commit; the first is what holds the log back.
    by_age: BTreeSet<(u64, RunId)>,
    /// Runs that finished, in that order. A run may be in it twice, or not be finished any more: look it up.
    finished: VecDeque<RunId>,
    /// Suspended runs by the commit that changed them last, but those that were found impossible to settle.
    suspended: BTreeSet<(u64, RunId)>,
    /// What they would take up if they were written anew.
    suspended_bytes: u64,
    /// The lengths of the commit records in the log, the oldest first, without gaps.
    commit_bytes: VecDeque<u32>,
    oldest_commit: u64,
    log_bytes: u64,
    live_bytes: u64,
}

impl Index {
    pub(super) fn get(&self, run: &RunId) -> Option<&Live> {
        self.live.get(run)
    }

    /// Unsettled runs after `after`, in the order of their ids.
    pub(super) fn after(&self, after: Option<&RunId>) -> impl Iterator<Item = (&RunId, &Live)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.live.range::<RunId, _>((from, Bound::Unbounded))
    }

    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = DueTimer> {
        let due = self.dues.iter().take_while(move |(due, _, _)| *due <= now);
        due.map(|(due, run, position)| DueTimer { due: *due, run: run.clone(), position: *position })
    }

    /// Takes in a settled run that goes on in this commit, as it stands before.
    pub(super) fn begin(&mut self, run: &RunId, base: Base, commit: u64) {
        let Base { status, fence, records, dues } = base;
        let log_bytes = ENTRY_BYTES + run.as_str().len() as u64 + TIMER_BYTES * dues.len() as u64;
        if status == RunStatus::Suspended {
            self.dues.extend(dues.iter().map(|(position, due)| (*due, run.clone(), *position)));
            self.wait(run, commit, log_bytes);
        }
        self.by_age.insert((commit, run.clone()));
        self.live_bytes += log_bytes;
        let (oldest_commit, newest_commit) = (commit, commit);
        let places = Vec::new();
        let live = Live { status, fence, settled: records, places, dues, oldest_commit, newest_commit, log_bytes };
        self.live.insert(run.clone(), live);
    }

    /// Adds records at the end of a run, which begins with them if it is not known.
    pub(super) fn append(&mut self, run: &RunId, new: NewRecords<'_>) {
        if !self.live.contains_key(run) {
            let base = Base { status: new.status, fence: new.fence, records: 0, dues: Vec::new() };
            self.begin(run, base, new.commit);
        }
        let Some(live) = self.live.get_mut(run) else { return };
        let was_suspended = live.status == RunStatus::Suspended;
        let bytes_before = live.log_bytes;
        if was_suspended && self.suspended.remove(&(live.newest_commit, run.clone())) {
            self.suspended_bytes -= bytes_before;
        }

        let mut offset = new.offset;
        for bytes in new.frame_bytes {
            live.places.push(Place { commit: new.commit, offset, bytes });
            live.log_bytes += RECORD_BYTES + u64::from(bytes);
            offset = offset.saturating_add(bytes);
        }
        let key = |(position, due): (Position, Timestamp)| (due, run.clone(), position);
        for timer in new.dues {
            live.dues.push(timer);
            live.log_bytes += TIMER_BYTES;
            if was_suspended {
                self.dues.insert(key(timer));
            }
        }
        if !new.clears.is_empty() {
            for timer in live.dues.extract_if(.., |(position, _)| new.clears.contains(position)) {
                self.dues.remove(&key(timer));
            }
        }
        live.status = new.status;
        live.fence = new.fence;
        live.newest_commit = new.commit;
        match (was_suspended, live.status == RunStatus::Suspended) {
            (true, true) | (false, false) => {}
            (false, true) => self.dues.extend(live.dues.iter().copied().map(key)),
            (true, false) => live.dues.iter().copied().map(key).for_each(|timer| {
                self.dues.remove(&timer);
            }),
        }
        self.live_bytes += live.log_bytes - bytes_before;
        match live.status {
            RunStatus::Running => {}
            RunStatus::Suspended => {
                let log_bytes = live.log_bytes;
                self.wait(run, new.commit, log_bytes);
            }
            RunStatus::Halted | RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => {
                self.finished.push_back(run.clone());
            }
        }
    }

    fn wait(&mut self, run: &RunId, commit: u64, log_bytes: u64) {
        self.suspended.insert((commit, run.clone()));
        self.suspended_bytes += log_bytes;
    }

    /// Replaces the log part of a run, which follows `settled` settled records: `new` holds all of it, and all timers
    /// of the run. With `settled` 0, that is all there is of the run.
    pub(super) fn replace(&mut self, run: &RunId, settled: u64, new: NewRecords<'_>) {
        self.forget(run);
        let base = Base { status: new.status, fence: new.fence, records: settled, dues: Vec::new() };
        self.begin(run, base, new.commit);
        self.append(run, new);
    }

    /// Forgets a run: it was settled, moved, replaced or deleted.
    pub(super) fn forget(&mut self, run: &RunId) -> Option<Live> {
        let live = self.live.remove(run)?;
        self.by_age.remove(&(live.oldest_commit, run.clone()));
        if self.suspended.remove(&(live.newest_commit, run.clone())) {
            self.suspended_bytes -= live.log_bytes;
        }
        for (position, due) in &live.dues {
            self.dues.remove(&(*due, run.clone(), *position));
        }
        self.live_bytes -= live.log_bytes;
        Some(live)
    }

    /// Notes that a commit record was added to the log.
    pub(super) fn committed(&mut self, number: u64, bytes: u32) {
        if self.commit_bytes.is_empty() {
            self.oldest_commit = number;
        }
        self.commit_bytes.push_back(bytes);
        self.log_bytes += u64::from(bytes);
    }

    /// The oldest commit in the log; `next`, the commit about to be written, when it is empty.
    pub(super) fn oldest_commit(&self, next: u64) -> u64 {
        if self.commit_bytes.is_empty() { next } else { self.oldest_commit }
    }

    /// The oldest commit that some run needs, if any does.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        self.by_age.first().map(|(commit, _)| *commit)
    }

    /// The newest commit in the log.
    pub(super) fn newest_commit(&self) -> u64 {
        (self.oldest_commit + self.commit_bytes.len() as u64).saturating_sub(1)
    }

    /// Whether the log begins with commits that no run needs and that are not the newest, `last`.
    pub(super) fn has_removable_commits(&self, last: u64) -> bool {
        self.oldest_commit < self.oldest_needed().map_or(last, |needed| needed.min(last))
    }

    /// Removes the oldest commit from the index and gives its number and how many chunks it has, if it is
    /// older than `needed`.
    pub(super) fn drop_oldest_commit(&mut self, needed: u64) -> Option<(u64, u32)> {
        if self.oldest_commit >= needed {
            return None;
        }
        let bytes = self.commit_bytes.pop_front()?;
        let number = self.oldest_commit;
        self.oldest_commit += 1;
        self.log_bytes -= u64::from(bytes);
        Some((number, bytes.div_ceil(u32::try_from(CHUNK_BYTES).unwrap_or(u32::MAX))))
    }

    /// How many finished runs wait to be settled (at most; some may be stale).
    pub(super) fn finished_count(&self) -> usize {
        self.finished.len()
    }

    /// The next run that finished, to be settled.
    pub(super) fn next_finished(&mut self) -> Option<RunId> {
        while let Some(run) = self.finished.pop_front() {
            if self.live.get(&run).is_some_and(|live| !live.status.is_unfinished()) {
                return Some(run);
            }
        }
        None
    }

    /// How many suspended runs there are, and what they would take up if they were written anew.
    pub(super) fn suspended(&self) -> (usize, u64) {
        (self.suspended.len(), self.suspended_bytes)
    }

    /// The suspended run that has not changed for the longest time, to be settled.
    pub(super) fn next_suspended(&mut self) -> Option<RunId> {
        let (_, run) = self.suspended.pop_first()?;
        self.suspended_bytes -= self.live.get(&run).map_or(0, Live::log_bytes);
        Some(run)
    }

    /// Runs by the age of the oldest commit they need.
    pub(super) fn by_age(&self) -> impl Iterator<Item = (&RunId, &Live)> {
        self.by_age.iter().filter_map(|(_, run)| Some((run, self.live.get(run)?)))
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{COMMIT_HEADER_BYTES, Entry, Moved, put_commit};
    use super::*;

    type Dues = Vec<(Position, Timestamp)>;

    fn run(id: &str) -> RunId {
        RunId::new(id).expect("an id")
    }

    fn append(index: &mut Index, id: &str, commit: u64, status: RunStatus, frames: &[u32], dues: &Dues) {
        index.append(&run(id), records(commit, status, &mut frames.iter().copied(), &mut dues.iter().copied()));
    }

    fn settled(records: u64, status: RunStatus, dues: Dues) -> Base {
        Base { status, fence: Fence(1), records, dues }
    }

    fn records<'a>(
        commit: u64,
        status: RunStatus,
        frame_bytes: &'a mut dyn Iterator<Item = u32>,
        dues: &'a mut dyn Iterator<Item = (Position, Timestamp)>,
    ) -> NewRecords<'a> {
        NewRecords { commit, offset: 0, status, fence: Fence(u64::MAX), dues, clears: &[], frame_bytes }
    }

    fn due(timers: u64) -> Dues {
        (0..timers).map(|timer| (Position(u64::MAX - timer), Timestamp(u64::MAX))).collect()
    }

    /// What a run would take up if it were written anew, with numbers as long as they can be.
    fn written(id: &str, frames: &[u32], dues: Dues) -> u64 {
        let moved = Moved {
            run: run(id),
            status: RunStatus::Running,
            fence: Fence(u64::MAX),
            first: Position(u64::MAX / 2),
            dues,
            frames: frames.iter().map(|bytes| vec![7; *bytes as usize]).collect(),
        };
        let mut record = Vec::new();
        put_commit(&mut record, &[Entry::Moved(&moved)]).expect("it is short");
        (record.len() - COMMIT_HEADER_BYTES) as u64
    }

    /// A log that is never small enough would be moved forever.
    #[test]
    fn a_run_takes_up_no_more_than_is_reckoned_and_not_much_less() {
        for (id, frames, settled_dues, dues) in [
            ("r", &[][..], 0, 0),
            ("a_longer_id_of_a_run", &[1, 200, 20_000], 0, 2),
            ("settled", &[3; 50], 7, 0),
            ("settled, and more", &[3; 50], 9, 30),
            ("with many timers", &[], 40, 40),
        ] {
            let mut index = Index::default();
            index.begin(&run(id), settled(5, RunStatus::Halted, due(settled_dues)), 1);
            append(&mut index, id, 1, RunStatus::Running, frames, &due(dues));
            let reckoned = index.get(&run(id)).expect("it was appended").log_bytes();
            let written = written(id, frames, due(settled_dues + dues));
            assert!(written <= reckoned, "{id}: {reckoned} reckoned, {written} written");
            let slack = ENTRY_BYTES + 4 * frames.len() as u64;
            assert!(reckoned <= written + slack, "{id}: {reckoned} reckoned, {written} written");
            assert_eq!(index.live_bytes(), reckoned);
        }
    }

    #[test]
    fn what_is_live_is_what_the_live_runs_take_up() {
        let mut index = Index::default();
        let live = |index: &Index| index.after(None).map(|(_, live)| live.log_bytes()).sum::<u64>();
        append(&mut index, "a", 1, RunStatus::Running, &[10, 20], &due(1));
        index.begin(&run("b"), settled(4, RunStatus::Halted, due(3)), 1);
        append(&mut index, "b", 1, RunStatus::Running, &[30], &due(0));
        append(&mut index, "a", 2, RunStatus::Running, &[40], &due(2));
        assert_eq!(index.live_bytes(), live(&index));
        let before = index.live_bytes();
        let (mut frames, mut dues) = ([5].into_iter(), [].into_iter());
        index.replace(&run("a"), 3, records(3, RunStatus::Running, &mut frames, &mut dues));
        assert_eq!(index.get(&run("a")).map(Live::length), Some(Position(4)));
        assert!(index.live_bytes() < before);
        assert_eq!(index.live_bytes(), live(&index));
        let forgotten = index.forget(&run("b")).expect("it is live");
        assert!(forgotten.log_bytes() > 0);
        assert_eq!(index.live_bytes(), live(&index));
        index.forget(&run("a")).expect("it is live");
        assert_eq!(index.live_bytes(), 0);
    }

    #[test]
    fn the_log_is_held_back_by_the_oldest_commit_that_a_run_needs() {
        let mut index = Index::default();
        assert_eq!((index.oldest_commit(5), index.oldest_needed(), index.log_bytes()), (5, None, 0));
        for (commit, id) in [(5, "a"), (6, "b"), (7, "a"), (8, "c")] {
            append(&mut index, id, commit, RunStatus::Running, &[10], &due(0));
            index.committed(commit, 100 * u32::try_from(commit).expect("small"));
        }
        assert_eq!((index.oldest_commit(9), index.newest_commit(), index.oldest_needed()), (5, 8, Some(5)));
        assert_eq!(index.log_bytes(), 500 + 600 + 700 + 800);
        assert!(!index.has_removable_commits(8), "a needs the first one");
        assert_eq!(index.drop_oldest_commit(5), None);
        index.forget(&run("a"));
        assert_eq!(index.oldest_needed(), Some(6));
        assert!(index.has_removable_commits(8));
        assert!(!index.has_removable_commits(5), "the newest one stays");
        assert_eq!(index.drop_oldest_commit(6), Some((5, 1)));
        assert_eq!(index.drop_oldest_commit(6), None);
        assert_eq!((index.oldest_commit(9), index.log_bytes()), (6, 600 + 700 + 800));
        index.forget(&run("b"));
        index.forget(&run("c"));
        assert_eq!(index.oldest_needed(), None);
        assert!(index.has_removable_commits(8) && !index.has_removable_commits(6));
    }

    #[test]
    fn suspended_runs_are_settled_in_the_order_in_which_they_changed_last() {
        let mut index = Index::default();
        let suspended = |index: &Index| {
            let runs: Vec<&Live> = index.suspended.iter().map(|(_, run)| &index.live[run]).collect();
            assert!(runs.iter().all(|live| live.status == RunStatus::Suspended));
            let bytes = runs.iter().map(|live| live.log_bytes()).sum::<u64>();
            assert_eq!(index.suspended(), (runs.len(), bytes));
            runs.len()
        };
        for (commit, id) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            append(&mut index, id, commit, RunStatus::Suspended, &[10], &due(commit));
        }
        append(&mut index, "a", 5, RunStatus::Suspended, &[10], &due(1));
        append(&mut index, "b", 5, RunStatus::Running, &[10], &due(0));
        assert_eq!(suspended(&index), 3);
        append(&mut index, "b", 6, RunStatus::Suspended, &[], &due(0));
        assert_eq!(suspended(&index), 4);
        index.forget(&run("d"));
        assert_eq!(suspended(&index), 3);
        assert_eq!(index.next_suspended(), Some(run("c")));
        assert_eq!(suspended(&index), 2);
        // One that could not be settled, and goes on, is to be settled again.
        append(&mut index, "c", 7, RunStatus::Suspended, &[10], &due(0));
        let (mut frames, mut dues) = ([5].into_iter(), [].into_iter());
        index.replace(&run("a"), 3, records(8, RunStatus::Suspended, &mut frames, &mut dues));
        index.begin(&run("e"), settled(1, RunStatus::Suspended, due(2)), 9);
        assert_eq!(suspended(&index), 4);
        let next: Vec<RunId> = std::iter::from_fn(|| index.next_suspended()).collect();
        assert_eq!(next, ["b", "c", "a", "e"].map(run));
        assert_eq!(index.suspended(), (0, 0));
        index.forget(&run("e"));
        assert_eq!(index.suspended(), (0, 0));
    }

    #[test]
    fn a_commit_has_as_many_chunks_as_it_fills() {
        let chunk = u32::try_from(CHUNK_BYTES).expect("small");
        for (bytes, chunks) in [(1, 1), (chunk, 1), (chunk + 1, 2), (3 * chunk, 3)] {
            let mut index = Index::default();
            index.committed(1, bytes);
            assert_eq!(index.drop_oldest_commit(2), Some((1, chunks)), "{bytes} bytes");
        }
    }
}
