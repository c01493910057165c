//! The world outside: who gets letters, and what is paid.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// An office. Clones share what happened in it.
#[derive(Debug, Clone, Default)]
pub struct Office {
    events: Arc<Mutex<Events>>,
}

/// By idempotency key: what is done twice under one key is done once.
#[derive(Debug, Default)]
struct Events {
    letters: BTreeMap<String, (usize, String)>,
    payments: BTreeMap<String, u64>,
}

impl Office {
    /// A letter comes.
    pub fn send(&self, key: &str, letter: &str) {
        let mut events = self.events.lock();
        let nth = events.letters.len();
        events.letters.entry(key.to_owned()).or_insert_with(|| (nth, letter.to_owned()));
    }

    /// Money goes out.
    pub fn pay(&self, key: &str, cents: u64) {
        self.events.lock().payments.insert(key.to_owned(), cents);
    }

    /// What was sent, in that order.
    pub fn letters(&self) -> Vec<String> {
        let mut letters: Vec<_> = self.events.lock().letters.values().cloned().collect();
        letters.sort();
        letters.into_iter().map(|(_, letter)| letter).collect()
    }

    /// How often was paid.
    pub fn payments(&self) -> usize {
        self.events.lock().payments.len()
    }
}
