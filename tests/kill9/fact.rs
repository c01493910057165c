//! What a worker tells its parent: one fact per line, as JSON.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Writes to a pipe of at most so many bytes are never torn (`PIPE_BUF` of Linux), whenever the writer dies.
const LINE_BYTES_MAX: usize = 4_096;

/// Something that the runtime acknowledged, or that a step did to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// The store is about to be opened.
    Opening,
    /// It is open, and these are some of the runs that it knows: the numbers of their orders, and how they are.
    Found { runs: Vec<(u64, Known)> },
    /// All of them were told: how many runs were continued, and those that could not be.
    Opened { resumed: usize, skipped: Vec<String> },
    /// `start` returned.
    Started { run: String },
    /// A step's body begins: its effect on the world happens now.
    Effect(Execution),
    /// The body of this run's step begins that runs at most once.
    Sealed { run: String },
    /// A sink was given an event that a run has emitted: what the run had learned of.
    Delivered { id: String, event: Execution },
    /// A step's body began that depends on this outcome, so the outcome is durable (R5).
    Durable(Execution),
    /// A handle resolved.
    Finished { run: String, result: Result<Vec<Execution>, Refusal> },
    /// A run was found halted by a panic of its step, which will not panic in this life any more.
    Halted { run: String },
    /// A run that has ended is about to be deleted.
    Deleting { run: String },
    /// It was, or there was none.
    Deleted { run: String, existed: bool },
    /// A call of the runtime failed.
    Failed { what: String, error: String },
    /// `compact` was called.
    Compacting,
    /// It returned.
    Compacted,
    /// This fail point was reached for the first time in this life.
    Reached { point: String },
    /// How often this fail point was reached in this life, when it comes to its end.
    Hits { point: String, hits: usize },
    /// The worker kills itself now, where it has come to this fail point for the so many-th time.
    Dying { point: String, hit: usize },
    /// Nothing is left to do; the store tidies itself up.
    Idle,
    /// The worker is told to stop, and begins no further step.
    Leaving,
    /// The worker shut down in order, and had to interrupt so many runs.
    Done { interrupted: usize },
}

/// How a run is, as far as the store's listing tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Known {
    Running,
    Halted,
    Ended,
}

/// One execution of a step's body, told apart from every other one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Execution {
    /// The step's idempotency key: `<run>:<key>`.
    pub(crate) key: String,
    /// In which life of the worker.
    pub(crate) life: u32,
    /// Which attempt the runtime said it was.
    pub(crate) attempt: u32,
}

impl Execution {
    /// The run's id, and the step's key within the run.
    pub(crate) fn run_and_step(&self) -> (&str, &str) {
        self.key.split_once(':').unwrap_or((&self.key, ""))
    }
}

/// The error of a step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The execution that failed.
    pub(crate) by: Execution,
}

/// The world as the steps of one life know it: the pipe to the parent.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) life: u32,
    pipe: Mutex<File>,
    /// Whose broken steps do not panic any more; `None` when none ever does.
    mended: Option<Mutex<BTreeSet<String>>>,
    /// How many facts are told before [`World::enough`].
    facts_left: AtomicUsize,
    enough: Notify,
}

impl World {
    /// The world behind this process's standard output, in which [`enough`](Self::enough) is told after so many facts.
    pub(crate) fn of_stdout(life: u32, facts: usize) -> Self {
        // Not through `std::io::stdout`: a fact is told when `tell` returns, not when a buffer is full.
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().expect("standard output is open");
        let pipe = Mutex::new(File::from(pipe));
        Self { life, pipe, mended: Some(Mutex::default()), facts_left: facts.into(), enough: Notify::new() }
    }

    /// A world to which nothing matters, and in which nothing breaks.
    pub(crate) fn indifferent() -> Self {
        let nowhere = File::options().write(true).open("/dev/null").expect("there is nothing");
        let pipe = Mutex::new(nowhere);
        Self { life: 0, pipe, mended: None, facts_left: usize::MAX.into(), enough: Notify::new() }
    }

    /// Tells the parent. What was told stays told, whenever this process dies.
    pub(crate) fn tell(&self, fact: &Fact) {
        let mut line = serde_json::to_string(fact).expect("facts are plain values");
        line.push('\n');
        assert!(line.len() <= LINE_BYTES_MAX, "{} bytes could be torn: {line}", line.len());
        if self.pipe.lock().write_all(line.as_bytes()).is_err() {
            // Nobody listens any more: the parent is gone.
            std::process::exit(3);
        }
        if self.facts_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enough.notify_one();
        }
    }

    /// Waits until as many facts were told as this life is to have.
    pub(crate) async fn enough(&self) {
        self.enough.notified().await;
    }

    /// Whether the broken step of this run would panic.
    pub(crate) fn is_broken(&self, run: &str) -> bool {
        self.mended.as_ref().is_some_and(|mended| !mended.lock().contains(run))
    }

    /// From now on in this life, the broken step of this run does what it should.
    pub(crate) fn mend(&self, run: &str) {
        if let Some(mended) = &self.mended {
            mended.lock().insert(run.to_owned());
        }
    }
}
