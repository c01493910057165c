//! A disagreement of code and journal, and how it is told.

use std::fmt::{self, Write as _};

use crate::id::Position;
use crate::journal::Operation;

/// What disagrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The code asked for another name at this place.
    Key,
    /// The code asked for another kind of operation.
    Kind,
    /// The arguments are others.
    Arguments,
    /// The code asked for it earlier or later than it was recorded.
    Order,
    /// The code waits, but did not ask for what is recorded next.
    NotClaimed,
    /// The code returned without asking for what is recorded.
    LeftOver,
    /// The code waits for something that is not an operation of the run.
    ForeignWait,
    /// The code went on although no operation of the run had ended.
    ForeignWake,
}

/// A disagreement of code and journal (R9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Divergence {
    pub(crate) difference: Difference,
    /// What the journal has.
    pub(crate) recorded: Option<Operation>,
    /// What the code asked for, or its latest request if it asked for nothing here.
    pub(crate) current: Option<Operation>,
    /// How many records the journal has.
    pub(crate) length: Position,
}

/// How the code that is running relates to the code that recorded the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeChange {
    /// Version of the function then and now.
    pub(crate) versions: (u32, u32),
    /// Fingerprint of the function then and now.
    pub(crate) fingerprints: (u64, u64),
}

impl Divergence {
    /// The whole story: what was recorded, what the code does now, why that may be, and what to do.
    pub(crate) fn explain(&self, change: CodeChange) -> String {
        let mut text = self.to_string();
        let changed = change.fingerprints.0 != change.fingerprints.1 || change.versions.0 != change.versions.1;
        let (then, now) = change.versions;
        text.push_str(match (self.difference, changed) {
            (Difference::ForeignWait | Difference::ForeignWake, _) => "",
            (_, true) => "\n  cause:    the function's code has changed since the run was started",
            (_, false) => "\n  cause:    the function's code is unchanged, so it is not deterministic: it depends on a clock, on randomness, on the order of a hash map, or on state outside its run",
        });
        if then != now {
            let _ = write!(text, " (version {then} then, {now} now)");
        }
        text.push_str(match (self.difference, changed) {
            (Difference::ForeignWait | Difference::ForeignWake, _) => {
                "\n  do this:  move what it waits for into a step, `ctx.run(\"name\", async || { … })`, deploy, and resume the run"
            }
            (_, true) => {
                "\n  do this:  deploy the code that started the run (or make the changed part run only for new runs), then resume the run"
            }
            (_, false) => {
                "\n  do this:  move what is not deterministic into a step, `ctx.run(\"name\", async || { … })`, deploy, and resume the run"
            }
        });
        text
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("code and journal disagree: ")?;
        f.write_str(match self.difference {
            Difference::Key => "the code asks for another operation than the one recorded",
            Difference::Kind => "the code asks for another kind of operation than the one recorded",
            Difference::Arguments => "the code passes other arguments than those recorded",
            Difference::Order => "the code asks for a recorded operation at another place",
            Difference::NotClaimed => "the code does not ask for an operation that is recorded",
            Difference::LeftOver => "the code returned without asking for an operation that is recorded",
            Difference::ForeignWait => {
                "the code waits for something that is not an operation of its run, so nothing recorded can wake it"
            }
            Difference::ForeignWake => {
                "the code went on although none of its operations had ended: what woke it is not an operation of its run, so nothing recorded can do that again"
            }
        })?;
        if let Some(recorded) = &self.recorded {
            write!(f, "\n  recorded: {}", Told(recorded))?;
        }
        if let Some(current) = &self.current {
            let word = match self.difference {
                Difference::NotClaimed | Difference::LeftOver | Difference::ForeignWait => "latest",
                Difference::Key
                | Difference::Kind
                | Difference::Arguments
                | Difference::Order
                | Difference::ForeignWake => "current",
            };
            write!(f, "\n  {:<10}{}", format!("{word}:"), Told(current))?;
        }
        write!(f, "\n  journal:  {} records", self.length)
    }
}

struct Told<'a>(&'a Operation);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { claim, key, kind, digest, site } = self.0;
        write!(f, "{kind} {key} (operation {claim}, arguments {digest:016x}) at {site}")
    }
}
