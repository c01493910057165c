//! The world outside: who gets letters, and pays when there were enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// A customer. Clones share what was sent.
#[derive(Debug, Clone)]
pub struct Customer {
    /// By idempotency key: a letter that is sent twice under one key comes once.
    letters: Arc<Mutex<BTreeMap<String, (usize, String)>>>,
    pays_after: usize,
}

impl Customer {
    /// One who pays when so many letters have come.
    pub fn paying_after(pays_after: usize) -> Self {
        Self { letters: Arc::default(), pays_after }
    }

    /// A letter comes.
    pub fn send(&self, key: &str, letter: &str) {
        let mut letters = self.letters.lock();
        let nth = letters.len();
        letters.entry(key.to_owned()).or_insert_with(|| (nth, letter.to_owned()));
    }

    /// Whether the customer has paid.
    pub fn has_paid(&self) -> bool {
        self.letters.lock().len() >= self.pays_after
    }

    /// What was sent, in that order.
    pub fn letters(&self) -> Vec<String> {
        let mut letters: Vec<_> = self.letters.lock().values().cloned().collect();
        letters.sort();
        letters.into_iter().map(|(_, letter)| letter).collect()
    }
}
