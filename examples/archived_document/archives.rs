//! Archives, and an author who is told. All of them know who asks by an id, so that being told twice is being told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why an archive has no copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ArchiveError {
    #[error("the archive is full")]
    Full,
    #[error("the copy is not what was sent")]
    Damaged,
}

impl ArchiveError {
    /// Whether it would be the same again.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Damaged => false,
        }
    }
}

/// A place where copies are kept.
#[derive(Debug)]
pub struct Archive {
    name: String,
    latency: Duration,
    is_full: bool,
    copies: Mutex<BTreeMap<String, String>>,
}

impl Archive {
    /// It keeps what it gets, and its answer takes so long.
    pub fn new(name: &str, latency: Duration) -> Self {
        Self { name: name.to_owned(), latency, is_full: false, copies: Mutex::default() }
    }

    /// An archive without a place for anything.
    pub fn full(name: &str) -> Self {
        Self { is_full: true, ..Self::new(name, Duration::ZERO) }
    }

    pub async fn store(&self, id: &str, text: &str) -> Result<(), ArchiveError> {
        tokio::time::sleep(self.latency).await;
        if self.is_full {
            return Err(ArchiveError::Full);
        }
        self.copies.lock().insert(id.to_owned(), text.to_owned());
        Ok(())
    }

    /// Whether the copy is what was sent.
    pub fn compare(&self, id: &str, text: &str) -> Result<(), ArchiveError> {
        match self.copies.lock().get(id) {
            Some(copy) if copy == text => Ok(()),
            Some(_) | None => Err(ArchiveError::Damaged),
        }
    }
}

/// What the author was told: how many places have the document, and how many of these had it at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub places: usize,
    pub with_copy: usize,
}

/// All archives, and the author. Clones share them.
#[derive(Debug, Clone)]
pub struct Archives {
    archives: Arc<Vec<Archive>>,
    author: Arc<Mutex<BTreeMap<String, Told>>>,
}

impl Archives {
    pub fn new(archives: impl IntoIterator<Item = Archive>) -> Self {
        Self { archives: Arc::new(archives.into_iter().collect()), author: Arc::default() }
    }

    pub fn names(&self) -> Vec<String> {
        self.archives.iter().map(|archive| archive.name.clone()).collect()
    }

    /// The archive with this name.
    pub fn of(&self, name: &str) -> &Archive {
        self.archives.iter().find(|archive| archive.name == name).expect("documents name archives that there are")
    }

    /// Where a copy is.
    pub fn with_copy(&self) -> Vec<String> {
        let with_copy = self.archives.iter().filter(|archive| !archive.copies.lock().is_empty());
        with_copy.map(|archive| archive.name.clone()).collect()
    }

    /// Tells the author, once.
    pub fn tell(&self, id: &str, places: &[String]) {
        let with_copy = self.with_copy().iter().filter(|name| places.contains(name)).count();
        self.author.lock().entry(id.to_owned()).or_insert(Told { places: places.len(), with_copy });
    }

    /// What the author was told.
    pub fn told(&self) -> Vec<Told> {
        self.author.lock().values().cloned().collect()
    }
}
