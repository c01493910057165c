//! What the outside world has seen: the gateway's ledger, the table and the queue. The journal is not asked.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use crate::append_log::Tail;
use crate::folder::Folder;
use crate::gateway::{Entry, Outcome};
use crate::queue::Confirmation;
use crate::table::OrderTable;

/// The outside records, as of the last look.
#[derive(Debug)]
pub struct Records {
    pub ledger: Vec<Entry>,
    pub confirmations: Vec<Confirmation>,
    pub table: OrderTable,
    ledger_tail: Tail<Entry>,
    queue_tail: Tail<Confirmation>,
    confirmed: BTreeSet<String>,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub charged: u64,
    pub declined: u64,
    pub stored: u64,
    /// Confirmations with different keys.
    pub confirmed: u64,
}

impl Records {
    pub fn open(folder: &Folder) -> rusqlite::Result<Self> {
        Ok(Self {
            ledger: Vec::new(),
            confirmations: Vec::new(),
            table: OrderTable::open(&folder.table(), Duration::ZERO)?,
            ledger_tail: Tail::new(&folder.ledger()),
            queue_tail: Tail::new(&folder.queue()),
            confirmed: BTreeSet::new(),
        })
    }

    /// Looks at everything that is new.
    pub fn refresh(&mut self) -> Result<Counts, Box<dyn Error>> {
        self.ledger.extend(self.ledger_tail.read_new()?);
        let new = self.queue_tail.read_new()?;
        self.confirmed.extend(new.iter().map(|confirmation| confirmation.key.clone()));
        self.confirmations.extend(new);
        let declined = self.ledger.iter().filter(|entry| entry.outcome == Outcome::Declined).count() as u64;
        Ok(Counts {
            charged: self.ledger.len() as u64 - declined,
            declined,
            stored: self.table.count()?,
            confirmed: self.confirmed.len() as u64,
        })
    }
}

impl Counts {
    /// All records together: one for a declined order, three for a paid one.
    pub fn records(self) -> u64 {
        self.charged + self.declined + self.stored + self.confirmed
    }

    /// The orders of which nothing is left to be seen.
    pub fn orders_done(self) -> u64 {
        self.declined + self.confirmed
    }
}
