//! Names of things: which run, which place in its journal, who may write.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
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
pub struct RunId(Arc<str>);

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
#[derive(Clone, PartialEq, Eq, Error)]
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

/// What a promise is known by outside of its run, from [`Promise::id`](crate::Promise::id).
///
/// It can stand in a link as it is: letters, digits, `-` and `_`. It is the same after a crash, and nobody who has not seen
/// it, or the store, can make it up: whoever has it may settle the promise, so it is for those who are asked. In it are
/// the run's id, the promise's key, and 128 bits of the run's chance.
///
/// ```
/// use durable_runtime::PromiseId;
/// assert!("approval".parse::<PromiseId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PromiseId(Arc<str>);

/// What is in a [`PromiseId`].
pub(crate) struct PromiseIdParts {
    pub(crate) run: RunId,
    pub(crate) key: String,
    pub(crate) token: u128,
}

/// More than any [`PromiseId`] has, in bytes.
const PROMISE_ID_BYTES_MAX: usize = 3_000;

impl PromiseId {
    pub(crate) fn of(parts: &PromiseIdParts) -> Self {
        let (run, key) = (parts.run.as_str(), &*parts.key);
        let key_bytes = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        let bytes = [&parts.token.to_be_bytes()[..], &key_bytes, key.as_bytes(), run.as_bytes()].concat();
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a text says that comes from anywhere.
    pub(crate) fn parts(text: &str) -> Result<PromiseIdParts, InvalidPromiseId> {
        if text.len() > PROMISE_ID_BYTES_MAX {
            return Err(InvalidPromiseId);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPromiseId)?;
        let (token, rest) = bytes.split_first_chunk().ok_or(InvalidPromiseId)?;
        let (key_bytes, rest) = rest.split_first_chunk().ok_or(InvalidPromiseId)?;
        let key_bytes = usize::from(u16::from_be_bytes(*key_bytes));
        let (key, run) = rest.split_at_checked(key_bytes).ok_or(InvalidPromiseId)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| InvalidPromiseId);
        let run = RunId::new(text(run)?).map_err(|_| InvalidPromiseId)?;
        Ok(PromiseIdParts { run, key: text(key)?, token: u128::from_be_bytes(*token) })
    }
}

impl FromStr for PromiseId {
    type Err = InvalidPromiseId;

    fn from_str(text: &str) -> Result<Self, InvalidPromiseId> {
        Self::parts(text).map(|_| Self(text.into()))
    }
}

impl TryFrom<String> for PromiseId {
    type Error = InvalidPromiseId;

    fn try_from(text: String) -> Result<Self, InvalidPromiseId> {
        text.parse()
    }
}

impl From<PromiseId> for String {
    fn from(id: PromiseId) -> Self {
        id.as_str().to_owned()
    }
}

impl AsRef<str> for PromiseId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PromiseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PromiseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a [`PromiseId`].
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("[D0160] this is not the id of a promise: take it as `Promise::id` gave it, all of it")]
pub struct InvalidPromiseId;

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
