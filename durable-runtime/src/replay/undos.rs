//! What a run is to undo when it fails or is cancelled.

use super::{Cancel, Replay};
use crate::id::Position;

impl Replay {
    /// Whether it is recorded that something is to be undone, and not that it was.
    pub(crate) fn has_undos(&self) -> bool {
        self.recorded.values().any(|recorded| recorded.undoes && !recorded.completed)
    }

    /// Whether the code was told of something: behind that it may have planned what is not recorded.
    pub(crate) fn was_told(&self) -> bool {
        self.recorded.values().any(|recorded| recorded.completed)
    }

    /// Why the run is to be cancelled, if it is.
    pub(crate) fn cancel_reason(&self) -> Option<&str> {
        self.cancel.as_ref().map(|cancel| &*cancel.reason)
    }

    /// Whether the code was told that the run is to be cancelled.
    pub(crate) fn is_cancel_told(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.is_told)
    }

    /// Where it is recorded that the run is to be cancelled, which the code was not told.
    pub(super) fn untold_cancel(&self) -> Option<Position> {
        self.cancel.as_ref().filter(|Cancel { is_told, .. }| !is_told).map(|cancel| cancel.position)
    }
}
