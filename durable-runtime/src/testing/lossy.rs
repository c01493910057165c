//! [`LossyStore`]: fails, waits, fills up and forgets, on command.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::id::{Position, RunId};
use crate::store::{Append, DueTimer, Refused, RunHead, RunStatus, Runs, Store, StoreError, StoredPart, StoredRun};

/// A method of [`Store`] that can fail: what a [`LossyStore`] counts, lets fail and lets wait.
///
/// ```
/// use durable_runtime::testing::{Call, LossyStore};
/// assert!(Call::ALL.iter().all(|call| LossyStore::default().calls(*call) == 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Store::commit`].
    Commit,
    /// [`Store::head`].
    Head,
    /// [`Store::read`].
    Read,
    /// [`Store::list`].
    List,
    /// [`Store::due`].
    Due,
    /// [`Store::delete`].
    Delete,
    /// [`Store::tidy`].
    Tidy,
    /// [`Store::compact`].
    Compact,
}

impl Call {
    /// All of them, for sweeps.
    pub const ALL: [Self; 8] =
        [Self::Commit, Self::Head, Self::Read, Self::List, Self::Due, Self::Delete, Self::Tidy, Self::Compact];

    /// Whether a failure leaves unknown what reached the disk, so that the store is broken from then on. A compaction
    /// that failed leaves the old state in use (S13).
    fn breaks(self) -> bool {
        match self {
            Self::Commit | Self::Delete | Self::Tidy => true,
            Self::Head | Self::Read | Self::List | Self::Due | Self::Compact => false,
        }
    }

    fn writes(self) -> bool {
        self.breaks() || self == Self::Compact
    }
}

/// What goes wrong with one call of a [`LossyStore`].
///
/// A [commit](Call::Commit), a [deletion](Call::Delete) and [tidying](Call::Tidy) that failed break the store: until it is
/// opened anew it answers what writes with [`StoreError::Broken`]. What reads goes on, and so does everything after a
/// [compaction](Call::Compact) that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fails with [`StoreError::Io`], and nothing of it will be found.
    FailBefore,
    /// Fails with [`StoreError::Io`], although all of it will be found: the disk took it, and only the answer was lost.
    /// What reads can't tell this from [`FailBefore`](Self::FailBefore).
    FailAfter,
    /// Fails with [`ErrorKind::StorageFull`], and nothing of it will be found.
    DiskFull,
    /// The disk took only the beginning of a commit: it fails, and of its appends the first so many will be found, each
    /// of them whole (S1). Any other call fails before it has done anything.
    Torn {
        /// How many.
        appends: usize,
    },
    /// A commit or a deletion is acknowledged without being synced: the next power cut takes it, unless something later
    /// is synced. Nothing happens to any other call.
    SkipSync,
}

/// A store in memory with a disk that can lose what was not synced, that can fill up, and with calls that fail and wait
/// as scripted.
///
/// By itself it keeps the contract. [`power_cut`](Self::power_cut) and [`reopen`](Self::reopen) end the life of every
/// handle, as the end of a process does, and give the next process's.
///
/// ```
/// use durable_runtime::store::Store;
/// use durable_runtime::testing::{Call, Fault, LossyStore};
/// # use durable_runtime::{Fence, Position, RunId, RunStatus, store::{Append, Record}};
/// # let record = Record { frame: b"four".to_vec(), due: None };
/// # let create = Append {
/// #     run: RunId::new("ord_abc123")?, expected: Position(0), fence: Fence(1), records: vec![record],
/// #     replaces: false, clears: Vec::new(), status: RunStatus::Running,
/// # };
/// let store = LossyStore::default();
/// store.on(Call::Commit, 1, Fault::SkipSync);
/// assert!(store.commit(&[create.clone()]).is_ok());
/// let store = store.power_cut();
/// assert_eq!(store.head(&create.run)?, None, "acknowledged, and lost");
///
/// store.on(Call::Commit, 2, Fault::FailAfter);
/// assert!(store.commit(&[create.clone()]).is_err());
/// let store = store.reopen();
/// assert!(store.head(&create.run)?.is_some(), "not acknowledged, and found");
///
/// let other = Append { run: RunId::new("ord_xyz789")?, ..create };
/// store.limit_bytes(7); // there are 4 bytes of frames, and this would be 4 more
/// assert!(store.commit(&[other]).is_err(), "the disk is full");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LossyStore {
    disk: Arc<Disk>,
    /// The life this handle belongs to.
    life: u64,
}

#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    /// Some gate was opened, or a life ended.
    opened: Condvar,
    /// A call came to a gate.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the process sees.
    written: Runs,
    /// What a power cut leaves.
    synced: Runs,
    /// What leads from the one to the other, in order.
    unsynced: Vec<Write>,
    life: u64,
    calls: BTreeMap<Call, u64>,
    faults: BTreeMap<(Call, u64), Fault>,
    /// How many gates each call has, in this life.
    gates: BTreeMap<Call, usize>,
    /// How many calls wait.
    waiting: BTreeMap<Call, usize>,
    skips_all_syncs: bool,
    bytes_max: Option<u64>,
    /// The first failure of this life.
    broken: Option<String>,
}

#[derive(Debug)]
enum Write {
    Append(Append),
    Delete(RunId),
}

impl LossyStore {
    /// Lets the `number`-th call of this method fail; the first since the store was made is 1, and reopening does not
    /// start anew. Every call counts, failed ones included, but none of a handle whose life is over.
    pub fn on(&self, call: Call, number: u64, fault: Fault) {
        self.disk.state.lock().faults.insert((call, number), fault);
    }

    /// How often the method was called, in all lives.
    pub fn calls(&self, call: Call) -> u64 {
        self.disk.state.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// Lets all calls of this method wait, from now on until the gate is dropped or this life ends.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use durable_runtime::{Context, Runtime, durable};
    /// use durable_runtime::testing::{Call, LossyStore};
    ///
    /// #[durable]
    /// async fn held_up(_ctx: Context) {}
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = LossyStore::default();
    /// let runtime = Runtime::builder().open_store(Arc::new(store.clone())).await?;
    /// let gate = store.hold(Call::Commit);
    /// let mut starting = runtime.start("r", held_up, ()).into_future();
    /// tokio::select! {
    ///     _ = &mut starting => unreachable!("it is acknowledged when it is durable"),
    ///     () = gate.arrived() => {}
    /// }
    /// drop(gate);
    /// starting.await?.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold(&self, call: Call) -> Gate {
        *self.disk.state.lock().gates.entry(call).or_default() += 1;
        Gate { disk: Arc::clone(&self.disk), life: self.life, call }
    }

    /// From now on commits and deletions are acknowledged without being synced, in all lives to come.
    pub fn stop_syncing(&self) {
        self.disk.state.lock().skips_all_syncs = true;
    }

    /// From now on, in all lives to come, the disk has room for so many bytes of frames: a commit that needs more fails
    /// like [`Fault::DiskFull`]. Deleting runs makes room, and so does [replacing](Append::replaces) them by less.
    pub fn limit_bytes(&self, bytes: u64) {
        self.disk.state.lock().bytes_max = Some(bytes);
    }

    /// Cuts the power: what was written since the last sync is gone. Gives the store as it is opened after that.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        let mut state = self.disk.state.lock();
        state.written = state.synced.clone();
        state.unsynced.clear();
        self.next_life(state)
    }

    /// Ends the process, by whatever means: what was written is kept. Gives the store as it is opened after that.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.next_life(self.disk.state.lock())
    }

    fn next_life(&self, mut state: MutexGuard<'_, State>) -> Self {
        state.life += 1;
        state.broken = None;
        state.gates.clear();
        self.disk.opened.notify_all();
        Self { disk: Arc::clone(&self.disk), life: state.life }
    }

    /// Does a call, or lets it fail.
    fn call<T>(
        &self,
        call: Call,
        work: impl FnOnce(&mut State, Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (mut state, number) = self.pass(call)?;
        if let Some(first) = state.broken.as_ref().filter(|_| call.writes()) {
            return Err(StoreError::Broken { first: first.clone() });
        }
        let fault = state.faults.remove(&(call, number));
        let done = match fault {
            Some(Fault::FailBefore) => Err(failed(call, ErrorKind::Other, "the disk took nothing")),
            Some(Fault::Torn { .. }) if call != Call::Commit => {
                Err(failed(call, ErrorKind::Other, "the disk took nothing"))
            }
            Some(Fault::DiskFull) => Err(full(call)),
            Some(Fault::FailAfter) => work(&mut state, fault)
                .and_then(|_| Err(failed(call, ErrorKind::Other, "the disk took it, and the answer was lost"))),
            Some(Fault::Torn { .. } | Fault::SkipSync) | None => work(&mut state, fault),
        };
        done.inspect_err(|error| {
            if call.breaks() {
                state.broken = Some(error.to_string());
            }
        })
    }

    /// Counts a call, and waits while it is held; its number.
    fn pass(&self, call: Call) -> Result<(MutexGuard<'_, State>, u64), StoreError> {
        let mut state = self.disk.state.lock();
        if state.life == self.life {
            let calls = state.calls.entry(call).or_default();
            *calls += 1;
            let number = *calls;
            let is_held = |state: &mut State| state.life == self.life && state.gates.contains_key(&call);
            *state.waiting.entry(call).or_default() += 1;
            self.disk.arrived.notify_waiters();
            self.disk.opened.wait_while(&mut state, is_held);
            *state.waiting.entry(call).or_default() -= 1;
            if state.life == self.life {
                return Ok((state, number));
            }
        }
        Err(failed(call, ErrorKind::BrokenPipe, "the process that had opened the store is gone"))
    }
}

/// Where calls of a [`LossyStore`] wait until it is dropped. Returned by [`LossyStore::hold`].
#[must_use = "dropping it lets the calls go on"]
#[derive(Debug)]
pub struct Gate {
    disk: Arc<Disk>,
    life: u64,
    call: Call,
}

impl Gate {
    /// Waits until a call waits here, at once if one does.
    pub async fn arrived(&self) {
        loop {
            let arrived = self.disk.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.disk.state.lock().waiting.get(&self.call).is_some_and(|waiting| *waiting > 0) {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.life == self.life
            && let Some(gates) = state.gates.get_mut(&self.call)
        {
            *gates -= 1;
            if *gates == 0 {
                state.gates.remove(&self.call);
            }
        }
        self.disk.opened.notify_all();
    }
}

impl State {
    fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            // The same writes in the same order have the same outcome.
            match write {
                Write::Append(append) => drop(self.synced.append(&append)),
                Write::Delete(run) => drop(self.synced.delete(&run)),
            }
        }
    }

    fn written(&mut self, writes: impl IntoIterator<Item = Write>, fault: Option<Fault>) {
        self.unsynced.extend(writes);
        if fault != Some(Fault::SkipSync) && !self.skips_all_syncs {
            self.sync();
        }
    }

    fn commit(&mut self, appends: &[Append], fault: Option<Fault>) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let taken = match fault {
            Some(Fault::Torn { appends: taken }) => appends.get(..taken).unwrap_or(appends),
            Some(Fault::FailBefore | Fault::FailAfter | Fault::DiskFull | Fault::SkipSync) | None => appends,
        };
        let before = self.bytes_max.map(|bytes_max| (bytes_max, self.written.clone()));
        let answers = taken.iter().map(|append| self.written.append(append)).collect();
        if let Some((bytes_max, before)) = before
            && self.written.bytes() > bytes_max.max(before.bytes())
        {
            self.written = before;
            return Err(full(Call::Commit));
        }
        self.written(taken.iter().cloned().map(Write::Append), fault);
        match fault {
            Some(Fault::Torn { .. }) => Err(failed(Call::Commit, ErrorKind::Other, "the disk took only its beginning")),
            Some(Fault::FailBefore | Fault::FailAfter | Fault::DiskFull | Fault::SkipSync) | None => Ok(answers),
        }
    }
}

fn full(call: Call) -> StoreError {
    failed(call, ErrorKind::StorageFull, "no space left on device")
}

fn failed(call: Call, kind: ErrorKind, message: &str) -> StoreError {
    StoreError::Io { operation: format!("a scripted {call:?}"), source: Arc::new(Error::new(kind, message)) }
}

impl Store for LossyStore {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.call(Call::Commit, |state, fault| state.commit(appends, fault))
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.call(Call::Head, |state, _| Ok(state.written.head(run)))
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.call(Call::Read, |state, _| Ok(state.written.read(run)))
    }

    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        self.call(Call::Read, |state, _| Ok(state.written.read_part(run, from, bytes_max)))
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.call(Call::List, |state, _| Ok(state.written.list(status, after, limit)))
    }

    fn corrupt(&self) -> Vec<StoreError> {
        Vec::new()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.call(Call::Due, |state, _| Ok(state.written.due(now, limit)))
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.call(Call::Delete, |state, fault| {
            let is_known = state.written.delete(run);
            state.written([Write::Delete(run.clone())], fault);
            Ok(is_known)
        })
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.call(Call::Tidy, |_, _| Ok(false))
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.call(Call::Compact, |_, _| Ok(()))
    }
}
