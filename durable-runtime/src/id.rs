//! Names of things: which run, which place in its journal, who may write.

use std::fmt;

use thiserror::Error;

/// The longest run id that is accepted, in bytes.
pub const RUN_ID_BYTES_MAX: usize = 1_024;

/// The name of one run, chosen by the caller: usually the business id (`ord_abc123`).
///
/// From 1 to [`RUN_ID_BYTES_MAX`] bytes of any UTF-8, kept exactly: separators, NUL and any script
/// are fine, and two ids are the same run only if they are the same bytes.
///
/// ```
/// use durable_runtime::RunId;
/// let id = RunId::new("ord_abc123")?;
/// assert_eq!(id.as_str(), "ord_abc123");
/// assert!(RunId::new("").is_err());
/// # Ok::<(), durable_runtime::InvalidRunId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(std::sync::Arc<str>);

impl RunId {
    /// Checks and takes over an id.
    ///
    /// # Errors
    /// [`InvalidRunId`] when the id is empty or longer than [`RUN_ID_BYTES_MAX`] bytes.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidRunId> {
        let id = id.as_ref();
        match id.len() {
            0 => Err(InvalidRunId::Empty),
            bytes if bytes > RUN_ID_BYTES_MAX => Err(InvalidRunId::TooLong { bytes }),
            _ => Ok(Self(id.into())),
        }
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RunId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Control characters would garble a terminal or a log line; an id is shown escaped, never cut.
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Why a text can't be a [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidRunId {
    /// The id is empty.
    #[error("[D0101] a run id must not be empty: use the business id the run is about, such as the order id")]
    Empty,
    /// The id is longer than [`RUN_ID_BYTES_MAX`] bytes.
    #[error("[D0102] a run id of {bytes} bytes is longer than the {RUN_ID_BYTES_MAX} bytes allowed: use a hash of it")]
    TooLong {
        /// How long the refused id is.
        bytes: usize,
    },
}

/// A place in one run's journal: 0 for its first event, then without gaps.
///
/// ```
/// use durable_runtime::Position;
/// assert_eq!(Position(4).next(), Position(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// The place right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may append to a run: a number that only grows. A writer with a lower one is refused (S7, S8).
///
/// ```
/// use durable_runtime::Fence;
/// assert!(Fence(1).next() > Fence(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence of the next owner.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
