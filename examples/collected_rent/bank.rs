//! The world outside: a bank that takes money from an account, once for each key.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// A bank. Clones share what was paid.
#[derive(Debug, Clone, Default)]
pub struct Bank {
    payments: Arc<Mutex<BTreeMap<String, (usize, u64)>>>,
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub key: String,
    pub cents: u64,
}

impl Bank {
    /// Takes the money. If that was asked for under the same key before, it is done already.
    pub fn debit(&self, key: &str, cents: u64) {
        let mut payments = self.payments.lock();
        let nth = payments.len();
        payments.entry(key.to_owned()).or_insert((nth, cents));
    }

    /// What was paid, in that order.
    pub fn payments(&self) -> Vec<Payment> {
        let payments = self.payments.lock();
        let mut payments: Vec<_> = payments.iter().map(|(key, (nth, cents))| (*nth, key.clone(), *cents)).collect();
        payments.sort();
        payments.into_iter().map(|(_, key, cents)| Payment { key, cents }).collect()
    }
}
