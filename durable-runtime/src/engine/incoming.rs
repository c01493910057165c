//! What others send to runs, on its way: to the driver of one in memory, or into the store.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::active::{Identity, Outcome};
use super::committer::{CommitError, Link};
use super::recovery::Loaded;
use super::runs::{Engine, Leaving, halt_of};
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::{self, Event, Halted};
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

/// Where something that was sent has gone.
enum Handed {
    /// To the driver of the run, which will tell.
    Over(oneshot::Receiver<Result<Sent, NotReceived>>),
    /// The run has ended.
    Ended,
    /// The run is in the store only.
    NotInMemory,
}

fn broken(error: String) -> NotReceived {
    NotReceived::Store(StoreError::Broken { first: error })
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
            match self.hand_over(id, incoming)? {
                Handed::Over(told) => match told.await {
                    Ok(answer) => return answer,
                    // The run has left memory, or has ended.
                    Err(_) => continue,
                },
                // It receives nothing any more.
                Handed::Ended => {
                    let loaded = self.load(id).await.map_err(NotReceived::Store)?.ok_or(NotReceived::Unknown)?;
                    return self.judge(&loaded, incoming).map(|(sent, _)| sent);
                }
                Handed::NotInMemory => {}
            }
            let Some(leaving) = self.take(id) else { continue };
            let (engine, run, incoming) = (Arc::clone(self), id.clone(), incoming.clone());
            let recorded = self.to_the_end(async move { engine.record_incoming(leaving, run, incoming).await });
            return recorded.await.unwrap_or_else(|error| Err(NotReceived::Store(error)));
        }
    }

    /// Gives it to the run's driver, if the run is in memory.
    fn hand_over(&self, id: &RunId, incoming: &Incoming) -> Result<Handed, NotReceived> {
        // Under this lock runs leave memory, and drop what they did not come to.
        let runs = self.active.lock();
        if self.stopping.load(Ordering::Acquire) {
            return Err(NotReceived::ShuttingDown);
        }
        let Some(active) = runs.get(id).filter(|active| !active.is_suspended()) else {
            return Ok(Handed::NotInMemory);
        };
        let (answer, told) = oneshot::channel();
        let is_open = active.control.send(Message { incoming: incoming.clone(), answer });
        Ok(if is_open { Handed::Over(told) } else { Handed::Ended })
    }

    /// What a run that nobody drives makes of it. What is new to one that has ended is an error.
    fn judge(&self, loaded: &Loaded, incoming: &Incoming) -> Result<(Sent, Replay), NotReceived> {
        let status = loaded.head.status;
        let replay =
            Replay::of_journal(loaded.events.iter().cloned()).map_err(|illegal| broken(illegal.to_string()))?;
        let is_cancel = matches!(incoming, Incoming::Cancel(_));
        match replay.judge(incoming, self.environment.limits.signals) {
            Sent::New | Sent::Conflicts | Sent::TooMany if status.is_over() => Err(NotReceived::Finished(status)),
            Sent::Again if is_cancel && status.is_over() && status != RunStatus::Cancelled => {
                Err(NotReceived::Finished(status))
            }
            // Also of a run that has ended: whoever got no answer is told that it had arrived.
            sent => Ok((sent, replay)),
        }
    }

    /// Records it for a run that nobody has in memory.
    async fn record_incoming(
        self: Arc<Self>,
        mut leaving: Leaving,
        id: RunId,
        incoming: Incoming,
    ) -> Result<Sent, NotReceived> {
        let mut loaded = self.load(&id).await.map_err(NotReceived::Store)?.ok_or(NotReceived::Unknown)?;
        if let Some(started) = loaded.started() {
            // For those who start or attach to it meanwhile (R1).
            leaving.active.identity.get_or_init(|| Identity::of(started));
        }
        let is_suspended = loaded.head.status == RunStatus::Suspended || self.waits_for_place(&id);
        // Whoever waits for its end is told, or goes on waiting, whatever becomes of this.
        leaving.outcome = if is_suspended { Outcome::Suspended { due: None } } else { self.recorded_outcome(&loaded) };
        // It was not recovered yet, and recovery may just have passed it by, because it is here.
        let is_passed_by = !is_suspended && loaded.head.status == RunStatus::Running && self.stuck(&id).is_none();
        let (sent, winds_up) = match self.append_incoming(&mut loaded, &incoming).await {
            Ok(recorded) => recorded,
            Err(error) => {
                if loaded.winds_up {
                    self.wind_up_later(leaving);
                } else if let (NotReceived::Store(error), true) = (&error, is_passed_by) {
                    leaving.outcome = Outcome::Halted(Halt::new(HaltReason::Storage, None, error.to_string()));
                }
                return Err(error);
            }
        };
        match loaded.events.last() {
            Some(Event::Cancelled(cancel)) if sent == Sent::New => {
                self.stuck.lock().remove(&id);
                leaving.outcome = Outcome::Cancelled { reason: cancel.reason.as_str().into() };
                if winds_up {
                    self.wind_up_later(leaving);
                }
            }
            Some(Event::Halted(halted)) if sent == Sent::New => {
                self.stuck.lock().remove(&id);
                leaving.outcome = Outcome::Halted(halt_of(halted));
            }
            // It was halted, and goes on to undo what it has done.
            Some(Event::Resumed { .. }) if sent == Sent::New => drop(self.go_on_alone(leaving, loaded)),
            // One that has not begun is not woken for it. What waits for its place goes on when it has that.
            _ if is_suspended => {
                let due = loaded.events.last().and_then(Event::due).filter(|_| sent == Sent::New && loaded.has_begun());
                let is_woken = loaded.head.status == RunStatus::Suspended;
                leaving.outcome = Outcome::Suspended { due: due.filter(|_| is_woken) };
            }
            _ if is_passed_by => drop(self.go_on_alone(leaving, loaded)),
            _ if loaded.winds_up => self.wind_up_later(leaving),
            _ => {}
        }
        Ok(sent)
    }

    /// Records it behind what a run has, and whether the run then has something left to do though it has ended.
    async fn append_incoming(&self, loaded: &mut Loaded, incoming: &Incoming) -> Result<(Sent, bool), NotReceived> {
        let (sent, replay) = self.judge(loaded, incoming)?;
        let is_left_something = replay.has_open_children() || replay.emissions().next().is_some();
        let winds_up = replay.parent().is_some_and(|parent| parent.attached) || is_left_something;
        if sent != Sent::New {
            return Ok((sent, winds_up));
        }
        let knows_its_undos = self.knows_its_undos(loaded, &replay);
        let event = replay.event_of(incoming.clone(), knows_its_undos);
        let event = event.ok_or_else(|| broken("there is nothing to record".to_owned()))?;
        #[cfg(feature = "testing")]
        crate::context::director::recorded(&self.environment, &loaded.head.run, &event);
        let due = event.due().filter(|_| loaded.has_begun());
        let (status, resumed) = match (&event, loaded.head.status) {
            (Event::Cancelled(_), _) if winds_up => (RunStatus::Running, None),
            (Event::Cancelled(_), _) => (RunStatus::Cancelled, None),
            (Event::Halted(_), _) => (RunStatus::Halted, None),
            (Event::CancelRequested(requested), RunStatus::Halted) => {
                (RunStatus::Running, Some(Event::Resumed { at: requested.at }))
            }
            (_, status) => (status, None),
        };
        let mut records = Vec::new();
        for (event, due) in [(&event, due)].into_iter().chain(resumed.as_ref().map(|event| (event, None))) {
            let frame = journal::encode(event).map_err(|error| broken(error.to_string()))?;
            records.push(Record { frame, due });
        }
        let append = Append {
            run: loaded.head.run.clone(),
            expected: loaded.head.length,
            fence: loaded.head.fence,
            records,
            replaces: false,
            clears: Vec::new(),
            status,
        };
        let link = Arc::new(Link::default());
        fail_point!("incoming.append.unsubmitted");
        self.committer.submit(append, &link);
        loaded.head.length = link.wait().await.map_err(|error| match error {
            CommitError::Store(error) => NotReceived::Store(error),
            CommitError::Refused(refused) => broken(refused.to_string()),
            CommitError::Closed => NotReceived::ShuttingDown,
        })?;
        fail_point!("incoming.append.durable");
        loaded.events.push(event);
        loaded.events.extend(resumed);
        Ok((sent, winds_up))
    }

    /// Whether the journal of a run that nobody has in memory tells all that there is to undo. Not if its code may have planned
    /// something since it was last told of an outcome, and its process died, or it panicked, before that was recorded.
    fn knows_its_undos(&self, loaded: &Loaded, replay: &Replay) -> bool {
        let has_panicked = |halted: &Halted| halted.reason == HaltReason::Panic;
        match (loaded.head.status, journal::last_of(&loaded.events)) {
            _ if !replay.was_told() || self.code_of(loaded).is_ok_and(|code| !code.may_undo) => true,
            (RunStatus::Running, _) => self.stuck(&loaded.head.run).is_some(),
            (RunStatus::Halted, Some(Event::Halted(halted))) => !has_panicked(halted),
            _ => true,
        }
    }
}
