//! Who the code is told that it is.

use super::RunShared;
use crate::id::RunId;
use crate::replay::Told;
use crate::start::correlation_of;

impl RunShared {
    /// Which run the code is told to be, and what that one's chance is made of. Another one than it is only where it repeats
    /// what it was forked from.
    pub(crate) fn told(&self) -> (&RunId, u128) {
        let Told { life, seed } = self.state.lock().replay.told();
        (self.lives.get(life).and_then(Option::as_ref).unwrap_or(&self.id), seed)
    }

    /// What the run belongs to, together with others.
    pub(crate) fn correlation_id(&self) -> &str {
        correlation_of(self.correlation.as_ref(), &self.id)
    }
}
