//! Signals on their way to runs: to the driver of one in memory, or into the store.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::active::Outcome;
use super::committer::{CommitError, Link};
use super::runs::{Engine, Leaving};
use crate::clock::Timestamp;
use crate::id::RunId;
use crate::journal::{self, Event, SignalReceived};
use crate::replay::{Replay, Sent};
use crate::store::{Append, Record, RunStatus, StoreError};
use crate::sync::atomic::Ordering;

/// What the sender is told. Dropped without an answer if the run left memory before it came to it: ask again.
pub(super) type Answer = oneshot::Sender<Result<Sent, SignalRefused>>;

/// A signal for a run in memory.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) signal: SignalReceived,
    pub(super) answer: Answer,
}

/// Why a run does not receive a signal.
#[derive(Debug)]
pub(crate) enum SignalRefused {
    Unknown,
    Finished(RunStatus),
    Conflicts,
    TooMany,
    ShuttingDown,
    Store(StoreError),
}

impl Engine {
    /// Records a signal for a run, wherever that is.
    pub(crate) async fn signal(self: &Arc<Self>, id: &RunId, signal: &SignalReceived) -> Result<Sent, SignalRefused> {
        loop {
            if let Some(told) = self.hand_over(id, signal)? {
                match told.await {
                    Ok(answer) => return answer,
                    // The run has left memory.
                    Err(_) => continue,
                }
            }
            let Some(leaving) = self.take(id) else { continue };
            let (engine, run, signal) = (Arc::clone(self), id.clone(), signal.clone());
            let recorded = self.to_the_end(async move { engine.record_signal(leaving, run, signal).await });
            return recorded.await.unwrap_or_else(|error| Err(SignalRefused::Store(error)));
        }
    }

    /// Gives it to the run's driver, if the run is in memory.
    fn hand_over(
        &self,
        id: &RunId,
        signal: &SignalReceived,
    ) -> Result<Option<oneshot::Receiver<Result<Sent, SignalRefused>>>, SignalRefused> {
        // Under this lock runs leave memory, and drop what they did not come to.
        let runs = self.active.lock();
        if self.stopping.load(Ordering::Acquire) {
            return Err(SignalRefused::ShuttingDown);
        }
        let Some(active) = runs.get(id).filter(|active| !active.is_suspended()) else { return Ok(None) };
        let (answer, told) = oneshot::channel();
        active.control.send(Message { signal: signal.clone(), answer });
        Ok(Some(told))
    }

    /// Records it for a run that nobody has in memory.
    async fn record_signal(
        self: Arc<Self>,
        mut leaving: Leaving,
        id: RunId,
        signal: SignalReceived,
    ) -> Result<Sent, SignalRefused> {
        let at = Timestamp(signal.at);
        let loaded = self.load(&id).await.map_err(SignalRefused::Store)?.ok_or(SignalRefused::Unknown)?;
        let head = loaded.head;
        if head.status == RunStatus::Suspended {
            // Whoever waits for its end goes on waiting, whatever becomes of this.
            leaving.outcome = Outcome::Suspended { due: None };
        }
        let broken = |error: String| SignalRefused::Store(StoreError::Broken { first: error });
        let replay = Replay::of_journal(loaded.events).map_err(|illegal| broken(illegal.to_string()))?;
        let is_over = matches!(head.status, RunStatus::Completed | RunStatus::Failed);
        match replay.judge(&signal) {
            // Also of a run that has ended: whoever got no answer is told that it had arrived.
            Sent::Again => return Ok(Sent::Again),
            Sent::New | Sent::Conflicts if is_over => return Err(SignalRefused::Finished(head.status)),
            Sent::Conflicts => return Err(SignalRefused::Conflicts),
            Sent::New => {}
        }
        if replay.signals() >= self.environment.limits.signals {
            return Err(SignalRefused::TooMany);
        }
        let event = Event::SignalReceived(signal);
        let frame = journal::encode(&event).map_err(|error| broken(error.to_string()))?;
        let append = Append {
            run: id.clone(),
            expected: head.length,
            fence: head.fence,
            records: vec![Record { frame, due: event.due() }],
            clears: Vec::new(),
            status: head.status,
        };
        let link = Arc::new(Link::default());
        fail_point!("signal.append.unsubmitted");
        self.committer.submit(append, &link);
        link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => SignalRefused::Store(error),
            CommitError::Refused(refused) => broken(refused.to_string()),
            CommitError::Closed => SignalRefused::ShuttingDown,
        })?;
        fail_point!("signal.append.durable");
        match head.status {
            // It is due, and woken as one whose time has come.
            RunStatus::Suspended => leaving.outcome = Outcome::Suspended { due: Some(at) },
            RunStatus::Running if self.stuck(&id).is_none() => {
                drop(leaving);
                // It was not recovered yet, and recovery may just have passed it by.
                self.recover_alone(&id).await.map_err(SignalRefused::Store)?;
            }
            RunStatus::Running | RunStatus::Halted | RunStatus::Completed | RunStatus::Failed => {}
        }
        Ok(Sent::New)
    }
}
