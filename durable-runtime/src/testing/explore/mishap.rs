//! What can go wrong, and where.

use std::fmt;
use std::str::FromStr;

/// Where in the life of a process something can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// Records are about to be written.
    Commit,
    /// The body of a step is about to be called.
    Acts {
        /// Whether another attempt follows if this one fails.
        may_fail: bool,
    },
    /// The body of a step waits for something.
    Waits,
    /// The body of a step returned, and nothing of that is recorded.
    Returned {
        /// Whether another attempt follows if this one fails.
        may_fail: bool,
    },
}

/// What goes wrong at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mishap {
    /// The process dies here.
    Crash(Crash),
    /// The store fails here.
    StoreFails(StoreFailure),
    /// The attempt of a step fails here.
    AttemptFails,
    /// The clock is set, by so many milliseconds.
    ClockJumps(i64),
}

/// Where, around a record or the body of a step, the process dies.
///
/// ```
/// use durable_runtime::testing::Crash;
/// assert_eq!(Crash::AfterEffect.to_string(), "after-effect");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Crash {
    /// Before the records are written.
    BeforeWrite,
    /// When the records are written, and not synced: the power fails, and they are lost.
    Unsynced,
    /// When the records are synced, and the run was not told.
    Unacknowledged,
    /// When the run was told that its records are synced, and before it is polled.
    Acknowledged,
    /// Before the body of a step is called.
    BeforeEffect,
    /// While the body of a step waits for something.
    WhileWaiting,
    /// When the body of a step has returned, and nothing of that is recorded.
    AfterEffect,
}

impl Crash {
    /// For people: where, with what was being written or the key of the step.
    pub(super) fn told(self, what: &str) -> String {
        match self {
            Self::BeforeWrite => format!("before it writes: {what}"),
            Self::Unsynced => format!("when this is written and not synced, and so lost: {what}"),
            Self::Unacknowledged => format!("when this is synced and the run is not told: {what}"),
            Self::Acknowledged => format!("when the run was told that this is synced, and before it goes on: {what}"),
            Self::BeforeEffect => format!("before the body of {what} is called"),
            Self::WhileWaiting => format!("while the body of {what} waits"),
            Self::AfterEffect => format!("when the body of {what} has returned, and nothing of that is recorded"),
        }
    }
}

/// How a commit fails while the process lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreFailure {
    /// Nothing of it will be found.
    Before,
    /// All of it will be found, although it failed.
    After,
}

const NAMES: [(Mishap, &str); 10] = [
    (Mishap::Crash(Crash::BeforeWrite), "before-write"),
    (Mishap::Crash(Crash::Unsynced), "unsynced"),
    (Mishap::Crash(Crash::Unacknowledged), "unacknowledged"),
    (Mishap::Crash(Crash::Acknowledged), "acknowledged"),
    (Mishap::Crash(Crash::BeforeEffect), "before-effect"),
    (Mishap::Crash(Crash::WhileWaiting), "while-waiting"),
    (Mishap::Crash(Crash::AfterEffect), "after-effect"),
    (Mishap::StoreFails(StoreFailure::Before), "store-fails-before"),
    (Mishap::StoreFails(StoreFailure::After), "store-fails-after"),
    (Mishap::AttemptFails, "attempt-fails"),
];

impl Boundary {
    /// The ways in which a process can die here.
    pub(super) fn crashes(self) -> &'static [Crash] {
        match self {
            Self::Commit => &[Crash::BeforeWrite, Crash::Unsynced, Crash::Unacknowledged, Crash::Acknowledged],
            Self::Acts { .. } => &[Crash::BeforeEffect],
            Self::Waits => &[Crash::WhileWaiting],
            Self::Returned { .. } => &[Crash::AfterEffect],
        }
    }

    /// All that can go wrong here, but for what the clock does.
    pub(super) fn mishaps(self) -> impl Iterator<Item = Mishap> {
        self.crashes().iter().copied().map(Mishap::Crash).chain(self.failures().iter().copied())
    }

    /// What can go wrong here without the process dying at once.
    fn failures(self) -> &'static [Mishap] {
        match self {
            Self::Commit => &[Mishap::StoreFails(StoreFailure::Before), Mishap::StoreFails(StoreFailure::After)],
            Self::Acts { may_fail: true } | Self::Returned { may_fail: true } => &[Mishap::AttemptFails],
            Self::Acts { may_fail: false } | Self::Returned { may_fail: false } | Self::Waits => &[],
        }
    }

    /// Whether this can go wrong here.
    pub(super) fn allows(self, mishap: Mishap) -> bool {
        match mishap {
            Mishap::ClockJumps(_) => true,
            Mishap::Crash(_) | Mishap::StoreFails(_) | Mishap::AttemptFails => self.mishaps().any(|one| one == mishap),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::ClockJumps(millis) = self {
            return write!(f, "clock{millis:+}");
        }
        f.write_str(NAMES.iter().find(|(mishap, _)| mishap == self).map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Mishap::Crash(*self).fmt(f)
    }
}

impl FromStr for Mishap {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(millis) = text.strip_prefix("clock") {
            return millis.parse().map(Self::ClockJumps).map_err(drop);
        }
        NAMES.iter().find(|(_, name)| *name == text).map(|(mishap, _)| *mishap).ok_or(())
    }
}
