//! `MemoryStore` passes the conformance suite.

use std::sync::Arc;

use durable_runtime::store::{MemoryStore, Store};
use durable_runtime::testing::conformance::StoreHarness;

struct Memory(MemoryStore);

impl StoreHarness for Memory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
}

durable_runtime::store_conformance!(Memory(MemoryStore::default()));
