//! Sees which step bodies really run, without asking the library, and crashes the process where it is told to.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use durable_runtime::StepContext;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::append_log::AppendLog;

/// One execution of a step's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Which process it was, counted from 1; those that executed nothing are not counted.
    pub process: u32,
    pub order_id: String,
    pub step: String,
}

/// Where a worker is to abort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crash {
    /// When the step's body has ended, and whatever it did is done, before anybody could record that.
    Inside(String),
    /// When the step is recorded: as the next step begins.
    After(String),
}

/// Told by every step when it begins and when it ends.
#[derive(Debug, Clone)]
pub struct Witness {
    executions: Arc<AppendLog<Execution>>,
    process: u32,
    crash: Option<Crash>,
    /// Whether each step is also printed.
    prints: bool,
    /// The step that ended last.
    ended: Arc<Mutex<Option<String>>>,
}

/// Held by a step while it executes.
#[derive(Debug)]
pub struct Executing {
    witness: Witness,
    step: String,
}

impl Witness {
    pub fn open(path: &Path, crash: Option<Crash>, prints: bool) -> io::Result<Self> {
        let (executions, before) = AppendLog::<Execution>::open(path)?;
        let process = before.last().map_or(0, |execution| execution.process) + 1;
        Ok(Self { executions: Arc::new(executions), process, crash, prints, ended: Arc::default() })
    }

    /// To be called first in a step's body, and the result kept until its end.
    pub fn enter(step: &StepContext) -> Executing {
        let witness = Self::clone(&step.dependency::<Self>());
        let (order_id, name) = (step.run_id().as_str(), step.key());
        witness.about_to(name);
        let execution = Execution { process: witness.process, order_id: order_id.into(), step: name.into() };
        witness.executions.append_unsynced(&execution).expect("the folder can be written");
        if witness.prints {
            println!("  {name:<18} executed, attempt {}, key {}", step.attempt(), step.idempotency_key());
        }
        Executing { step: name.to_owned(), witness }
    }

    /// To be called before `next` begins: aborts if that is due after the step that ended last, which is recorded now.
    pub fn about_to(&self, next: &str) {
        let Some(Crash::After(step)) = &self.crash else { return };
        if self.ended.lock().as_ref() == Some(step) && step != next {
            abort(&format!("after {step} was recorded"));
        }
    }

    /// The number of this process among those that executed a step.
    pub fn process(&self) -> u32 {
        self.process
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        if self.witness.crash == Some(Crash::Inside(self.step.clone())) {
            abort(&format!("when the body of {} has ended, before that is recorded", self.step));
        }
        *self.witness.ended.lock() = Some(self.step.clone());
    }
}

fn abort(place: &str) -> ! {
    println!("  the process aborts {place}");
    let _ = io::stdout().flush();
    std::process::abort()
}
