//! The world outside: a customs office, which is slow and strict.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;

/// How many calls may be open at once.
pub const CALLS_MAX: usize = 3;

/// Whoever had more calls open than may be is not answered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("barred: there were more than {CALLS_MAX} calls at once")]
pub struct Barred;

/// A customs office. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Customs(watch::Sender<Books>);

/// What it knows.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The key of each call, also of one that was made again, in that order.
    pub calls: Vec<String>,
    /// The duty on each parcel that is cleared, by the key of its call.
    pub cleared: BTreeMap<String, u64>,
    /// What each importer owes.
    pub owed: BTreeMap<String, u64>,
    open: BTreeSet<String>,
    /// Those of the open calls that are to be answered now.
    answered: BTreeSet<String>,
    answers_at_once: bool,
    has_barred: bool,
}

/// A call, until it is answered or the caller hangs up.
struct Call<'a> {
    customs: &'a Customs,
    key: &'a str,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.customs.0.send_modify(|books| {
            books.open.remove(self.key);
        });
    }
}

impl Customs {
    /// Declares a parcel, which is done once for each key.
    ///
    /// What the importer owes is looked up when the call comes and written down when it is answered: of two calls for one importer at
    /// once, one would be forgotten.
    pub async fn declare(&self, key: &str, importer: &str, duty: u64) -> Result<(), Barred> {
        let mut owed = 0;
        self.0.send_modify(|books| {
            books.calls.push(key.to_owned());
            books.open.insert(key.to_owned());
            books.has_barred |= books.open.len() > CALLS_MAX;
            owed = books.owed.get(importer).copied().unwrap_or_default();
        });
        let call = Call { customs: self, key };
        let is_answered = |books: &Books| books.answers_at_once || books.answered.contains(call.key);
        // Nothing else sends: the office is there as long as its caller.
        drop(self.0.subscribe().wait_for(is_answered).await);
        let mut answer = Ok(());
        self.0.send_modify(|books| {
            if books.has_barred {
                answer = Err(Barred);
            } else if !books.cleared.contains_key(key) {
                books.cleared.insert(key.to_owned(), duty);
                books.owed.insert(importer.to_owned(), owed + duty);
            }
        });
        answer
    }

    /// Answers the calls that are open.
    pub fn answers(&self) {
        self.0.send_modify(|books| books.answered.extend(books.open.iter().cloned()));
    }

    /// Answers all calls at once, from now on.
    pub fn answers_at_once(&self) {
        self.0.send_modify(|books| books.answers_at_once = true);
    }

    /// Waits until there were so many calls.
    pub async fn called(&self, calls: usize) {
        drop(self.0.subscribe().wait_for(|books| books.calls.len() >= calls).await);
    }

    pub fn books(&self) -> Books {
        self.0.borrow().clone()
    }
}
