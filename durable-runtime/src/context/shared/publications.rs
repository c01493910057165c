//! What the code publishes: recorded when it rests.

use super::{Environment, RunShared, State};
use crate::halt::Halt;
use crate::journal::{Event, Operation, Published};
use crate::payload::Payload;
use crate::replay::{ClaimNumber, Stage};

/// A value that the code has published.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) claim: ClaimNumber,
    value: Payload,
}

impl RunShared {
    /// The code has asked for a publication: whether that is still to be recorded.
    pub(crate) fn is_unpublished(&self, claim: ClaimNumber) -> bool {
        let mut state = self.state.lock();
        state.replay.seal();
        // There is none beyond the limit of operations.
        state.replay.operation(claim).is_some() && !state.replay.is_recorded(claim)
    }

    /// The code has published this value.
    pub(crate) fn publish(&self, claim: ClaimNumber, value: Payload) {
        self.state.lock().publications.push(Publication { claim, value });
    }
}

impl State {
    /// The code rests, or has returned, and code and journal agree: records what it has published since. Not at once when
    /// it does: until it rests it may prove to be other code than that which the journal is of, or panic, and be another
    /// one when it is resumed (R9). Why the run is to be halted, if something can't be recorded.
    pub(super) fn record_publications(&mut self, environment: &Environment) -> Option<Halt> {
        // The journal of a run that has ended is only compared.
        if self.publications.is_empty() || self.replay.stage() != Stage::Running {
            return None;
        }
        for Publication { claim, value } in std::mem::take(&mut self.publications) {
            let Some(operation) = self.replay.operation(claim) else { continue };
            // The value says what they are.
            let operation = Operation { arguments: None, ..operation.clone() };
            let at = environment.clock.now().0;
            let published = self.append(Event::Published(Published { operation, value, at }));
            if let Some(position) = published {
                // Whoever sees what a later step does can see what was published before it.
                self.required = self.required.max(position.next());
            }
        }
        self.halt.take()
    }
}
