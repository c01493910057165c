//! A disk that outlives processes, and a process's hold on it, which fails on command.

use std::sync::Arc;

use durable_runtime::store::{Append, DueTimer, MemoryStore, Refused, RunHead, Store, StoreError, StoredRun};
use durable_runtime::{RunId, RunStatus, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::patiently;

/// What was made durable. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// The records.
    pub memory: MemoryStore,
}

impl Disk {
    /// One process's hold on the disk; it works until it is told to fail.
    pub fn open(&self) -> Arc<Handle> {
        Arc::new(Handle {
            memory: self.memory.clone(),
            state: Mutex::new(State::default()),
            released: Condvar::new(),
            waiting: watch::Sender::default(),
            waiting_dues: watch::Sender::default(),
            asked_for_next: watch::Sender::default(),
        })
    }
}

/// What becomes of the commit that fails. Nothing after it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing of it is written.
    Whole,
    /// All of it is written, but nobody is told.
    Acknowledgement,
}

/// A store that fails, or waits, when the test says so.
#[derive(Debug)]
pub struct Handle {
    memory: MemoryStore,
    state: Mutex<State>,
    released: Condvar,
    waiting: watch::Sender<usize>,
    waiting_dues: watch::Sender<usize>,
    asked_for_next: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    commits_left: usize,
    loss: Loss,
    held: bool,
    /// How many answers that tell of due timers are given before one waits.
    dues_left: usize,
    unreadable: Vec<StoreError>,
    torn: Vec<RunId>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            commits_left: usize::MAX,
            loss: Loss::Whole,
            held: false,
            dues_left: usize::MAX,
            unreadable: Vec::new(),
            torn: Vec::new(),
        }
    }
}

impl Handle {
    /// Whether the next commit will succeed.
    pub fn is_well(&self) -> bool {
        self.state.lock().commits_left > 0
    }

    /// The next `commits` commits succeed, the one after them fails in the way of `loss`, and so do all later ones.
    pub fn fail_after(&self, commits: usize, loss: Loss) {
        let mut state = self.state.lock();
        (state.commits_left, state.loss) = (commits, loss);
    }

    /// From now on, the disk says that it found a run of which nothing can be read.
    ///
    /// # Panics
    /// If the id is none.
    pub fn lose_head(&self, run: &str) {
        let run = RunId::new(run).expect("an id");
        let detail = "the test tore it".to_owned();
        self.state.lock().unreadable.push(StoreError::Corrupt { run, position: None, detail });
    }

    /// From now on, the run's records can't be read; the disk says so of itself only when somebody has tried.
    ///
    /// # Panics
    /// If the id is none.
    pub fn tear(&self, run: &str) {
        self.state.lock().torn.push(RunId::new(run).expect("an id"));
    }

    /// Commits and deletions wait from now on.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// Lets what waits go on.
    pub fn release(&self) {
        self.state.lock().held = false;
        self.released.notify_all();
    }

    /// Waits until a commit or a deletion is being held.
    ///
    /// # Panics
    /// If none is.
    pub async fn held(&self) {
        let mut waiting = self.waiting.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0);
        patiently("a commit", held).await.expect("the handle holds the sender");
    }

    /// Waits until the process has woken all that was due, and has asked what is next.
    ///
    /// # Panics
    /// If it does not.
    pub async fn asked_for_next(&self) {
        let mut asked = self.asked_for_next.subscribe();
        let asked = asked.wait_for(|asked| *asked);
        patiently("the question what is due next", asked).await.expect("the handle holds the sender");
    }

    /// Of the answers that tell which timers are due, so many are given, and those after them wait, when they are known.
    pub fn answer_dues(&self, answers: usize) {
        self.state.lock().dues_left = answers;
        self.released.notify_all();
    }

    /// Waits until such an answer is being held.
    ///
    /// # Panics
    /// If none is.
    pub async fn held_dues(&self) {
        let mut waiting = self.waiting_dues.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0);
        patiently("an answer that tells what is due", held).await.expect("the handle holds the sender");
    }

    fn pass(&self) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        self.waiting.send_modify(|waiting| *waiting += usize::from(state.held));
        let held = state.held;
        self.released.wait_while(&mut state, |state| state.held);
        self.waiting.send_modify(|waiting| *waiting -= usize::from(held));
        state
    }
}

fn broken() -> StoreError {
    StoreError::Broken { first: "the test pulled the plug".to_owned() }
}

impl Store for Handle {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let mut state = self.pass();
        if let Some(left) = state.commits_left.checked_sub(1) {
            state.commits_left = left;
            return self.memory.commit(appends);
        }
        if state.loss == Loss::Acknowledgement {
            state.loss = Loss::Whole;
            self.memory.commit(appends)?;
        }
        Err(broken())
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.memory.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let mut state = self.state.lock();
        if state.torn.contains(run) {
            let detail = "the test tore it".to_owned();
            let error = StoreError::Corrupt { run: run.clone(), position: None, detail };
            if !state.unreadable.iter().any(|known| known.to_string() == error.to_string()) {
                state.unreadable.push(error.clone());
            }
            return Err(error);
        }
        drop(state);
        self.memory.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.memory.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.state.lock().unreadable.clone()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        let dues = self.memory.due(now, limit)?;
        if now == Timestamp(u64::MAX) {
            self.asked_for_next.send_replace(true);
        } else if !dues.is_empty() {
            let mut state = self.state.lock();
            self.waiting_dues.send_modify(|waiting| *waiting += usize::from(state.dues_left == 0));
            let held = state.dues_left == 0;
            self.released.wait_while(&mut state, |state| state.dues_left == 0);
            state.dues_left -= 1;
            self.waiting_dues.send_modify(|waiting| *waiting -= usize::from(held));
        }
        Ok(dues)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        let _state = self.pass();
        self.memory.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.memory.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.memory.compact()
    }
}
