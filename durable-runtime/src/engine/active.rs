//! A run that is in memory, and what others may know of it.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::watch;

use super::control::Control;
use crate::clock::Timestamp;
use crate::context::{AtWork, RunShared};
use crate::error::StartError;
use crate::halt::Halt;
use crate::id::RunId;
use crate::journal::{Parent, Started};
use crate::payload::Payload;
use crate::sync::Mutex;

/// What became of a run, as far as this process is concerned.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It returned this.
    Finished { result: Arc<Payload> },
    /// It was cancelled, for this reason.
    Cancelled { reason: Arc<str> },
    /// It is halted.
    Halted(Halt),
    /// The runtime stopped; the run goes on when the store is opened again.
    Stopped,
    /// It was never started.
    NotStarted(StartError),
    /// It is suspended, and woken then, if it waits for a time.
    Suspended { due: Option<Timestamp> },
}

/// Where an active run is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Not yet known to the store.
    Starting,
    /// Started durably.
    Running,
    /// Suspended: it is in the store only, and this is kept for those who wait for its end.
    Suspended,
    /// Over.
    Over(Outcome),
}

/// Which function a run executes, on which input.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) function: String,
    /// What it was started with, for people.
    pub(crate) input: String,
    pub(crate) input_digest: u64,
    /// The run that has started it, if a run has.
    pub(crate) parent: Option<Parent>,
}

impl Identity {
    pub(super) fn of(started: &Started) -> Self {
        Self {
            function: started.function.to_string(),
            input: started.first_input(),
            input_digest: started.first_digest(),
            parent: started.parent.clone(),
        }
    }
}

/// A run that is in memory.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: RunId,
    pub(crate) identity: OnceLock<Identity>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(super) control: Arc<Control>,
    /// What its code shares with its driver, while it is driven.
    pub(super) shared: Mutex<Weak<RunShared>>,
}

impl Active {
    pub(super) fn new(id: RunId) -> Arc<Self> {
        let (phase, _) = watch::channel(Phase::Starting);
        Arc::new(Self {
            id,
            identity: OnceLock::new(),
            phase,
            control: Arc::default(),
            shared: Mutex::new(Weak::new()),
        })
    }

    /// The attempts of its steps that are running.
    pub(super) fn at_work(&self) -> Vec<AtWork> {
        let shared = self.shared.lock().upgrade();
        shared.map(|shared| shared.at_work()).unwrap_or_default()
    }

    /// Whether it is in the store only.
    pub(super) fn is_suspended(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Suspended)
    }

    /// Waits until the run is known to the store, and checks that it is the given function on the given input
    /// (R1). `false` if there is no such run after all: it was being deleted.
    pub(crate) async fn attached(&self, function: &str, input: Option<(&Payload, u64)>) -> Result<bool, StartError> {
        let mut phase = self.phase.subscribe();
        let known = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
        if let Ok(phase) = known
            && let Phase::Over(Outcome::NotStarted(error)) = &*phase
        {
            return Err(error.clone());
        }
        let Some(identity) = self.identity.get() else {
            let over = matches!(&*self.phase.borrow(), Phase::Over(Outcome::Stopped));
            return Ok(!over);
        };
        if identity.function != function {
            return Err(StartError::OtherFunction {
                run: self.id.clone(),
                recorded: identity.function.clone(),
                given: function.to_owned(),
            });
        }
        if let Some((input, digest)) = input
            && identity.input_digest != digest
        {
            return Err(StartError::OtherInput {
                run: self.id.clone(),
                function: function.to_owned(),
                recorded: identity.input.clone(),
                given: input.excerpt(),
            });
        }
        Ok(true)
    }
}
