//! The gateway's own books: what was charged, by which key. They survive the gateway.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::ChargeRequest;
use crate::append_log::AppendLog;
use crate::orders::{CARD_DECLINED, Cents, ChargeId};

/// One line of the ledger: how the first request with a key was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    pub order_id: String,
    pub card: String,
    pub amount: Cents,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Charged(ChargeId),
    Declined,
}

/// How a request relates to what is in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Now(Outcome),
    /// By an earlier request with the same key.
    Before(Outcome),
    /// The key was used for another request.
    KeyReused,
}

#[derive(Debug)]
pub(super) struct Ledger {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    log: AppendLog<Entry>,
    by_key: BTreeMap<String, Entry>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (log, entries) = AppendLog::<Entry>::open(path)?;
        let by_key = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        Ok(Self { books: Mutex::new(Books { log, by_key }) })
    }

    /// Charges or declines a card, once per key. What is returned is on disk.
    pub(super) fn settle(&self, key: &str, request: &ChargeRequest) -> io::Result<Settled> {
        // Held across look-up and append: two requests with one key must not both find it unused.
        let mut books = self.books.lock();
        if let Some(entry) = books.by_key.get(key) {
            return Ok(if entry.is_for(request) { Settled::Before(entry.outcome.clone()) } else { Settled::KeyReused });
        }
        let outcome = if request.card == CARD_DECLINED {
            Outcome::Declined
        } else {
            Outcome::Charged(ChargeId(format!("ch_{:06}", books.by_key.len() + 1)))
        };
        let ChargeRequest { order_id, card, amount } = request.clone();
        let entry = Entry { key: key.to_owned(), order_id, card, amount, outcome: outcome.clone() };
        books.log.append(&entry)?;
        books.by_key.insert(entry.key.clone(), entry);
        Ok(Settled::Now(outcome))
    }
}

impl Entry {
    fn is_for(&self, request: &ChargeRequest) -> bool {
        (&self.order_id, &self.card, self.amount) == (&request.order_id, &request.card, request.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::CARD_ACCEPTED;

    fn request(card: &str, amount: u64) -> ChargeRequest {
        ChargeRequest { order_id: "ord_abc123".into(), card: card.into(), amount: Cents(amount) }
    }

    #[test]
    fn a_key_charges_once_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let settle = |key: &str| Ledger::open(&path).unwrap().settle(key, &request(CARD_ACCEPTED, 100)).unwrap();
        let charged = |id: &str| Outcome::Charged(ChargeId(id.into()));
        assert_eq!(settle("a"), Settled::Now(charged("ch_000001")));
        assert_eq!(settle("a"), Settled::Before(charged("ch_000001")));
        assert_eq!(settle("b"), Settled::Now(charged("ch_000002")));
    }

    #[test]
    fn a_declined_card_stays_declined_and_a_reused_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger")).unwrap();
        assert_eq!(ledger.settle("a", &request(CARD_DECLINED, 100)).unwrap(), Settled::Now(Outcome::Declined));
        assert_eq!(ledger.settle("a", &request(CARD_DECLINED, 100)).unwrap(), Settled::Before(Outcome::Declined));
        assert_eq!(ledger.settle("a", &request(CARD_DECLINED, 101)).unwrap(), Settled::KeyReused);
        assert_eq!(ledger.settle("a", &request(CARD_ACCEPTED, 100)).unwrap(), Settled::KeyReused);
    }
}
