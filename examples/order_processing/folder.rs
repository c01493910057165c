//! Where the files are: one folder holds everything one demonstration leaves behind.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The state of the worker, the gateway, the table and the queue.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// An existing folder.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A folder that is made if it is missing, with what is in it.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self::at(path))
    }

    /// Deletes what is in the folder.
    pub fn create_empty(path: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Self::create(path),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The library's journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("orders.durable")
    }

    /// The gateway's books.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("gateway_ledger.jsonl")
    }

    /// The system of record.
    pub fn table(&self) -> PathBuf {
        self.0.join("orders.sqlite")
    }

    /// The confirmations.
    pub fn queue(&self) -> PathBuf {
        self.0.join("confirmations.jsonl")
    }

    /// Which step was executed when.
    pub fn executions(&self) -> PathBuf {
        self.0.join("executions.jsonl")
    }

    /// What the workers had to say.
    pub fn worker_log(&self) -> PathBuf {
        self.0.join("worker.log")
    }
}
