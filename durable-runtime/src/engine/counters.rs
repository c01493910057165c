//! What a runtime has done since it was opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a runtime has done since it was opened. Taken with `Runtime::stats`; each number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Runs that were started; attaching to one does not count.
    pub runs_started: u64,
    /// Unfinished runs that were found and continued.
    pub runs_recovered: u64,
    /// Runs that reached their result.
    pub runs_finished: u64,
    /// Attempts of steps that were begun.
    pub steps_executed: u64,
    /// Steps whose recorded outcome was used instead of running them.
    pub steps_replayed: u64,
    /// Commits handed to the store, each with at most one sync.
    pub commits: u64,
    /// Appends in those commits; one that the store refused, as when a start attaches, counts too.
    pub appends: u64,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    started: AtomicU64,
    recovered: AtomicU64,
    finished: AtomicU64,
    executed: AtomicU64,
    replayed: AtomicU64,
    commits: AtomicU64,
    appends: AtomicU64,
}

impl Counters {
    pub(crate) fn started(&self) {
        self.0.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn recovered(&self) {
        self.0.recovered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn executed(&self) {
        self.0.executed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn replayed(&self) {
        self.0.replayed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, appends: usize) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        self.0.appends.fetch_add(appends as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let Cells { started, recovered, finished, executed, replayed, commits, appends } = &*self.0;
        Stats {
            runs_started: read(started),
            runs_recovered: read(recovered),
            runs_finished: read(finished),
            steps_executed: read(executed),
            steps_replayed: read(replayed),
            commits: read(commits),
            appends: read(appends),
        }
    }
}
