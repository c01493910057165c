//! A store that acknowledges before it has written: the mistake that the trial must notice.

use durable_runtime::store::{Append, DueTimer, Refused, RunHead, RunStatus, SledStore, Store, StoreError, StoredRun};
use durable_runtime::{Position, RunId, Timestamp};
use parking_lot::Mutex;

/// How many acknowledged appends are held back.
const HELD_BACK_MAX: usize = 64;

/// Says `Ok` to appends and writes them a little later.
#[derive(Debug)]
pub(crate) struct Forgetful {
    store: SledStore,
    held_back: Mutex<Vec<Append>>,
}

impl Forgetful {
    pub(crate) fn new(store: SledStore) -> Self {
        Self { store, held_back: Mutex::default() }
    }

    /// Everything that was acknowledged is written at last, so that within one life nobody can tell.
    fn written(&self) -> Result<&SledStore, StoreError> {
        let mut held_back = self.held_back.lock();
        if !held_back.is_empty() {
            self.store.commit(&held_back)?;
            held_back.clear();
        }
        Ok(&self.store)
    }
}

impl Store for Forgetful {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let is_full = self.held_back.lock().len() + appends.len() > HELD_BACK_MAX;
        // Only the store knows whether a run exists already.
        if is_full || appends.iter().any(|append| append.expected == Position(0)) {
            return self.written()?.commit(appends);
        }
        self.held_back.lock().extend_from_slice(appends);
        Ok(vec![Ok(()); appends.len()])
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.written()?.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.written()?.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.written()?.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.store.corrupt()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.written()?.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.written()?.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.store.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.written()?.compact()
    }
}
