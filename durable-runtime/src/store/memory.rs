//! [`MemoryStore`]: the contract in its simplest form, which every other store is compared with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Append, DueTimer, Refused, RunEnds, RunHead, RunStatus, Store, StoreError, StoredPart, StoredRun, count_that_fits,
};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};

/// Keeps journals in memory: nothing outlives the last clone.
///
/// Clones share their runs, so that dropping one handle and using another stands for "closed and opened
/// again". For tests, and the reference that [`Store`]'s contract is compared with.
///
/// ```
/// use durable_runtime::store::{MemoryStore, Store};
/// use durable_runtime::RunId;
/// assert_eq!(MemoryStore::default().head(&RunId::new("ord_abc123")?)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    runs: Arc<Mutex<Runs>>,
}

impl Store for MemoryStore {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let mut runs = self.runs.lock();
        Ok(appends.iter().map(|append| runs.append(append)).collect())
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        Ok(self.runs.lock().head(run))
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        Ok(self.runs.lock().read(run))
    }

    fn ends(&self, run: &RunId) -> Result<Option<RunEnds>, StoreError> {
        Ok(self.runs.lock().ends(run))
    }

    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        Ok(self.runs.lock().read_part(run, from, bytes_max))
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        Ok(self.runs.lock().list(status, after, limit))
    }

    fn corrupt(&self) -> Vec<StoreError> {
        Vec::new()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        Ok(self.runs.lock().due(now, limit))
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        Ok(self.runs.lock().delete(run))
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The state behind [`MemoryStore`]: the rules of the contract without anything that can fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(BTreeMap<RunId, Run>);

#[derive(Debug, Clone)]
struct Run {
    status: RunStatus,
    fence: Fence,
    frames: Vec<Vec<u8>>,
    dues: BTreeMap<Position, Timestamp>,
}

impl Run {
    fn length(&self) -> Position {
        Position(self.frames.len() as u64)
    }

    fn head(&self, run: &RunId) -> RunHead {
        RunHead { run: run.clone(), status: self.status, length: self.length(), fence: self.fence }
    }
}

impl Runs {
    pub(crate) fn append(&mut self, append: &Append) -> Result<(), Refused> {
        let known = self.0.get(&append.run);
        let found = known.map_or(Position(0), Run::length);
        let current = known.map_or(Fence(0), |run| run.fence);
        let is_new = known.is_none();
        let cannot_be = if append.records.is_empty() { is_new || append.replaces } else { is_new && append.replaces };
        if append.expected != found || cannot_be {
            return Err(Refused::WrongPosition { expected: append.expected, found });
        }
        if append.fence < current {
            return Err(Refused::StaleFence { given: append.fence, current });
        }
        let run = self.0.entry(append.run.clone()).or_insert_with(|| Run {
            status: append.status,
            fence: append.fence,
            frames: Vec::new(),
            dues: BTreeMap::new(),
        });
        if append.replaces {
            run.frames.clear();
            run.dues.clear();
        }
        for record in &append.records {
            if let Some(due) = record.due {
                run.dues.insert(run.length(), due);
            }
            run.frames.push(record.frame.clone());
        }
        for position in &append.clears {
            run.dues.remove(position);
        }
        run.status = append.status;
        run.fence = append.fence;
        Ok(())
    }

    pub(crate) fn head(&self, run: &RunId) -> Option<RunHead> {
        self.0.get(run).map(|known| known.head(run))
    }

    pub(crate) fn read(&self, run: &RunId) -> Option<StoredRun> {
        self.0.get(run).map(|known| StoredRun { head: known.head(run), frames: known.frames.clone() })
    }

    fn ends(&self, run: &RunId) -> Option<RunEnds> {
        let known = self.0.get(run)?;
        let (first, last) = (known.frames.first()?.clone(), known.frames.last()?.clone());
        Some(RunEnds { head: known.head(run), first, last })
    }

    pub(crate) fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Option<StoredPart> {
        let known = self.0.get(run)?;
        let from = usize::try_from(from.0).unwrap_or(usize::MAX).min(known.frames.len());
        let frames = &known.frames[from..];
        let count = count_that_fits(frames.iter().map(Vec::len), bytes_max);
        Some(StoredPart { head: known.head(run), frames: frames[..count].to_vec() })
    }

    pub(crate) fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Vec<RunHead> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.0
            .range::<RunId, _>((from, Bound::Unbounded))
            .filter(|(_, run)| status.is_none_or(|status| run.status == status))
            .take(limit)
            .map(|(id, run)| run.head(id))
            .collect()
    }

    pub(crate) fn due(&self, now: Timestamp, limit: usize) -> Vec<DueTimer> {
        let mut dues: Vec<DueTimer> = self
            .0
            .iter()
            .filter(|(_, run)| run.status == RunStatus::Suspended)
            .flat_map(|(id, run)| {
                let of_run = run.dues.iter().filter(|(_, due)| **due <= now);
                of_run.map(|(position, due)| DueTimer { due: *due, run: id.clone(), position: *position })
            })
            .collect();
        dues.sort_by(|a, b| (a.due, &a.run, a.position).cmp(&(b.due, &b.run, b.position)));
        dues.truncate(limit);
        dues
    }

    pub(crate) fn delete(&mut self, run: &RunId) -> bool {
        self.0.remove(run).is_some()
    }

    /// Of all frames.
    #[cfg(feature = "testing")]
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().flat_map(|run| &run.frames).map(|frame| frame.len() as u64).sum()
    }
}
