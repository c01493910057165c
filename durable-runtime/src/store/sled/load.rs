//! Opening: the index is rebuilt from the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ::sled::Batch;

use super::codec::{self, Added, Change, CommitHeader, ReadEntry};
use super::disk::Disk;
use super::index::{Base, Index, NewRecords};
use super::layout::{LOG, parse_log_key};
use super::read::{corrupt, remove_settled, settled_base, settled_header};
use crate::id::RunId;
use crate::store::StoreError;

/// What was found in the log.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) corrupt: BTreeMap<RunId, StoreError>,
    /// The number of the newest commit; 0 when there is none.
    pub(super) last: u64,
}

/// Reads the whole log of a sled database, and removes what is left over of settled runs that were replaced when the
/// process died. Not durably: as long as the log has the commit that replaced them, they are found again.
///
/// # Errors
/// [`StoreError::Damaged`] when commits are missing in between or a directory can't be read: then it can't be told
/// which runs are affected. Damage that is limited to known runs is in [`Loaded::corrupt`].
pub(super) fn load(disk: &Disk, folder: &Path) -> Result<Loaded, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { folder: folder.to_path_buf(), detail };
    let empty = Loaded { index: Index::default(), corrupt: BTreeMap::new(), last: 0 };
    let mut loader = Loader { disk, loaded: empty, settled_through: BTreeMap::new(), left_over: BTreeSet::new() };
    let mut ends: Option<(u64, CommitHeader)> = None;
    let mut commit: Option<Commit> = None;
    let mut finish = |commit: Option<Commit>| -> Result<(), StoreError> {
        let Some(commit) = commit else { return Ok(()) };
        let number = commit.number;
        let header = loader.commit(&commit)?.ok_or_else(|| damaged(format!("commit {number} can't be read")))?;
        let first = ends.map_or(number, |(first, _)| first);
        ends = Some((first, header));
        Ok(())
    };
    for item in disk.scan_prefix(LOG) {
        let (key, value) = item?;
        let (number, chunk) = parse_log_key(&key).ok_or_else(|| damaged("a key of the log can't be read".into()))?;
        match &mut commit {
            Some(current) if current.number == number => current.add(&value),
            _ => {
                let expected = commit.as_ref().map_or(number, |current| current.number + 1);
                if (number, chunk) != (expected, 0) {
                    return Err(damaged(format!("commit {expected} is missing, or its beginning")));
                }
                finish(commit.take())?;
                commit = Some(Commit::begin(number, &value));
            }
        }
    }
    finish(commit)?;
    match ends {
        Some((first, last)) if first != last.oldest => {
            Err(damaged(format!("the log begins at commit {first} instead of {}", last.oldest)))
        }
        _ => {
            loader.remove_left_over()?;
            for error in loader.loaded.corrupt.values() {
                tracing::error!(%error, "a run can't be read");
            }
            Ok(loader.loaded)
        }
    }
}

/// A commit whose chunks are being gathered: its beginning up to the frames, and how much there was of it.
struct Commit {
    number: u64,
    beginning: Vec<u8>,
    bytes: usize,
}

impl Commit {
    fn begin(number: u64, chunk: &[u8]) -> Self {
        Self { number, beginning: chunk.to_vec(), bytes: chunk.len() }
    }

    fn add(&mut self, value: &[u8]) {
        self.bytes += value.len();
        let needed = codec::read_commit_header(&self.beginning).map_or(0, CommitHeader::frames_start);
        if self.beginning.len() < needed {
            self.beginning.extend_from_slice(value);
        }
    }
}

struct Loader<'a> {
    disk: &'a Disk,
    loaded: Loaded,
    /// Up to which commit runs are settled, of those that were looked up.
    settled_through: BTreeMap<RunId, u64>,
    /// Runs whose settled part is of before they were replaced.
    left_over: BTreeSet<RunId>,
}

impl Loader<'_> {
    /// Applies a commit; `None` when its directory can't be trusted.
    fn commit(&mut self, commit: &Commit) -> Result<Option<CommitHeader>, StoreError> {
        let Some(entries) = codec::read_directory(&commit.beginning) else { return Ok(None) };
        let Some(header) = codec::read_commit_header(&commit.beginning) else { return Ok(None) };
        let Ok(record_bytes) = u32::try_from(header.record_bytes()) else { return Ok(None) };
        let Ok(mut offset) = u32::try_from(header.frames_start()) else { return Ok(None) };
        if header.number != commit.number {
            return Ok(None);
        }
        let is_whole = commit.bytes == header.record_bytes();
        for entry in entries {
            let Some(next) = offset.checked_add(frames_bytes(&entry)) else { return Ok(None) };
            self.entry(commit.number, offset, entry, is_whole)?;
            offset = next;
        }
        if offset != record_bytes {
            return Ok(None);
        }
        self.loaded.index.committed(commit.number, record_bytes);
        self.loaded.last = commit.number;
        Ok(Some(header))
    }

    fn entry(&mut self, commit: u64, offset: u32, entry: ReadEntry, is_whole: bool) -> Result<(), StoreError> {
        let ReadEntry { run, change } = entry;
        let settled_through = self.settled_through(&run)?;
        if commit <= settled_through {
            return Ok(());
        }
        let (added, is_moved) = match change {
            Change::Deleted => {
                self.loaded.index.forget(&run);
                self.loaded.corrupt.remove(&run);
                // A deletion alone takes the settled part with it. This one was followed by other records of the run.
                if settled_through > 0 {
                    self.left_over.insert(run);
                }
                return Ok(());
            }
            Change::Appended(added) => (added, false),
            Change::Moved(added) => {
                // It replaces what the log had of the run, of which the beginning may be removed already.
                self.loaded.index.forget(&run);
                self.loaded.corrupt.remove(&run);
                (added, true)
            }
        };
        if self.loaded.index.get(&run).is_none()
            && let Some(base) = self.base(&run)?
        {
            self.loaded.index.begin(&run, base, commit);
        }
        let known = self.loaded.index.get(&run);
        let (expected, settled) = known.map_or((0, 0), |live| (live.length().0, live.settled));
        if added.first.0 != expected {
            let detail = format!("commit {commit} continues at {}, but {expected} records are known", added.first);
            self.mark(&run, corrupt(&run, Some(added.first), detail));
        }
        if !is_whole {
            let detail = format!("a part of commit {commit} is missing");
            self.mark(&run, corrupt(&run, Some(added.first), detail));
        }
        // A corrupt run stays in the index, too: it holds its part of the log for whoever wants to mend it.
        let Added { status, fence, frame_bytes, dues, clears, .. } = added;
        let (mut dues, mut frame_bytes) = (dues.into_iter(), frame_bytes.into_iter());
        let (dues, frame_bytes) = (&mut dues, &mut frame_bytes);
        let new = NewRecords { commit, offset, status, fence, dues, clears: &clears, frame_bytes };
        if is_moved {
            // It carries all timers of the run, those of the settled part included.
            self.loaded.index.replace(&run, settled, new);
        } else {
            self.loaded.index.append(&run, new);
        }
        Ok(())
    }

    fn settled_through(&mut self, run: &RunId) -> Result<u64, StoreError> {
        if let Some(through) = self.settled_through.get(run) {
            return Ok(*through);
        }
        let through = match settled_header(self.disk, run) {
            Ok(header) => header.map_or(0, |header| header.through),
            Err(error @ StoreError::Corrupt { .. }) => {
                self.mark(run, error);
                0
            }
            Err(error) => return Err(error),
        };
        self.settled_through.insert(run.clone(), through);
        Ok(through)
    }

    /// The settled part of a run whose first log entry is met, if it has one.
    fn base(&mut self, run: &RunId) -> Result<Option<Base>, StoreError> {
        if self.left_over.contains(run) {
            return Ok(None);
        }
        match settled_base(self.disk, run) {
            Err(error @ StoreError::Corrupt { .. }) => {
                self.mark(run, error);
                Ok(None)
            }
            answer => answer,
        }
    }

    fn remove_left_over(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for run in &self.left_over {
            remove_settled(self.disk, &mut batch, run)?;
        }
        if self.left_over.is_empty() { Ok(()) } else { self.disk.apply(batch) }
    }

    /// The first thing that is found wrong with a run is what is told.
    fn mark(&mut self, run: &RunId, error: StoreError) {
        self.loaded.corrupt.entry(run.clone()).or_insert(error);
    }
}

fn frames_bytes(entry: &ReadEntry) -> u32 {
    match &entry.change {
        Change::Appended(added) | Change::Moved(added) => {
            added.frame_bytes.iter().fold(0, |sum: u32, bytes| sum.saturating_add(*bytes))
        }
        Change::Deleted => 0,
    }
}
