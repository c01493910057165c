//! A bank's ledger in `SQLite`: the system of record for its accounts.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS accounts (name TEXT NOT NULL PRIMARY KEY, is_open INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS entries (
        id      TEXT    NOT NULL PRIMARY KEY,
        account TEXT    NOT NULL REFERENCES accounts (name),
        cents   INTEGER NOT NULL
    ) STRICT";

/// Why an entry was not posted, or why we don't know whether it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum LedgerError {
    /// Not posted: this very entry is in the books already.
    #[error("an entry with this id exists")]
    Exists,
    #[error("another entry with this id exists")]
    Contradiction,
    #[error("the account is closed")]
    Closed,
    #[error("the account has less than that")]
    InsufficientFunds,
    /// Posted or not: ask again with the same id.
    #[error("the ledger can't be reached: {reason}")]
    Unavailable { reason: String },
}

impl LedgerError {
    /// Whether the ledger has answered, and would answer the same again.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Exists | Self::Contradiction | Self::Closed | Self::InsufficientFunds => true,
            Self::Unavailable { .. } => false,
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

/// The books of a bank.
#[derive(Debug)]
pub struct Ledger {
    connection: Mutex<Connection>,
    latency: Duration,
}

impl Ledger {
    /// It answers after `latency`: whoever crashes until then doesn't know whether an entry was posted.
    pub fn open(path: &Path, latency: Duration) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection), latency })
    }

    /// Posts an entry to an account. An id is posted once; that it exists is told before anything else is looked at.
    pub async fn post(&self, id: &str, account: &str, cents: i64) -> Result<(), LedgerError> {
        let answer = self.post_now(id, account, cents);
        tokio::time::sleep(self.latency).await;
        answer
    }

    /// Without the time that the answer takes.
    pub fn post_now(&self, id: &str, account: &str, cents: i64) -> Result<(), LedgerError> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        let existing = transaction
            .prepare_cached("SELECT account, cents FROM entries WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        if let Some(existing) = existing {
            let is_same = existing == (account.to_owned(), cents);
            return Err(if is_same { LedgerError::Exists } else { LedgerError::Contradiction });
        }
        let is_open = transaction
            .prepare_cached("SELECT is_open FROM accounts WHERE name = ?1")?
            .query_row([account], |row| row.get(0))
            .optional()?;
        if is_open != Some(true) {
            return Err(LedgerError::Closed);
        }
        if cents < 0 && balance(&transaction, account)? + cents < 0 {
            return Err(LedgerError::InsufficientFunds);
        }
        transaction.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3)")?.execute(params![id, account, cents])?;
        Ok(transaction.commit()?)
    }

    /// Opens an account with a first deposit.
    pub fn open_account(&self, account: &str, cents: i64) -> rusqlite::Result<()> {
        let connection = self.connection.lock();
        connection.execute("INSERT INTO accounts VALUES (?1, TRUE)", [account])?;
        connection.execute("INSERT INTO entries VALUES ('opening ' || ?1, ?1, ?2)", params![account, cents])?;
        Ok(())
    }

    /// Nothing can be posted to a closed account.
    pub fn close_account(&self, account: &str) -> rusqlite::Result<()> {
        self.connection.lock().execute("UPDATE accounts SET is_open = FALSE WHERE name = ?1", [account]).map(|_| ())
    }

    /// What is in an account, in cents.
    pub fn balance(&self, account: &str) -> rusqlite::Result<i64> {
        balance(&self.connection.lock(), account)
    }

    /// What is in all accounts, in cents.
    pub fn total(&self) -> rusqlite::Result<i64> {
        self.connection.lock().query_one("SELECT coalesce(sum(cents), 0) FROM entries", [], |row| row.get(0))
    }

    /// Id, account and cents of every entry, in the order in which they were posted.
    pub fn entries(&self) -> rusqlite::Result<Vec<(String, String, i64)>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare("SELECT id, account, cents FROM entries ORDER BY rowid")?;
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }
}

fn balance(connection: &Connection, account: &str) -> rusqlite::Result<i64> {
    let mut query = connection.prepare_cached("SELECT coalesce(sum(cents), 0) FROM entries WHERE account = ?1")?;
    query.query_one([account], |row| row.get(0))
}
