//! Which path of a patch a run takes.

use super::RunShared;
use crate::halt::{Halt, HaltReason};
use crate::journal::{Event, Patched};
use crate::replay::Path;

impl RunShared {
    /// Whether the run takes the new path of a patch.
    pub(crate) fn patched(&self, id: &'static str) -> bool {
        let limit = self.environment.limits.operations;
        let mut state = self.state.lock();
        match state.replay.patch(id, limit) {
            Path::New => true,
            Path::Old => false,
            Path::TooMany => {
                let message = format!("the run asked about {limit} patches, as many as `Limits::operations` allows");
                state.halt(Halt::new(HaltReason::Limit, None, message));
                false
            }
            Path::NewIfRecorded => {
                let event = Event::Patched(Patched { id: id.into(), at: self.environment.clock.now().0 });
                let recorded = state.append(event);
                if let Some(position) = recorded {
                    // What begins from here on may be on the new path, which a crash must not take back.
                    state.required = state.required.max(position.next());
                }
                recorded.is_some()
            }
        }
    }

    /// The run took the old path of a patch that has only the new one left.
    pub(crate) fn retired_patch(&self, id: &'static str) {
        self.state.lock().replay.retired_patch(id);
    }
}
