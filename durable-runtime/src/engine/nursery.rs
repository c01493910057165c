//! Runs that a run has started: how they come to be, and what they owe each other when one of them has ended.

use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};

use super::active::{Outcome, Phase};
use super::committer::{CommitError, Link};
use super::incoming::NotReceived;
use super::recovery::Loaded;
use super::runs::{Engine, Leaving};
use super::starting::{Particulars, Starting};
use crate::context::{Born, ChildStart, RunShared, delivery};
use crate::emission::DELIVERY_FUNCTION;
use crate::error::StartError;
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::{Cancelled, ChildEnd, Event, Parent};
use crate::replay::{EndOfChild, Incoming, Replay, open_children, undelivered};
use crate::start::correlation_of;
use crate::store::{Append, StoreError};

/// The runs that a run is starting.
pub(super) struct Nursery {
    engine: Weak<Engine>,
    starting: FuturesUnordered<BoxFuture<'static, Result<Born, ChildLost>>>,
}

/// Why a run could not be started.
#[derive(Debug)]
pub(super) enum ChildLost {
    /// For a reason that somebody must mend.
    Refused(Halt),
    Store(StoreError),
    ShuttingDown,
}

impl Nursery {
    pub(super) fn new(engine: Weak<Engine>) -> Self {
        Self { engine, starting: FuturesUnordered::new() }
    }

    pub(super) fn start(&mut self, starts: Vec<ChildStart>) {
        for start in starts {
            let engine = self.engine.upgrade();
            let started = async move {
                let engine = engine.ok_or(ChildLost::ShuttingDown)?;
                engine.start_child(start).await
            };
            self.starting.push(started.boxed());
        }
    }

    /// Ready when more of them exist, or one can't be started. Never, if none is being started.
    pub(super) fn poll_started(
        &mut self,
        task: &mut TaskContext<'_>,
        shared: &RunShared,
    ) -> Poll<Result<(), ChildLost>> {
        let mut progress = Poll::Pending;
        while let Poll::Ready(Some(started)) = self.starting.poll_next_unpin(task) {
            match started {
                Ok(born) => {
                    shared.child_started(&born);
                    progress = Poll::Ready(Ok(()));
                }
                Err(lost) => return Poll::Ready(Err(lost)),
            }
        }
        progress
    }

    /// Waits until each of them exists, or can't be started: none comes to be later. Why the first could not, if one could not.
    pub(super) async fn all_started(&mut self, shared: &RunShared) -> Result<(), ChildLost> {
        let mut all = Ok(());
        while !self.starting.is_empty() {
            all = all.and(std::future::poll_fn(|task| self.poll_started(task, shared)).await);
        }
        all
    }
}

impl Engine {
    /// Starts a run for another one, or finds that it has.
    async fn start_child(self: Arc<Self>, start: ChildStart) -> Result<Born, ChildLost> {
        let ChildStart { claim, is_delivery, run, function, input, digest, parent, correlation, said } = start;
        let refused = |what: &dyn std::fmt::Display| {
            let key = Some(Arc::from(&*parent.key));
            ChildLost::Refused(Halt::new(HaltReason::Misuse, key, format!("the child run can't be started: {what}")))
        };
        let registration = self
            .registry
            .get(function)
            .map_err(|not_found| refused(&format_args!("the function {function} {not_found}")))?;
        let lost = |error: StartError| match error {
            StartError::Store { source, .. } => ChildLost::Store(source),
            StartError::ShuttingDown { .. } => ChildLost::ShuttingDown,
            other => refused(&other),
        };
        let taken = format!(
            "the id {run} is that of a run which this one has not started. Delete that one, or give the child another name with `.named(…)`, and resume this run"
        );
        let said = said.of(&run).map_err(lost)?;
        let queue = said.queue;
        // In a simulated process everything begins at once.
        #[cfg(feature = "testing")]
        let queue = queue.filter(|_| self.environment.director.is_none());
        if let Some(queued) =
            queue.as_ref().filter(|queued| parent.attached && self.queues.has_place(&parent.run, &queued.name))
        {
            let what = format!(
                "it would wait in the queue {:?}, in which this run has a place until it has ended, and waits for it. Start it in another queue, and resume this run; or `.detach()` it where this run need not wait for it",
                &*queued.name
            );
            return Err(refused(&what));
        }
        let particulars = Particulars { parent: Some(parent.clone()), correlation: Some(correlation), queue, ..said };
        let starting = Starting { input: input.clone(), input_digest: digest, particulars };
        loop {
            let watched = self.start(run.clone(), registration, &starting).map_err(lost)?;
            let known = watched.active.attached(function, Some((&input, digest))).await;
            match known {
                // One of that id was being deleted.
                Ok(false) => {}
                Ok(true) => {
                    let recorded = watched.active.identity.get().and_then(|identity| identity.parent.as_ref());
                    if recorded != Some(&parent) {
                        return Err(refused(&taken));
                    }
                    let outcome = watched.active.phase.borrow().clone();
                    if let Phase::Over(Outcome::Finished { .. } | Outcome::Cancelled { .. }) = outcome {
                        // It had told nobody, if this run was not there then: it was imported, or is forked.
                        let (engine, run) = (Arc::clone(&self), run.clone());
                        self.tasks.spawn(async move { engine.wind_up(&run).await });
                    }
                    return Ok(Born { claim, is_delivery, run, function, attached: parent.attached });
                }
                Err(StartError::OtherFunction { .. } | StartError::OtherInput { .. }) => return Err(refused(&taken)),
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// As [`wind_up`](Self::wind_up), for a run that nobody drives: who has ended it need not wait for that, and may be waited for.
    pub(super) fn wind_up_later(self: &Arc<Self>, leaving: Leaving) {
        let (engine, id, outcome) = (Arc::clone(self), leaving.active.id.clone(), leaving.outcome.clone());
        leaving.active.control.wind_up();
        leaving.active.phase.send_replace(Phase::Running);
        self.spawn(leaving, async move {
            engine.wind_up(&id).await;
            outcome
        });
    }

    /// A run has ended: tells the run that has started it, and, if it was cancelled, cancels those that it has started. Then the
    /// store is told that it has ended. If the process dies before, that is done when the store is opened again.
    pub(super) async fn wind_up(self: &Arc<Self>, id: &RunId) {
        match self.wind_up_or_fail(id).await {
            Ok(()) | Err(NotReceived::ShuttingDown) => {}
            Err(error) => {
                tracing::error!(
                    run = %id, ?error,
                    "a run has ended, and those that it has started, or that have started it, could not be told; that is done when the store is opened again"
                );
            }
        }
    }

    async fn wind_up_or_fail(self: &Arc<Self>, id: &RunId) -> Result<(), NotReceived> {
        let Some(loaded) = self.load(id).await.map_err(NotReceived::Store)? else { return Ok(()) };
        if let Some(Event::Cancelled(_)) = loaded.events.last() {
            let at = self.environment.clock.now().0;
            self.deliver_all(&loaded).await?;
            for child in open_children(&loaded.events) {
                let Ok(child) = RunId::new(child) else { continue };
                let reason = format!("the run that has started it, {id}, was cancelled");
                self.tell(&child, &Incoming::Cancel(Cancelled { reason, at })).await?;
            }
        }
        if let Some((parent, end)) = end_of(&loaded)
            && let Ok(run) = RunId::new(&*parent.run)
        {
            #[cfg(feature = "testing")]
            if let Some(director) = &self.environment.director {
                director.may_end(&run, &parent.key).await;
            }
            let at = self.environment.clock.now().0;
            self.tell(&run, &Incoming::Child(EndOfChild { parent: parent.clone(), end, at })).await?;
        }
        if loaded.started().is_some_and(|started| *started.function == *DELIVERY_FUNCTION)
            && matches!(loaded.events.last(), Some(Event::Finished(_)))
        {
            // It is delivered, and nobody asks for it any more.
            let id = id.clone();
            return self.blocking(move |store| store.delete(&id).map(drop)).await.map_err(NotReceived::Store);
        }
        let append = Append {
            run: id.clone(),
            expected: loaded.head.length,
            fence: loaded.head.fence,
            records: Vec::new(),
            replaces: false,
            clears: Vec::new(),
            status: loaded.head.status,
        };
        let link = Arc::new(Link::default());
        self.committer.submit(append, &link);
        match link.wait().await {
            // If it is refused, somebody else has done it, or the run was deleted.
            Ok(_) | Err(CommitError::Refused(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(NotReceived::Store(error)),
            Err(CommitError::Closed) => Err(NotReceived::ShuttingDown),
        }
    }

    /// As [`start_child`](Self::start_child), which may have one that has ended tell others.
    fn start_later(self: Arc<Self>, start: ChildStart) -> BoxFuture<'static, Result<Born, ChildLost>> {
        self.start_child(start).boxed()
    }

    /// Starts a run for each event that a run has emitted and that nobody delivers, as far as is known.
    async fn deliver_all(self: &Arc<Self>, loaded: &Loaded) -> Result<(), NotReceived> {
        let emissions = undelivered(&loaded.events);
        if emissions.is_empty() {
            return Ok(());
        }
        let broken = |why: String| NotReceived::Store(StoreError::Broken { first: why });
        let Some(started) = loaded.started() else { return Ok(()) };
        let replay =
            Replay::of_journal(loaded.events.iter().cloned()).map_err(|illegal| broken(illegal.to_string()))?;
        let id = &loaded.head.run;
        let correlation = correlation_of(started.correlation.as_ref(), id);
        for emission in &emissions {
            let start = delivery(id, started.part(), correlation, &replay, emission);
            let start = start.map_err(|halt| broken(halt.to_string()))?;
            match Arc::clone(self).start_later(start).await {
                Ok(_) => {}
                Err(ChildLost::ShuttingDown) => return Err(NotReceived::ShuttingDown),
                Err(ChildLost::Store(error)) => return Err(NotReceived::Store(error)),
                Err(ChildLost::Refused(halt)) => {
                    tracing::error!(run = %id, key = &*emission.operation.key, %halt, "an event of a run that was cancelled can't be delivered");
                }
            }
        }
        Ok(())
    }

    /// Sends it to a run that may have ended, or not exist.
    async fn tell(self: &Arc<Self>, run: &RunId, incoming: &Incoming) -> Result<(), NotReceived> {
        // Boxed, because what is sent can end that run, which then tells others.
        match Box::pin(self.send(run, incoming)).await {
            Ok(_) | Err(NotReceived::Unknown | NotReceived::Finished(_)) => Ok(()),
            // Of one that can't be read nobody will be told.
            Err(NotReceived::Store(error @ StoreError::Corrupt { .. })) => {
                tracing::error!(%run, %error, "a run can't be told of the end of another one");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Who is to be told of the end of a run, and what.
fn end_of(loaded: &Loaded) -> Option<(&Parent, ChildEnd)> {
    let parent = loaded.started()?.parent.as_ref().filter(|parent| parent.attached)?;
    let end = match loaded.events.last()? {
        Event::Finished(finished) => ChildEnd::Returned { result: finished.result.clone(), failed: finished.failed },
        Event::Cancelled(cancelled) => ChildEnd::Cancelled { reason: cancelled.reason.clone() },
        _ => return None,
    };
    Some((parent, end))
}
