//! The world outside: a warehouse that packs what it is told, once for each key.

use std::collections::BTreeMap;
use std::sync::Arc;

use durable_runtime::Failure;
use parking_lot::Mutex;

/// A warehouse. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Warehouse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    packed: BTreeMap<String, u64>,
    calls: usize,
    is_closed: bool,
}

impl Warehouse {
    /// Its webhook: a call that is made again under the same key is done already.
    pub fn post(&self, key: &str, order: u64) -> Result<(), Failure> {
        let mut state = self.0.lock();
        state.calls += 1;
        if state.is_closed {
            return Err(Failure::new("503: closed"));
        }
        state.packed.insert(key.to_owned(), order);
        Ok(())
    }

    pub fn closes(&self) {
        self.0.lock().is_closed = true;
    }

    pub fn opens(&self) {
        self.0.lock().is_closed = false;
    }

    /// The orders that are packed.
    pub fn packed(&self) -> Vec<u64> {
        self.0.lock().packed.values().copied().collect()
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.0.lock().calls
    }
}
