//! The driver of one run: polls its code, delivers completions one by one, and commits what it did.

use std::sync::Arc;
use std::task::{Poll, Wake as _, ready};
use std::time::Duration;

use tracing::Instrument as _;

use super::active::Outcome;
use super::committer::{CommitError, Commits, Link};
use super::control::{Control, Requested};
use super::execution::{Execution, Turn};
use super::followers::Followers;
use super::incoming::{Answer, Message, NotReceived};
use super::nursery::{ChildLost, Nursery};
use super::registry::Returned;
use super::runs::halt_of;
use super::sleepers::Sleepers;
use crate::clock::{Sleep, Timestamp};
use crate::context::{Ended, Received, RunShared, Stop, Suspension, Waits};
use crate::halt::{Halt, HaltReason};
use crate::id::{Fence, Position};
use crate::journal::{Cancelled, Event, Finished, Halted};
use crate::payload::Payload;
use crate::replay::{Incoming, Sent};
use crate::store::{Append, RunStatus};

/// A run that waits for no longer than this stays in memory.
const STAYS: Duration = Duration::from_secs(1);

/// Why a driver drives a run no further.
#[derive(Debug)]
pub(super) enum Driven {
    /// The run leaves memory for good.
    Over(Outcome),
    /// The run has ended with this, and has something left to do, until which the store says that it is running.
    WindsUp(Outcome),
    /// The run is to be read from the store again, and to go on.
    Suspended(Suspension),
    /// The run continues as new, with this input, which has this digest. All that it has recorded is durable.
    Continues(Payload, u64),
}

/// Where the turns of a run have ended.
enum Left {
    Over(Outcome),
    Suspends,
    Continues(Payload, u64),
}

impl From<Outcome> for Left {
    fn from(outcome: Outcome) -> Self {
        Self::Over(outcome)
    }
}

/// What a driver waited for, and will not get.
#[derive(Debug)]
enum Lost {
    Append(CommitError),
    Child(ChildLost),
}

/// Everything a driver works with.
pub(crate) struct Driver {
    execution: Execution,
    /// The execution's.
    shared: Arc<RunShared>,
    control: Arc<Control>,
    committer: Arc<dyn Commits>,
    fence: Fence,
    link: Arc<Link>,
    committing: bool,
    /// Who is to be told when so many records are durable.
    senders: Vec<(Position, Sent, Answer)>,
    /// Who is to be told when the run is paused, and what is to be recorded of that.
    pausing: Vec<(Halted, Answer)>,
    /// Since when the run waits for signals and has not moved, and how far it had come then.
    rests: Option<(Timestamp, Position)>,
    /// What the store has been told that the run does.
    status: RunStatus,
    sleepers: Arc<Sleepers>,
    followers: Arc<Followers>,
    /// What wakes it for the run's next timer.
    alarm: Option<(Timestamp, Sleep)>,
    nursery: Nursery,
    /// Whether the run has something left to do when it has ended.
    winds_up: bool,
}

impl Driver {
    /// A driver that writes under this fence, and is told to stop through this control.
    pub(super) fn new(
        execution: Execution,
        control: Arc<Control>,
        committer: Arc<dyn Commits>,
        fence: Fence,
        sleepers: Arc<Sleepers>,
        followers: Arc<Followers>,
        nursery: Nursery,
    ) -> Self {
        Self {
            shared: Arc::clone(&execution.shared),
            execution,
            control,
            committer,
            fence,
            link: Arc::default(),
            committing: false,
            senders: Vec::new(),
            pausing: Vec::new(),
            rests: None,
            status: RunStatus::Running,
            sleepers,
            followers,
            alarm: None,
            nursery,
            winds_up: false,
        }
    }

    /// Drives the run to its end, to a halt, or until it is told to stop.
    pub(super) async fn drive(self, function: &'static str) -> Driven {
        let correlation_id = self.shared.correlation_id();
        let span = tracing::info_span!("run", id = %self.shared.id, function, correlation_id);
        self.run().instrument(span).await
    }

    async fn run(mut self) -> Driven {
        match self.turns().await {
            Left::Over(outcome) if self.winds_up => Driven::WindsUp(outcome),
            Left::Over(outcome) => Driven::Over(outcome),
            Left::Suspends => self.suspend().await,
            Left::Continues(input, digest) => Driven::Continues(input, digest),
        }
    }

    /// Until the run is over, or is to leave memory.
    async fn turns(&mut self) -> Left {
        self.shared.mark_recovered();
        if let Err(error) = self.flush(RunStatus::Running).await {
            return self.interrupted(&error).into();
        }
        fail_point!("run.code.unpolled");
        loop {
            self.receive();
            if let Some(reason) = self.shared.cancelled() {
                return self.cancel(reason).await.into();
            }
            // Asked before the code is polled, too: a run that was told to stop begins no step.
            if self.control.requested() != Requested::Nothing {
                self.shared.stop();
            }
            match self.execution.turn() {
                Turn::Waiting => {}
                Turn::Yield => {
                    self.control.waker.wake_by_ref();
                    tokio::task::yield_now().await;
                }
                Turn::Returned(returned) => return self.finish(returned).await,
                Turn::Stopped(stop) => return self.halt(stop).await.into(),
                Turn::Suspend => return Left::Suspends,
            }
            match self.control.requested() {
                Requested::Nothing => {}
                Requested::Drain => {
                    self.shared.stop();
                    if !self.shared.is_body_attended() {
                        return self.stop().await.into();
                    }
                }
                Requested::Stop => return self.stop().await.into(),
            }
            if self.is_to_pause() {
                return self.pause().await.into();
            }
            let waits = self.waits_for_long();
            self.submit(if waits.is_some() { RunStatus::Suspended } else { RunStatus::Running });
            if let Some(Waits { due, .. }) = waits
                && !self.committing
            {
                self.execution.drop_code_silently();
                return Outcome::Suspended { due }.into();
            }
            self.nursery.start(self.shared.take_child_starts());
            match self.wait().await {
                Ok(()) => {}
                Err(Lost::Append(error)) => return self.interrupted(&error).into(),
                Err(Lost::Child(lost)) => return self.child_lost(lost).await.into(),
            }
        }
    }

    /// What the run waits for, if it is to leave memory for that.
    fn waits_for_long(&mut self) -> Option<Waits> {
        if !self.sleepers.are_watched() || self.control.waker.is_woken() || !self.shared.wakes.is_empty() {
            return None;
        }
        let now = self.shared.environment.clock.now();
        // What the store was told is not taken back because that took a moment.
        let stays = if self.status == RunStatus::Suspended { STAYS / 2 } else { STAYS };
        let waits = self.shared.waits().filter(|waits| waits.due.is_none_or(|due| due >= now.after(stays)));
        let length = self.shared.length();
        let rests = waits.filter(|waits| waits.for_signals).map(|_| match self.rests {
            Some((since, before)) if before == length => (since, before),
            _ => (now, length),
        });
        self.rests = rests;
        waits.filter(|_| rests.is_none_or(|(since, _)| now >= since.after(STAYS)) && self.senders.is_empty())
    }

    /// Takes in what was sent, and that its time is up.
    fn receive(&mut self) {
        for Message { incoming, answer } in self.control.take_messages() {
            if let Incoming::Pause(halted) = incoming {
                // Steps that are running end before, and what they have done is recorded.
                self.shared.stop();
                self.pausing.push((halted, answer));
                continue;
            }
            match self.shared.receive(incoming) {
                Received::At(length, sent) => self.senders.push((length, sent, answer)),
                Received::Refused => drop(answer),
            }
        }
        let now = self.shared.environment.clock.now();
        if self.shared.deadline().is_some_and(|deadline| deadline <= now) {
            let reason = "its time is up: it has not ended within the time that it was started with".to_owned();
            self.shared.receive(Incoming::Cancel(Cancelled { reason, at: now.0 }));
        }
        self.tell_senders();
    }

    /// Tells those of whom it is durable what became of what they sent.
    fn tell_senders(&mut self) {
        if self.senders.is_empty() {
            return;
        }
        let durable = self.shared.durable();
        for (_, sent, answer) in self.senders.extract_if(.., |(length, ..)| *length <= durable) {
            // Whoever does not wait any more need not be told.
            drop(answer.send(Ok(sent)));
        }
    }

    /// Hands what waits to the committer, unless an append is still under way.
    fn submit(&mut self, status: RunStatus) {
        if self.committing {
            return;
        }
        if !self.shared.is_outbox_empty() || status != self.status {
            let (expected, outbox) = self.shared.take_outbox();
            // Only the last append of several changes the status.
            self.status = if self.shared.is_outbox_empty() { status } else { RunStatus::Running };
            let append = Append {
                run: self.shared.id.clone(),
                expected,
                fence: self.fence,
                records: outbox.records,
                replaces: false,
                clears: outbox.clears,
                status: self.status,
            };
            self.committing = true;
            self.committer.submit(append, &self.link);
        }
    }

    /// Waits until the code wants to be polled, the committer answers, a timer is due, or somebody wants the run to stop.
    async fn wait(&mut self) -> Result<(), Lost> {
        let control = Arc::clone(&self.control);
        self.set_alarm();
        std::future::poll_fn(|task| {
            control.waker.task.register(task.waker());
            self.link.register(task.waker());
            if let Some(answer) = self.link.take() {
                return Poll::Ready(self.acknowledged(answer).map_err(Lost::Append));
            }
            if let Poll::Ready(started) = self.nursery.poll_started(task, &self.shared) {
                return Poll::Ready(started.map_err(Lost::Child));
            }
            if control.waker.is_woken() || !self.shared.wakes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let Some((_, sleep)) = &mut self.alarm else { return Poll::Pending };
            ready!(sleep.as_mut().poll(task));
            self.alarm = None;
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn set_alarm(&mut self) {
        // Also when it has rested long enough to leave memory; if it leaves, the committer is waited for.
        let rested = self.rests.filter(|_| !self.committing).map(|(since, _)| since.after(STAYS));
        let due = self.shared.alarm().into_iter().chain(rested).chain(self.shared.deadline()).min();
        if self.alarm.as_ref().map(|(due, _)| *due) != due {
            let clock = &self.shared.environment.clock;
            self.alarm = due.map(|due| (due, clock.sleep_until(due)));
        }
    }

    /// The committer has answered: all up to this length is durable, or it failed.
    fn acknowledged(&mut self, answer: Result<Position, CommitError>) -> Result<(), CommitError> {
        fail_point!("run.append.acknowledged");
        self.committing = false;
        self.shared.set_durable(answer?);
        self.followers.tell(&self.shared.id);
        self.tell_senders();
        Ok(())
    }

    /// Waits until everything appended is durable; the last append carries `status`.
    async fn flush(&mut self, status: RunStatus) -> Result<(), CommitError> {
        loop {
            if self.committing {
                let answer = self.link.wait().await;
                self.acknowledged(answer)?;
            }
            self.submit(status);
            if !self.committing {
                return Ok(());
            }
        }
    }

    async fn finish(&mut self, ended: Ended<Result<Returned, String>>) -> Left {
        match self.execution.result(ended) {
            Ok(Ended::Returned(returned)) => self.finish_returned(returned).await.into(),
            Ok(Ended::Cancelled) => self.finish_cancelled().await.into(),
            Ok(Ended::Continues(input, digest)) => self.finish_part(input, digest).await,
            Err(stop) => self.halt(stop).await.into(),
        }
    }

    /// The run continues as new.
    async fn finish_part(&mut self, input: Payload, digest: u64) -> Left {
        if let Some(outcome) = self.start_children().await {
            return outcome.into();
        }
        self.execution.drop_code();
        match self.flush(RunStatus::Running).await {
            Ok(()) => Left::Continues(input, digest),
            Err(error) => self.interrupted(&error).into(),
        }
    }

    async fn finish_returned(&mut self, returned: Returned) -> Outcome {
        let Returned { result, failed } = returned;
        if let Some(outcome) = self.start_children().await {
            return outcome;
        }
        let at = self.shared.environment.clock.now().0;
        self.winds_up = self.shared.has_duties(false);
        let status = match failed {
            _ if self.winds_up => RunStatus::Running,
            true => RunStatus::Failed,
            false => RunStatus::Completed,
        };
        let kept = Arc::new(result.clone());
        if self.shared.append(Event::Finished(Finished { result, failed, at })).is_none() {
            let halt = Halt::new(HaltReason::Limit, None, "its result can't be recorded");
            return self.halt(Stop::Halt(halt)).await;
        }
        fail_point!("run.finish.appended");
        match self.flush(status).await {
            Ok(()) => {
                fail_point!("run.finish.durable");
                self.shared.environment.counters.finished();
                tracing::debug!(failed, "run finished");
                Outcome::Finished { result: kept }
            }
            Err(error) => self.interrupted(&error),
        }
    }

    /// The function has returned: starts what it has asked for and not waited for. What became of the run, if that can't be
    /// done.
    async fn start_children(&mut self) -> Option<Outcome> {
        while self.shared.has_children_to_start() {
            if self.control.requested() != Requested::Nothing {
                return Some(self.stop().await);
            }
            if self.is_to_pause() {
                return Some(self.pause().await);
            }
            if let Err(error) = self.flush(RunStatus::Running).await {
                return Some(self.interrupted(&error));
            }
            self.nursery.start(self.shared.take_child_starts());
            if let Err(lost) = self.nursery.all_started(&self.shared).await {
                return Some(self.child_lost(lost).await);
            }
        }
        None
    }

    /// A run that the code has asked for could not be started.
    async fn child_lost(&mut self, lost: ChildLost) -> Outcome {
        match lost {
            ChildLost::Refused(halt) => self.halt(Stop::Halt(halt)).await,
            ChildLost::Store(error) => self.interrupted(&CommitError::Store(error)),
            ChildLost::ShuttingDown => self.stop().await,
        }
    }

    /// The run goes no further for now: what it has emitted is to be delivered all the same.
    async fn deliver(&mut self) -> Result<(), CommitError> {
        // Otherwise what is recorded next shares a commit with what waits for one.
        if self.shared.has_deliveries_to_start() {
            self.flush(RunStatus::Running).await?;
            self.nursery.start(self.shared.take_deliveries());
        }
        match self.nursery.all_started(&self.shared).await {
            // It is started when the run is resumed, or cancelled.
            Ok(()) | Err(ChildLost::Refused(_)) => Ok(()),
            Err(ChildLost::Store(error)) => Err(CommitError::Store(error)),
            Err(ChildLost::ShuttingDown) => Err(CommitError::Closed),
        }
    }

    async fn halt(&mut self, stop: Stop) -> Outcome {
        self.execution.drop_code();
        if let Err(error) = self.deliver().await {
            return self.interrupted(&error);
        }
        let halt = self.execution.explain(stop);
        tracing::error!(%halt, "run halted");
        let Halt { reason, step, message } = halt.clone();
        let at = self.shared.environment.clock.now().0;
        self.shared.append(Event::Halted(Halted { reason, step, message, at }));
        fail_point!("run.halt.appended");
        match self.flush(RunStatus::Halted).await {
            Ok(()) => {
                fail_point!("run.halt.durable");
                Outcome::Halted(halt)
            }
            Err(error) => self.interrupted(&error),
        }
    }

    /// Whether somebody has paused the run, and no step of it is running any more.
    fn is_to_pause(&self) -> bool {
        !self.pausing.is_empty() && !self.shared.is_body_attended()
    }

    async fn pause(&mut self) -> Outcome {
        self.execution.drop_code();
        let mut pausing = std::mem::take(&mut self.pausing);
        let Some((halted, _)) = pausing.first() else { return Outcome::Stopped };
        let (halted, halt) = (halted.clone(), halt_of(halted));
        if let Err(error) = self.deliver().await {
            return self.interrupted(&error);
        }
        if self.shared.append(Event::Halted(halted)).is_none() {
            return Outcome::Stopped;
        }
        let flushed = self.flush(RunStatus::Halted).await;
        for (_, answer) in pausing.drain(..) {
            let answered = match &flushed {
                Ok(()) => Ok(Sent::New),
                Err(CommitError::Store(error)) => Err(NotReceived::Store(error.clone())),
                // Asked again, it is told.
                Err(CommitError::Closed | CommitError::Refused(_)) => continue,
            };
            drop(answer.send(answered));
        }
        match flushed {
            Ok(()) => {
                tracing::info!(%halt, "run paused");
                Outcome::Halted(halt)
            }
            Err(error) => self.interrupted(&error),
        }
    }

    /// Somebody has cancelled the run, and what it had done is undone.
    async fn finish_cancelled(&mut self) -> Outcome {
        let reason = self.shared.cancel_reason().unwrap_or_default();
        let told = Arc::from(&*reason);
        let at = self.shared.environment.clock.now().0;
        if self.shared.append(Event::Cancelled(Cancelled { reason, at })).is_none() {
            let halt = Halt::new(HaltReason::Limit, None, "that it is cancelled can't be recorded");
            return self.halt(Stop::Halt(halt)).await;
        }
        self.cancel(told).await
    }

    /// Somebody has cancelled the run, which is appended.
    async fn cancel(&mut self, reason: Arc<str>) -> Outcome {
        self.execution.drop_code();
        // One that comes to be later would not be cancelled.
        if let Err(ChildLost::Store(error)) = self.nursery.all_started(&self.shared).await {
            return self.interrupted(&CommitError::Store(error));
        }
        self.winds_up = self.shared.has_duties(true);
        match self.flush(if self.winds_up { RunStatus::Running } else { RunStatus::Cancelled }).await {
            Ok(()) => {
                tracing::info!(%reason, "run cancelled");
                Outcome::Cancelled { reason }
            }
            Err(error) => self.interrupted(&error),
        }
    }

    async fn stop(&mut self) -> Outcome {
        // So that a run that only waits is not recovered, and that not counted (R12), when the store is opened again.
        let waits = self.shared.waits().filter(|_| self.sleepers.are_watched());
        self.execution.drop_code();
        fail_point!("run.stop.dropped");
        match self.flush(if waits.is_some() { RunStatus::Suspended } else { RunStatus::Running }).await {
            Ok(()) => Outcome::Stopped,
            Err(error) => self.interrupted(&error),
        }
    }

    /// Takes the run out of memory; no body of a step is running.
    async fn suspend(mut self) -> Driven {
        let suspension = self.shared.suspension();
        self.execution.drop_code_silently();
        let status = if self.shared.is_outbox_empty() { self.status } else { RunStatus::Running };
        match self.flush(status).await {
            Ok(()) => Driven::Suspended(suspension),
            Err(error) => Driven::Over(self.interrupted(&error)),
        }
    }

    /// The append failed: the run in memory is dropped, nothing outside has seen what it did since (R5).
    fn interrupted(&mut self, error: &CommitError) -> Outcome {
        self.execution.drop_code();
        if let CommitError::Store(error) = error {
            for (_, _, answer) in self.senders.drain(..) {
                drop(answer.send(Err(NotReceived::Store(error.clone()))));
            }
        }
        interrupted(error)
    }
}

/// What becomes of a run whose append failed.
pub(super) fn interrupted(error: &CommitError) -> Outcome {
    let message = match error {
        CommitError::Closed => return Outcome::Stopped,
        CommitError::Store(error) => format!(
            "the store failed: {error}. The run goes on from its last acknowledged record once it is resumed, or when the store is opened anew"
        ),
        CommitError::Refused(refused) => {
            format!("the store refused a record: {refused}. Another process or runtime has gone on with this run")
        }
    };
    tracing::error!(message, "run interrupted");
    Outcome::Halted(Halt::new(HaltReason::Storage, None, message))
}
