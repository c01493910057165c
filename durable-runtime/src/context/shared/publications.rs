//! What the code publishes, and plans to undo: recorded when it rests.

use super::{RunShared, State};
use crate::halt::Halt;
use crate::journal::{Arguments, Emitted, Event, Operation, Published, UndoPlanned};
use crate::payload::Payload;
use crate::replay::{ClaimNumber, Stage};

/// What the code has said that is recorded when it rests.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) claim: ClaimNumber,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A value that is to be seen.
    Value(Payload),
    /// A step that is to undo something, with these arguments.
    Undo(Option<Arguments>),
    /// An event that is to be delivered.
    Event(Payload),
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
        self.state.lock().publications.push(Publication { claim, what: What::Value(value) });
    }

    /// The code has emitted this event.
    pub(crate) fn emit(&self, claim: ClaimNumber, event: Payload) {
        self.state.lock().publications.push(Publication { claim, what: What::Event(event) });
    }

    /// The code has planned a step that is to undo something.
    pub(crate) fn plan(&self, claim: ClaimNumber, arguments: Option<Arguments>) {
        self.state.lock().publications.push(Publication { claim, what: What::Undo(arguments) });
    }

    /// Whether the code was told that the run is to be cancelled.
    pub(crate) fn is_cancel_told(&self) -> bool {
        self.state.lock().replay.is_cancel_told()
    }

    /// Whether the run is to be cancelled, when what it has done is undone.
    pub(crate) fn is_to_be_cancelled(&self) -> bool {
        self.state.lock().replay.cancel_reason().is_some()
    }

    /// The driver: why the run is to be cancelled, if it is.
    pub(crate) fn cancel_reason(&self) -> Option<String> {
        self.state.lock().replay.cancel_reason().map(str::to_owned)
    }
}

impl State {
    /// The code rests, or has returned, and code and journal agree: records what it has published since. Not at once when
    /// it does: until it rests it may prove to be other code than that which the journal is of, or panic, and be another
    /// one when it is resumed (R9). Why the run is to be halted, if something can't be recorded.
    pub(super) fn record_publications(&mut self, shared: &RunShared) -> Option<Halt> {
        // The journal of a run that has ended is only compared.
        if self.publications.is_empty() {
            return None;
        }
        // Whether what is planned is recorded is known only now: until the next claim it may be given another name.
        self.replay.seal();
        let replay = &self.replay;
        self.publications.retain(|publication| !replay.is_recorded(publication.claim));
        if self.replay.stage() != Stage::Running {
            return None;
        }
        for Publication { claim, what } in std::mem::take(&mut self.publications) {
            let Some(operation) = self.replay.operation(claim) else { continue };
            let number = operation.claim;
            let at = shared.environment.clock.now().0;
            let event = match what {
                What::Value(value) => {
                    // The value says what they are.
                    let operation = Operation { arguments: None, ..operation.clone() };
                    Event::Published(Published { operation, value, at })
                }
                What::Event(value) => {
                    let operation = Operation { arguments: None, ..operation.clone() };
                    Event::Emitted(Emitted { operation, value, at })
                }
                What::Undo(arguments) => {
                    let operation = Operation { arguments, ..operation.clone() };
                    Event::UndoPlanned(UndoPlanned { operation, at })
                }
            };
            let published = self.append(event);
            if let Some(position) = published {
                // Whoever sees what a later step does can see what was published before it.
                self.required = self.required.max(position.next());
                let emitted = self.replay.emissions().find(|emission| emission.operation.claim == number).cloned();
                if let Some(emission) = emitted {
                    self.deliver(shared, position.next(), &emission);
                }
            }
        }
        self.halt.take()
    }
}
