//! Timers: the index has those of live runs, and keys of their own lead to those of settled ones.

use ::sled::IVec;

use super::layout::{DUE, parse_due_key};
use super::write::Chores;
use super::{State, read};
use crate::clock::Timestamp;
use crate::id::{Position, RunId};
use crate::store::{DueTimer, RunStatus, StoreError};

/// How many keys that lead to nothing are remembered until somebody tidies; more are met again.
const STALE_MAX: usize = 1_000;

impl State {
    /// The timers of suspended runs that are due by then, in order, `limit` at most (S10).
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        let mut live = self.index.due(now).filter(|timer| !self.is_corrupt(&timer.run)).peekable();
        let mut settled = self.settled_due(now).peekable();
        let mut timers = Vec::new();
        while timers.len() < limit {
            let order = |timer: &DueTimer| (timer.due, timer.run.clone(), timer.position);
            let next = match (live.peek(), settled.peek()) {
                (Some(first), Some(Ok(other))) if order(first) < order(other) => live.next(),
                (_, Some(_)) => settled.next().transpose()?,
                (_, None) => live.next(),
            };
            let Some(timer) = next else { break };
            timers.push(timer);
        }
        Ok(timers)
    }

    fn settled_due(&self, now: Timestamp) -> impl Iterator<Item = Result<DueTimer, StoreError>> {
        let is_later =
            move |key: &[u8]| key.strip_prefix(DUE).is_some_and(|key| key.get(..8) > Some(&now.0.to_be_bytes()));
        let keys = self.disk.scan_prefix(DUE).map(|item| item.map(|(key, _)| key));
        let keys = keys.take_while(move |key| !matches!(key, Ok(key) if is_later(key)));
        keys.flat_map(|key| {
            let timers = key.and_then(|key| self.timers_at(&key));
            let (timers, error) = timers.map_or_else(|error| (Vec::new(), Some(Err(error))), |timers| (timers, None));
            timers.into_iter().map(Ok).chain(error)
        })
    }

    /// The timers that a key leads to: none if it is damaged or left over, or if its run is corrupt or live.
    fn timers_at(&self, key: &IVec) -> Result<Vec<DueTimer>, StoreError> {
        let parsed = parse_due_key(key);
        // What the index has is newer.
        if parsed.as_ref().is_some_and(|(_, run)| self.index.get(run).is_some() || self.is_corrupt(run)) {
            return Ok(Vec::new());
        }
        let positions = match &parsed {
            None => Vec::new(),
            Some((due, run)) => match self.noted(self.settled_positions(*due, run)) {
                Err(StoreError::Corrupt { .. }) => return Ok(Vec::new()),
                positions => positions?,
            },
        };
        if positions.is_empty() {
            let mut stale = self.stale.lock();
            if stale.len() < STALE_MAX {
                stale.insert(key.to_vec());
            }
        }
        let timers = parsed.into_iter().flat_map(|(due, run)| {
            positions.iter().map(move |position| DueTimer { due, run: run.clone(), position: *position })
        });
        Ok(timers.collect())
    }

    /// The records of a settled run that are due at that time, in order, if it is suspended.
    fn settled_positions(&self, due: Timestamp, run: &RunId) -> Result<Vec<Position>, StoreError> {
        let base = read::settled_base(&self.disk, run)?.filter(|base| base.status == RunStatus::Suspended);
        let dues = base.map(|base| base.dues).unwrap_or_default();
        let mut positions: Vec<Position> =
            dues.into_iter().filter(|(_, at)| *at == due).map(|(position, _)| position).collect();
        positions.sort_unstable();
        Ok(positions)
    }

    /// Removes the keys that were met and lead to nothing. Only the thread that writes calls this: nobody else makes keys.
    pub(super) fn remove_stale(&self, chores: &mut Chores) -> Result<(), StoreError> {
        for key in std::mem::take(&mut *self.stale.lock()) {
            let is_stale = match parse_due_key(&key) {
                None => true,
                Some((_, run)) if self.index.get(&run).is_some() => false,
                Some((due, run)) => match self.settled_positions(due, &run) {
                    Err(StoreError::Corrupt { .. }) => false,
                    positions => positions?.is_empty(),
                },
            };
            if is_stale {
                chores.batch.remove(key);
                chores.stale += 1;
            }
        }
        Ok(())
    }
}
