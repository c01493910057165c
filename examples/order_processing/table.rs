//! The order table in `SQLite`: the system of record. When it and anything else disagree, it is right.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, params};
use tokio::task::spawn_blocking;

use crate::errors::OrderError;
use crate::orders::{Cents, ChargeId};

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS orders (
        order_id    TEXT    NOT NULL PRIMARY KEY,
        user_id     TEXT    NOT NULL,
        total_cents INTEGER NOT NULL,
        charge_id   TEXT    NOT NULL UNIQUE,
        writes      INTEGER NOT NULL
    ) STRICT";

/// Writing a row again with the same content only counts up `writes`; with another content it changes nothing.
const UPSERT: &str = "
    INSERT INTO orders (order_id, user_id, total_cents, charge_id, writes) VALUES (?1, ?2, ?3, ?4, 1)
    ON CONFLICT (order_id) DO UPDATE SET writes = writes + 1
    WHERE user_id = excluded.user_id AND total_cents = excluded.total_cents AND charge_id = excluded.charge_id";

/// A paid order, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub order_id: String,
    pub user_id: String,
    pub total: Cents,
    pub charge: ChargeId,
}

/// The paid orders.
#[derive(Debug, Clone)]
pub struct OrderTable {
    connection: Arc<Mutex<Connection>>,
    latency: Duration,
}

impl OrderTable {
    /// It answers a write after `latency`: whoever crashes until then doesn't know that it was stored.
    pub fn open(path: &Path, latency: Duration) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), latency })
    }

    /// Stores a paid order; doing it again changes nothing.
    pub async fn save(&self, row: Row) -> Result<(), OrderError> {
        let table = self.clone();
        let contradiction = OrderError::Contradiction { order_id: row.order_id.clone(), charge: row.charge.clone() };
        let written = spawn_blocking(move || table.upsert(&row)).await;
        tokio::time::sleep(self.latency).await;
        match written.map_err(|error| error.to_string()).and_then(|written| written.map_err(|error| error.to_string()))
        {
            Ok(0) => Err(contradiction),
            Ok(_) => Ok(()),
            Err(reason) => Err(OrderError::Table { reason }),
        }
    }

    fn upsert(&self, row: &Row) -> rusqlite::Result<usize> {
        let values = params![row.order_id, row.user_id, row.total.0, row.charge.0];
        self.connection.lock().prepare_cached(UPSERT)?.execute(values)
    }

    /// How many orders are stored.
    pub fn count(&self) -> rusqlite::Result<u64> {
        self.connection.lock().prepare_cached("SELECT count(*) FROM orders")?.query_one([], |row| row.get(0))
    }

    /// How many times a row was written that was there already.
    pub fn repeated_writes(&self) -> rusqlite::Result<u64> {
        let connection = self.connection.lock();
        connection.query_one("SELECT coalesce(sum(writes - 1), 0) FROM orders", [], |row| row.get(0))
    }

    /// Every stored order, by id.
    pub fn rows(&self) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connection.lock();
        let mut query =
            connection.prepare("SELECT order_id, user_id, total_cents, charge_id FROM orders ORDER BY order_id")?;
        let rows = query.query_map([], |row| {
            Ok(Row {
                order_id: row.get(0)?,
                user_id: row.get(1)?,
                total: Cents(row.get(2)?),
                charge: ChargeId(row.get(3)?),
            })
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(charge: &str) -> Row {
        Row {
            order_id: "ord_abc123".into(),
            user_id: "user_42".into(),
            total: Cents(11_877),
            charge: ChargeId(charge.into()),
        }
    }

    #[tokio::test]
    async fn saving_an_order_twice_stores_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.db");
        for _ in 0..2 {
            OrderTable::open(&path, Duration::ZERO).unwrap().save(row("ch_1")).await.unwrap();
        }
        let table = OrderTable::open(&path, Duration::ZERO).unwrap();
        assert_eq!(table.rows().unwrap(), [row("ch_1")]);
        assert_eq!((table.count().unwrap(), table.repeated_writes().unwrap()), (1, 1));
    }

    #[tokio::test]
    async fn a_stored_order_is_never_overwritten_by_another_charge() {
        let folder = tempfile::tempdir().unwrap();
        let table = OrderTable::open(&folder.path().join("orders.db"), Duration::ZERO).unwrap();
        table.save(row("ch_1")).await.unwrap();
        let refused = table.save(row("ch_2")).await;
        assert!(matches!(refused, Err(OrderError::Contradiction { .. })), "{refused:?}");
        assert_eq!(table.rows().unwrap(), [row("ch_1")]);
    }
}
