//! Why the machinery stopped a run.

use std::fmt;
use std::sync::Arc;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The longest message of a [`Halt`], in bytes: one that is too long to be recorded would leave the run unfinished.
const MESSAGE_BYTES_MAX: usize = 64 * 1_024;

/// The kind of trouble behind a [`Halt`]; each has a page in `docs/errors/`.
///
/// ```
/// use durable_runtime::HaltReason;
/// assert_eq!(HaltReason::Panic.code(), "D0401");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HaltReason {
    /// The function, or a step after its retries, panicked.
    Panic,
    /// Code and journal disagree (R9).
    Divergence,
    /// A value can't be encoded, decoded, or is over the limit (R7).
    Value,
    /// A durable operation was used where it can't work (R10).
    Misuse,
    /// The process died again and again without the run making progress (R12).
    CrashLoop,
    /// A limit was reached (R14).
    Limit,
    /// The journal of the run can't be read.
    Corrupt,
    /// The store refused a write.
    Storage,
    /// The function is not part of this program.
    Unregistered,
    /// What a run has done could not be undone (`ctx.undo`).
    NotUndone,
    /// An operator has paused it (`Runtime::pause`).
    Paused,
}

impl HaltReason {
    /// The stable error code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Panic => "D0401",
            Self::Divergence => "D0402",
            Self::Value => "D0403",
            Self::Misuse => "D0404",
            Self::CrashLoop => "D0405",
            Self::Limit => "D0406",
            Self::Corrupt => "D0407",
            Self::Storage => "D0408",
            Self::Unregistered => "D0409",
            Self::NotUndone => "D0410",
            Self::Paused => "D0411",
        }
    }
}

/// A stop of one run by the machinery: nothing is lost, and `Runtime::resume` continues after the fix.
///
/// Shown by `Runtime::get` and returned to whoever awaits the run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Halt {
    /// The kind of trouble.
    pub reason: HaltReason,
    /// The key of the step that was the cause, if one was.
    pub step: Option<Arc<str>>,
    /// What happened and what to do; at most 64 KiB.
    pub message: String,
}

impl Halt {
    pub(crate) fn new(reason: HaltReason, step: Option<Arc<str>>, message: impl Into<String>) -> Self {
        Self { reason, step, message: cut(message.into(), MESSAGE_BYTES_MAX) }
    }
}

/// What the user's code said of itself, short enough to be recorded within a message.
pub(crate) fn detail(text: String) -> String {
    const BYTES_MAX: usize = 16 * 1_024;
    cut(text, BYTES_MAX)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    const CUT: &str = "…";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - CUT.len()));
        text.push_str(CUT);
    }
    text
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.reason.code())?;
        if let Some(step) = &self.step {
            write!(f, "step {step}: ")?;
        }
        f.write_str(&self.message)
    }
}
