//! Where an operation is used, which only the run's own code may, and what it may be named.

use std::fmt;

use super::{RunShared, STEP_NAME_BYTES_MAX};
use crate::context::scope::{Place, Scope};
use crate::halt::{Halt, HaltReason};

/// Whether an operation can have this name; if not, why.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= STEP_NAME_BYTES_MAX && !name.contains('#') {
        return Ok(());
    }
    let (beginning, bytes) = (&name[..name.floor_char_boundary(100)], name.len());
    Err(format!(
        "{beginning:?} ({bytes} bytes) can't be the name of an operation: it must have 1 to {STEP_NAME_BYTES_MAX} bytes, and `#` is kept for counting"
    ))
}

impl RunShared {
    /// Refuses an operation that is used outside its run's own code (R10).
    ///
    /// # Panics
    /// If it is: there is no value that such a call could return.
    #[track_caller]
    pub(crate) fn check_place(&self, what: &dyn fmt::Display) {
        let message = match Scope::current() {
            Place::Run(instance) if instance == self.instance => return,
            Place::Step(instance) if instance == self.instance => {
                let message = format!(
                    "{what} is called inside the body of a step: a step is one unit of work and has no steps of its own. Call it from the durable function, before or after this step"
                );
                self.halt(Halt::new(HaltReason::Misuse, None, message.clone()));
                message
            }
            Place::Run(_) | Place::Step(_) => {
                let message = format!(
                    "{what} belongs to run {}, but is used by the code of another run: pass values between runs, not contexts",
                    self.id
                );
                // The run that is at fault is not this one.
                Scope::misused(message.clone());
                message
            }
            Place::Outside | Place::Leaving(_) => format!(
                "{what} belongs to run {}, but is used outside its code (in a spawned task, or after the run ended), where it can't be recorded in order: use join!, select! or FuturesUnordered inside the durable function instead of spawning",
                self.id
            ),
        };
        panic!("[{}] {message}", HaltReason::Misuse.code());
    }
}
