//! [`LossyStore`]: fails, and forgets, on command.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::clock::Timestamp;
use crate::id::RunId;
use crate::store::{Append, DueTimer, Refused, RunHead, RunStatus, Runs, Store, StoreError, StoredRun};

/// What goes wrong with one commit of a [`LossyStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fails, and nothing of it will be found.
    FailBefore,
    /// Fails, although all of it will be found: the disk took it, and only the answer was lost.
    FailAfter,
    /// Fails with [`ErrorKind::StorageFull`], and nothing of it will be found.
    DiskFull,
    /// Is acknowledged without being synced: the next power cut takes it, unless a later commit is synced.
    SkipSync,
}

/// A store in memory with a disk that can lose what was not synced, and with commits that fail as scripted.
///
/// By itself it keeps the contract. [`power_cut`](Self::power_cut) and [`reopen`](Self::reopen) end the life of every
/// handle, as the end of a process does, and give the next process's.
///
/// ```
/// use durable_runtime::store::Store;
/// use durable_runtime::testing::{Fault, LossyStore};
/// # use durable_runtime::{Fence, Position, RunId, RunStatus, store::{Append, Record}};
/// # let record = Record { frame: Vec::new(), due: None };
/// # let create = Append {
/// #     run: RunId::new("ord_abc123")?, expected: Position(0), fence: Fence(1), records: vec![record],
/// #     clears: Vec::new(), status: RunStatus::Running,
/// # };
/// let store = LossyStore::default();
/// store.on_commit(1, Fault::SkipSync);
/// assert!(store.commit(&[create.clone()]).is_ok());
/// let store = store.power_cut();
/// assert_eq!(store.head(&create.run)?, None, "acknowledged, and lost");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LossyStore {
    shared: Arc<Mutex<Shared>>,
    /// The life this handle belongs to.
    life: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// What the process sees.
    written: Runs,
    /// What a power cut leaves.
    synced: Runs,
    /// What leads from the one to the other, in order.
    unsynced: Vec<Write>,
    life: u64,
    commits: u64,
    faults: BTreeMap<u64, Fault>,
    skips_all_syncs: bool,
    /// The first failure of this life.
    broken: Option<String>,
}

#[derive(Debug)]
enum Write {
    Append(Append),
    Delete(RunId),
}

impl LossyStore {
    /// Lets the `number`-th commit fail; the first since the store was made is 1, and reopening does not start anew.
    /// Every call of [`Store::commit`] counts, failed ones included.
    pub fn on_commit(&self, number: u64, fault: Fault) {
        self.shared.lock().faults.insert(number, fault);
    }

    /// From now on commits are acknowledged without being synced, in all lives to come.
    pub fn stop_syncing(&self) {
        self.shared.lock().skips_all_syncs = true;
    }

    /// How often [`Store::commit`] was called, in all lives.
    pub fn commits(&self) -> u64 {
        self.shared.lock().commits
    }

    /// Cuts the power: what was written since the last sync is gone. Gives the store as it is opened after that.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        let mut shared = self.shared.lock();
        shared.written = shared.synced.clone();
        shared.unsynced.clear();
        self.next_life(shared)
    }

    /// Ends the process, by whatever means: what was written is kept. Gives the store as it is opened after that.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.next_life(self.shared.lock())
    }

    fn next_life(&self, mut shared: MutexGuard<'_, Shared>) -> Self {
        shared.life += 1;
        shared.broken = None;
        Self { shared: self.shared.clone(), life: shared.life }
    }

    /// The state, if this handle's process still lives.
    fn alive(&self) -> Result<MutexGuard<'_, Shared>, StoreError> {
        let shared = self.shared.lock();
        if shared.life == self.life {
            return Ok(shared);
        }
        Err(io(ErrorKind::BrokenPipe, "the process that had opened the store is gone"))
    }

    fn writable(&self) -> Result<MutexGuard<'_, Shared>, StoreError> {
        let shared = self.alive()?;
        match &shared.broken {
            Some(first) => Err(StoreError::Broken { first: first.clone() }),
            None => Ok(shared),
        }
    }
}

impl Shared {
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.broken = Some(error.to_string());
        error
    }

    fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            // The same writes in the same order have the same outcome.
            match write {
                Write::Append(append) => drop(self.synced.append(&append)),
                Write::Delete(run) => drop(self.synced.delete(&run)),
            }
        }
    }
}

fn io(kind: ErrorKind, message: &str) -> StoreError {
    StoreError::Io { operation: "a scripted commit".to_owned(), source: Arc::new(Error::new(kind, message)) }
}

impl Store for LossyStore {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.alive()?.commits += 1;
        let mut shared = self.writable()?;
        let number = shared.commits;
        let fault = shared.faults.remove(&number);
        match fault {
            Some(Fault::FailBefore) => return Err(shared.fail(io(ErrorKind::Other, "the disk took nothing"))),
            Some(Fault::DiskFull) => return Err(shared.fail(io(ErrorKind::StorageFull, "no space left on device"))),
            Some(Fault::FailAfter | Fault::SkipSync) | None => {}
        }
        let answers: Vec<_> = appends.iter().map(|append| shared.written.append(append)).collect();
        shared.unsynced.extend(appends.iter().cloned().map(Write::Append));
        if fault != Some(Fault::SkipSync) && !shared.skips_all_syncs {
            shared.sync();
        }
        if fault == Some(Fault::FailAfter) {
            return Err(shared.fail(io(ErrorKind::Other, "the disk took it, and the answer was lost")));
        }
        Ok(answers)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        Ok(self.alive()?.written.head(run))
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        Ok(self.alive()?.written.read(run))
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        Ok(self.alive()?.written.list(status, after, limit))
    }

    fn corrupt(&self) -> Vec<StoreError> {
        Vec::new()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        Ok(self.alive()?.written.due(now, limit))
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        let mut shared = self.writable()?;
        let is_known = shared.written.delete(run);
        shared.unsynced.push(Write::Delete(run.clone()));
        if !shared.skips_all_syncs {
            shared.sync();
        }
        Ok(is_known)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.writable().map(|_| false)
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.writable().map(drop)
    }
}
