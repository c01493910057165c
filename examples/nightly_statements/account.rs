//! The world outside: an account, and its holder, who is sent statements.

use durable_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// An account. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Account(watch::Sender<Books>);

#[derive(Debug, Default)]
struct Books {
    /// What was paid in, and when.
    payments: Vec<(Timestamp, u64)>,
    /// What its holder was sent, each with its key.
    letters: Vec<(String, Statement)>,
}

/// What was in the account at a time, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub at: Timestamp,
    pub cents: u64,
}

impl Account {
    pub fn pay_in(&self, at: Timestamp, cents: u64) {
        self.0.send_modify(|books| books.payments.push((at, cents)));
    }

    /// What was in it then, whatever was paid in since.
    pub fn statement(&self, at: Timestamp) -> Statement {
        let books = self.0.borrow();
        let cents = books.payments.iter().filter(|(paid_at, _)| *paid_at <= at).map(|(_, cents)| cents).sum();
        Statement { at, cents }
    }

    /// A letter to its holder. One that is sent again under the same key does not come again.
    pub fn send(&self, key: &str, statement: Statement) {
        self.0.send_modify(|books| {
            if books.letters.iter().all(|(known, _)| known != key) {
                books.letters.push((key.to_owned(), statement));
            }
        });
    }

    /// Waits until its holder was sent the statements about those times.
    pub async fn sent(&self, times: &[Timestamp]) {
        let is_sent = |books: &Books, time| books.letters.iter().any(|(_, statement)| statement.at == time);
        drop(self.0.subscribe().wait_for(|books| times.iter().all(|time| is_sent(books, *time))).await);
    }

    /// What its holder was sent, by the time that it is about.
    pub fn statements(&self) -> Vec<Statement> {
        let mut statements: Vec<_> = self.0.borrow().letters.iter().map(|(_, statement)| *statement).collect();
        statements.sort_by_key(|statement| statement.at);
        statements
    }
}
