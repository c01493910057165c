//! Where journals are kept: the [`Store`] trait and its numbered contract, S1 to S14.
//!
//! A store keeps, for each run, an ordered list of opaque *frames* and a small [`RunHead`]. It never
//! looks into a frame. Everything that must be atomic travels in one [`Append`]; everything that may
//! share a sync travels in one [`Store::commit`]. The contract is on each method, in
//! `docs/store-contract.md`, and, executable, in `testing::conformance` (feature `testing`).

mod error;
mod memory;
mod sled;

use std::fmt;

pub use error::StoreError;
pub use memory::MemoryStore;
#[cfg(feature = "testing")]
pub(crate) use memory::Runs;
pub use sled::SledStore;
#[cfg(feature = "testing")]
pub(crate) use sled::check_codec;

use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};

/// What a run is doing, as far as the store must know to find it again.
///
/// ```
/// use durable_runtime::RunStatus;
/// assert!(RunStatus::Suspended.is_unfinished());
/// assert!(!RunStatus::Failed.is_unfinished());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStatus {
    /// Has work to do; continued when the store is opened.
    Running,
    /// Waits for a time, which may be that at which it begins, or for something from outside, and for nothing else. It is in
    /// the store only, and is loaded when that comes.
    Suspended,
    /// Stopped by the machinery (a divergence, a panic, a corrupt record …) and waits for `resume`.
    Halted,
    /// Ended with a result that is not an `Err`.
    Completed,
    /// Ended with an `Err` of the function's own.
    Failed,
    /// Ended by somebody before it had a result.
    Cancelled,
}

impl RunStatus {
    /// Whether the run has not ended, and goes on without an operator.
    pub fn is_unfinished(self) -> bool {
        match self {
            Self::Running | Self::Suspended => true,
            Self::Halted | Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Whether the run has ended, and nothing can change that.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Halted => "halted",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What survives which failure, once a commit was acknowledged.
///
/// ```
/// use durable_runtime::Durability;
/// assert_eq!(Durability::default(), Durability::Sync);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to the disk: survives `kill -9`, a crash of the operating system, and loss of power.
    #[default]
    Sync,
    /// Handed to the operating system: survives `kill -9` of the process, and nothing more. After a
    /// power cut the newest acknowledged records, or the whole folder, may be gone.
    Buffered,
}

/// One event on its way to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The encoded event; the store returns exactly these bytes.
    pub frame: Vec<u8>,
    /// When the run wants to be woken because of this record; listed by [`Store::due`] while the run is
    /// [suspended](RunStatus::Suspended), until an append clears it or the run is deleted or replaced. In between, a run
    /// can be running or halted: it has its timers back when it is suspended again.
    pub due: Option<Timestamp>,
}

/// New events of one run, to be added all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which run.
    pub run: RunId,
    /// How many records the run must have now; `Position(0)` creates it.
    pub expected: Position,
    /// Who writes. Becomes the run's fence if higher than the present one.
    pub fence: Fence,
    /// The events, in order. Without any, the append changes status, fence and timers of a run that exists.
    pub records: Vec<Record>,
    /// Whether these records take the place of all that the run has: it has them alone from then on, at positions from 0,
    /// and of its earlier timers none. Its id and its fence stay. A run that does not exist can't be replaced, and none
    /// by nothing: without `records`, or with `expected` 0, the append is [refused](Refused::WrongPosition).
    pub replaces: bool,
    /// Records of this run, by position, whose `due` is over, those of this append included; if it
    /// [replaces](Self::replaces), those alone. Unknown positions are ignored.
    pub clears: Vec<Position>,
    /// The run's status from now on.
    pub status: RunStatus,
}

impl Append {
    /// The position of its first record.
    pub(crate) fn first(&self) -> Position {
        if self.replaces { Position(0) } else { self.expected }
    }

    /// How many records the run has when this was applied.
    pub(crate) fn length_after(&self) -> Position {
        Position(self.first().0 + self.records.len() as u64)
    }
}

/// Why one [`Append`] of a commit was not applied. The others of the same commit were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run has another number of records than the append expected (S3, S6). Told first when the
    /// fence is stale, too. Both numbers are the same when the run can't be begun, or
    /// [replaced](Append::replaces), as the append would.
    #[error("expected {expected} records, found {found}")]
    WrongPosition {
        /// What the append expected.
        expected: Position,
        /// What the store has; 0 when it does not know the run (which an append without records, or one that replaces,
        /// can't create), `u64::MAX` when it can't read it
        /// ([`Store::read`] tells why).
        found: Position,
    },
    /// A later owner has written since (S8).
    #[error("fence {given} is stale, the run is at {current}")]
    StaleFence {
        /// What the append carried.
        given: Fence,
        /// What the store has.
        current: Fence,
    },
}

/// What a store knows of a run without reading its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHead {
    /// Which run.
    pub run: RunId,
    /// Its status as of the last append.
    pub status: RunStatus,
    /// How many records it has.
    pub length: Position,
    /// The highest fence that wrote.
    pub fence: Fence,
}

/// A run's head and all its frames, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// The head.
    pub head: RunHead,
    /// One frame per position, from 0; `head.length` of them.
    pub frames: Vec<Vec<u8>>,
}

/// A run's head, and the frames at its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnds {
    /// The head.
    pub head: RunHead,
    /// The frame at position 0.
    pub first: Vec<u8>,
    /// The newest frame; of a run with one record, the first one.
    pub last: Vec<u8>,
}

/// A run's head and some of its frames, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// The head.
    pub head: RunHead,
    /// One frame per position, from the one that was asked for.
    pub frames: Vec<Vec<u8>>,
}

/// A record whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTimer {
    /// When it was due.
    pub due: Timestamp,
    /// Which run.
    pub run: RunId,
    /// Which record of that run.
    pub position: Position,
}

/// Keeps journals. Implemented by `SledStore` and `MemoryStore`.
///
/// All methods block and may be called from any thread, also at the same time; a store serializes
/// what it must. One process has one store open at a time.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Applies the appends, in order, and makes them durable with (at most) one sync.
    ///
    /// `Ok` holds one answer per append, in order. An append is applied whole or not at all (S1), in
    /// the order given (S4), only if its `expected` equals the run's length (S3; creating twice
    /// changes nothing, S6) and its fence is not below the run's (S7, S8). Later appends of the same
    /// commit see the earlier ones, a length that [became less](Append::replaces) included. `Ok` means durable at the level
    /// the store was opened with (S2).
    ///
    /// # Errors
    /// A [`StoreError`]: it is unknown which of the appends, if any, will be found after reopening; none
    /// was acknowledged. A store that can't tell whether its earlier writes reached the disk refuses every later commit
    /// with [`StoreError::Broken`] until it is opened anew.
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError>;

    /// The head of a run, `None` if there is no such run. Sees every acknowledged commit (S5).
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Corrupt`] names the run (S11).
    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError>;

    /// A run with all its frames, `None` if there is no such run. Sees every acknowledged commit (S5).
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Corrupt`] names the run (S11).
    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError>;

    /// A run's first and last frame, `None` if there is no such run: what lists show of it, at less cost than all its
    /// frames where a store can. Sees every acknowledged commit (S5). What is between the two is not looked at, and may be
    /// damaged.
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Corrupt`] names the run (S11).
    fn ends(&self, run: &RunId) -> Result<Option<RunEnds>, StoreError> {
        let Some(StoredRun { head, mut frames }) = self.read(run)? else { return Ok(None) };
        let first = frames.first().cloned().unwrap_or_default();
        Ok(Some(RunEnds { head, first, last: frames.pop().unwrap_or_default() }))
    }

    /// A run's head and some of its frames, from position `from` on, in order (S4): at least one, if there is one, and
    /// several only if they have at most `bytes_max` bytes together. `None` if there is no such run. Sees every
    /// acknowledged commit (S5).
    ///
    /// For whoever reads a long journal bit by bit: that should take no longer than reading it at once, as it does with
    /// this default. Parts that were read before and after the run was [replaced](Append::replaces) are of two journals.
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Corrupt`] names the run (S11).
    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        let Some(StoredRun { head, mut frames }) = self.read(run)? else { return Ok(None) };
        let from = usize::try_from(from.0).unwrap_or(usize::MAX).min(frames.len());
        let mut frames = frames.split_off(from);
        frames.truncate(count_that_fits(frames.iter().map(Vec::len), bytes_max));
        Ok(Some(StoredPart { head, frames }))
    }

    /// Heads of runs in the byte order of their ids, from the first id greater than `after`, only those with `status`
    /// if given, `limit` at most. Calling again with the last id seen returns each run once (S9 with
    /// [`RunStatus::Running`]), whatever is appended in between.
    ///
    /// # Errors
    /// A [`StoreError`]. A run whose head can't be read is left out here and reported by [`corrupt`](Self::corrupt).
    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError>;

    /// What was found unreadable while opening or listing: one error per run. Empty when all is well (S11).
    fn corrupt(&self) -> Vec<StoreError>;

    /// The records of suspended runs that are due at or before `now`, ordered by (due, run, position) (S10), `limit` at
    /// most.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError>;

    /// Removes a run and all its records, durably. `false` if there was none. The id can be created anew.
    ///
    /// # Errors
    /// A [`StoreError`]: the run may or may not be gone.
    fn delete(&self, run: &RunId) -> Result<bool, StoreError>;

    /// Housekeeping when nothing else is to do; bounded work per call. Returns whether more is left.
    ///
    /// # Errors
    /// A [`StoreError`]; nothing acknowledged is lost.
    fn tidy(&self) -> Result<bool, StoreError>;

    /// Gives the space of deleted runs back (S13). Crash-safe: at any moment either the old or the new
    /// state is found on reopening, with the same runs. Blocks commits while it works.
    ///
    /// # Errors
    /// A [`StoreError`]; the old state stays in use.
    fn compact(&self) -> Result<(), StoreError>;
}

/// How many frames of these lengths, from the first on, have so many bytes together; at least one, if there is one.
fn count_that_fits(lengths: impl Iterator<Item = usize>, bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = lengths.enumerate().take_while(|(index, length)| {
        bytes = bytes.saturating_add(*length);
        *index == 0 || bytes <= bytes_max
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_the_run_goes_on_and_whether_it_has_ended() {
        let told = [
            (RunStatus::Running, "running", true, false),
            (RunStatus::Suspended, "suspended", true, false),
            (RunStatus::Halted, "halted", false, false),
            (RunStatus::Completed, "completed", false, true),
            (RunStatus::Failed, "failed", false, true),
            (RunStatus::Cancelled, "cancelled", false, true),
        ];
        for (status, text, goes_on, is_over) in told {
            let found = (status.to_string(), status.is_unfinished(), status.is_over());
            assert_eq!(found, (text.to_owned(), goes_on, is_over));
        }
    }
}
