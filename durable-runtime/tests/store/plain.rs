//! A store with the required methods only passes the conformance suite: the others are right as they are given.

use std::sync::Arc;

use durable_runtime::store::{Append, DueTimer, MemoryStore, Refused, RunHead, Store, StoreError, StoredRun};
use durable_runtime::testing::conformance::StoreHarness;
use durable_runtime::{RunId, RunStatus, Timestamp};

#[derive(Debug, Clone, Default)]
struct Plain(MemoryStore);

impl Store for Plain {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.0.commit(appends)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.0.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.0.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.0.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.0.corrupt()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.0.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.0.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.0.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.0.compact()
    }
}

impl StoreHarness for Plain {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }
}

durable_runtime::store_conformance!(Plain::default());
