//! What a worker tells its parent: one fact per line, as JSON.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Writes to a pipe of at most so many bytes are never torn (`PIPE_BUF` of Linux), whenever the writer dies.
const LINE_BYTES_MAX: usize = 4_096;

/// Something that the runtime acknowledged, or that a step did to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// The store is about to be opened.
    Opening,
    /// It is open: how many runs it knows, how many it continued, and those it could not.
    Opened { known: usize, resumed: usize, skipped: Vec<String> },
    /// `start` returned.
    Started { run: String },
    /// A step's body begins: its effect on the world happens now.
    Effect(Execution),
    /// A step's body began that depends on this outcome, so the outcome is durable (R5).
    Durable(Execution),
    /// A handle resolved.
    Finished { run: String, result: Result<Vec<Execution>, Refusal> },
    /// A call of the runtime failed.
    Failed { what: String, error: String },
    /// `compact` was called.
    Compacting,
    /// It returned.
    Compacted,
    /// Nothing is left to do; the store tidies itself up.
    Idle,
    /// The worker shut down in order.
    Done,
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
}

impl World {
    /// The world behind this process's standard output.
    pub(crate) fn of_stdout(life: u32) -> Self {
        // Not through `std::io::stdout`: a fact is told when `tell` returns, not when a buffer is full.
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().expect("standard output is open");
        Self { life, pipe: Mutex::new(File::from(pipe)) }
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
    }
}
