//! What others send to runs, on its way: to the driver of one in memory, or into the store.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::active::{Identity, Outcome};
use super::committer::{CommitError, Link};
use super::runs::{Engine, Leaving};
use crate::clock::Timestamp;
use crate::id::RunId;
use crate::journal;
use crate::replay::{Incoming, Replay, Sent};
use crate::store::{Append, Record, RunStatus, StoreError};
use crate::sync::atomic::Ordering;

/// What the sender is told. Dropped without an answer if the run left memory before it came to it: ask again.
pub(super) type Answer = oneshot::Sender<Result<Sent, NotReceived>>;

/// Something for a run in memory.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) incoming: Incoming,
    pub(super) answer: Answer,
}

/// Why a run does not receive what is sent to it.
#[derive(Debug)]
pub(crate) enum NotReceived {
    Unknown,
    Finished(RunStatus),
    ShuttingDown,
    Store(StoreError),
}

impl Engine {
    /// Records what is sent to a run, wherever that is.
    pub(crate) async fn send(self: &Arc<Self>, id: &RunId, incoming: &Incoming) -> Result<Sent, NotReceived> {
        loop {
            if let Some(told) = self.hand_over(id, incoming)? {
                match told.await {
                    Ok(answer) => return answer,
                    // The run has left memory.
                    Err(_) => continue,
                }
            }
            let Some(leaving) = self.take(id) else { continue };
            let (engine, run, incoming) = (Arc::clone(self), id.clone(), incoming.clone());
            let recorded = self.to_the_end(async move { engine.record_incoming(leaving, run, incoming).await });
            return recorded.await.unwrap_or_else(|error| Err(NotReceived::Store(error)));
        }
    }

    /// Gives it to the run's driver, if the run is in memory.
    fn hand_over(
        &self,
        id: &RunId,
        incoming: &Incoming,
    ) -> Result<Option<oneshot::Receiver<Result<Sent, NotReceived>>>, NotReceived> {
        // Under this lock runs leave memory, and drop what they did not come to.
        let runs = self.active.lock();
        if self.stopping.load(Ordering::Acquire) {
            return Err(NotReceived::ShuttingDown);
        }
        let Some(active) = runs.get(id).filter(|active| !active.is_suspended()) else { return Ok(None) };
        let (answer, told) = oneshot::channel();
        active.control.send(Message { incoming: incoming.clone(), answer });
        Ok(Some(told))
    }

    /// Records it for a run that nobody has in memory.
    async fn record_incoming(
        self: Arc<Self>,
        mut leaving: Leaving,
        id: RunId,
        incoming: Incoming,
    ) -> Result<Sent, NotReceived> {
        let loaded = self.load(&id).await.map_err(NotReceived::Store)?.ok_or(NotReceived::Unknown)?;
        if let Some(started) = loaded.started() {
            // For those who start or attach to it meanwhile (R1).
            leaving.active.identity.get_or_init(|| Identity::of(started));
        }
        let head = loaded.head;
        if head.status == RunStatus::Suspended {
            // Whoever waits for its end goes on waiting, whatever becomes of this.
            leaving.outcome = Outcome::Suspended { due: None };
        }
        let is_cancel = matches!(incoming, Incoming::Cancel(_));
        let broken = |error: String| NotReceived::Store(StoreError::Broken { first: error });
        let replay = Replay::of_journal(loaded.events).map_err(|illegal| broken(illegal.to_string()))?;
        let is_over = head.status.is_over();
        match replay.judge(&incoming, self.environment.limits.signals) {
            Sent::New | Sent::Conflicts | Sent::TooMany if is_over => return Err(NotReceived::Finished(head.status)),
            Sent::Again if is_cancel && head.status != RunStatus::Cancelled => {
                return Err(NotReceived::Finished(head.status));
            }
            Sent::New => {}
            // Also of a run that has ended: whoever got no answer is told that it had arrived.
            sent => return Ok(sent),
        }
        let (cancelled, status) = match &incoming {
            Incoming::Cancel(cancel) => (Some(Arc::from(&*cancel.reason)), RunStatus::Cancelled),
            Incoming::Signal(_) | Incoming::Promise { .. } => (None, head.status),
        };
        let event = incoming.into_event();
        let at = Timestamp(event.at());
        let frame = journal::encode(&event).map_err(|error| broken(error.to_string()))?;
        let append = Append {
            run: id.clone(),
            expected: head.length,
            fence: head.fence,
            records: vec![Record { frame, due: event.due() }],
            clears: Vec::new(),
            status,
        };
        let link = Arc::new(Link::default());
        fail_point!("incoming.append.unsubmitted");
        self.committer.submit(append, &link);
        link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => NotReceived::Store(error),
            CommitError::Refused(refused) => broken(refused.to_string()),
            CommitError::Closed => NotReceived::ShuttingDown,
        })?;
        fail_point!("incoming.append.durable");
        if let Some(reason) = cancelled {
            self.stuck.lock().remove(&id);
            leaving.outcome = Outcome::Cancelled { reason };
            return Ok(Sent::New);
        }
        match head.status {
            // It is due, and woken as one whose time has come.
            RunStatus::Suspended => leaving.outcome = Outcome::Suspended { due: Some(at) },
            RunStatus::Running if self.stuck(&id).is_none() => {
                drop(leaving);
                // It was not recovered yet, and recovery may just have passed it by.
                self.recover_alone(&id).await.map_err(NotReceived::Store)?;
            }
            RunStatus::Running
            | RunStatus::Halted
            | RunStatus::Completed
            | RunStatus::Failed
            | RunStatus::Cancelled => {}
        }
        Ok(Sent::New)
    }
}
