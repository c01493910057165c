//! One world: what outlives its processes, who decides what goes wrong in them, and what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::clock::{BEGINNING, VirtualClock};
use super::mishap::{Boundary, Crash, Mishap, StoreFailure};
use super::order::{FailsAt, Point};
use super::schedule::{Place, Schedule};
use super::script::{FakeCall, Script};
use super::timeline::{Entry, Timeline};
use crate::clock::{Clock, Sleep};
use crate::context::{Attempt, Cue, Director};
use crate::id::RunId;
use crate::journal::{self, Event, Journal};
use crate::payload::{Codec, Payload};
use crate::store::Append;

/// The most boundaries of one life; a run that has more never ends.
const BOUNDARIES_MAX: u32 = 100_000;

/// How long after its store has failed a process is restarted in which a run waits for another one that is halted.
const RESTARTED_AFTER: Duration = Duration::from_secs(3);

/// How long anything takes at the most, unless the script says otherwise.
const LONGEST: Duration = Duration::from_millis(60);

/// A world while it is played.
#[derive(Debug)]
pub(super) struct Stage {
    /// The run that is explored. What it starts has ids that begin with this one.
    pub(super) run: RunId,
    schedule: Schedule,
    script: Arc<Script>,
    codec: Codec,
    state: Mutex<State>,
    /// What was recorded of runs before they continued as new: their earlier parts.
    pub(super) parts: Mutex<BTreeMap<RunId, Vec<Journal>>>,
    /// Set when the process dies.
    death: watch::Sender<Option<Death>>,
    /// Whether the store has failed in this life.
    failed: watch::Sender<bool>,
    /// How many of the steps that act in a given order have.
    acted: watch::Sender<usize>,
    /// How many of the steps that end in a given order have.
    ended: watch::Sender<usize>,
}

/// How a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// At a boundary.
    Crash(Crash),
    /// It has done more than any run does.
    Endless,
}

#[derive(Debug, Default)]
struct State {
    clock: Option<VirtualClock>,
    /// How long all lives before this one took together.
    before: Duration,
    life: u32,
    boundary: u32,
    seen: Seen,
    /// How much of what is sent to the run is recorded, as far as the sender knows.
    sent: usize,
    /// How long all lives took until the run was started for the first time.
    started: Option<Duration>,
    /// What is durable of each operation.
    operations: BTreeMap<(RunId, String), Durable>,
    /// By which key each step made itself known, and with which arguments.
    identities: BTreeMap<(RunId, String), (String, Result<serde_json::Value, String>)>,
}

#[derive(Debug, Default)]
struct Durable {
    completed: bool,
    failed_attempts: u32,
    /// Of a timer.
    due: u64,
}

/// What was seen of a world.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) timeline: Timeline,
    pub(super) boundaries: Vec<(Place, Boundary)>,
    pub(super) mishaps: BTreeMap<Place, Mishap>,
    /// How often the body of each step was called.
    pub(super) executions: BTreeMap<String, usize>,
    /// The attempts whose body returned and was heard: not those that panicked, timed out, or were told to fail.
    pub(super) returned: BTreeSet<(String, u32)>,
    /// Where steps may have had their effect, in the order of time.
    pub(super) points: Vec<Point>,
    /// The attempts that were made to fail, and not made again.
    pub(super) made_to_fail: BTreeMap<(String, u32), FailsAt>,
    /// Whether an attempt had a limit.
    pub(super) has_limits: bool,
    /// Which of the scripted crashes have happened.
    pub(super) scripted: BTreeSet<usize>,
    /// The first thing that must not happen, and did.
    pub(super) broken: Option<String>,
}

impl Stage {
    pub(super) fn new(run: RunId, schedule: Schedule, script: Arc<Script>, codec: Codec) -> Arc<Self> {
        Arc::new(Self {
            run,
            schedule,
            script,
            codec,
            state: Mutex::default(),
            parts: Mutex::default(),
            death: watch::Sender::default(),
            failed: watch::Sender::default(),
            acted: watch::Sender::default(),
            ended: watch::Sender::default(),
        })
    }

    /// A process begins to live. Call within its tokio runtime.
    pub(super) fn be_born(&self) -> VirtualClock {
        let mut state = self.state.lock();
        let beginning = self.schedule.order.as_ref().map_or(BEGINNING, |order| order.began);
        let clock = VirtualClock::starting_at(state.clock.as_ref().map_or(beginning, Clock::now));
        state.clock = Some(clock.clone());
        state.life += 1;
        state.boundary = 0;
        self.death.send_replace(None);
        self.failed.send_replace(false);
        clock
    }

    /// The process is over, for whatever reason. Call within its tokio runtime.
    pub(super) fn end_life(&self) {
        let mut state = self.state.lock();
        let elapsed = state.clock.as_mut().map(VirtualClock::stop).unwrap_or_default();
        state.before += elapsed;
    }

    /// Waits until the process dies.
    pub(super) async fn death(&self) -> Death {
        let mut death = self.death.subscribe();
        let died = death.wait_for(Option::is_some).await.map(|death| *death);
        match died {
            Ok(Some(death)) => death,
            // The stage holds the sender.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The store fails, and accepts nothing more in this life.
    pub(super) fn store_has_failed(&self) {
        self.failed.send_replace(true);
    }

    /// Waits until somebody would restart a process whose store has failed.
    pub(super) async fn operator(&self) {
        let mut failed = self.failed.subscribe();
        // The stage holds the sender.
        let _ = failed.wait_for(|failed| *failed).await;
        tokio::time::sleep(RESTARTED_AFTER).await;
    }

    fn die(&self, state: &mut State, death: Death, what: &str) {
        if let Death::Crash(crash) = death {
            state.note(format_args!("CRASH {}", crash.told(what)));
        }
        self.death.send_replace(Some(death));
    }

    /// Whether runs leave memory at every await.
    pub(super) fn suspends(&self) -> bool {
        self.schedule.suspends
    }

    /// Whether the process is dead.
    pub(super) fn is_over(&self) -> bool {
        self.death.borrow().is_some()
    }

    /// Which life this is, from 1.
    pub(super) fn life(&self) -> u32 {
        self.state.lock().life
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.state.lock().seen.clone()
    }

    /// Adds a line to the timeline.
    pub(super) fn note(&self, text: std::fmt::Arguments<'_>) {
        self.state.lock().note(text);
    }

    /// The sender of what the script says, in a process in which the run is started: how much is recorded, as far as it
    /// knows.
    pub(super) fn sent_before(&self) -> usize {
        let mut state = self.state.lock();
        let now = state.elapsed();
        state.started.get_or_insert(now);
        state.sent
    }

    /// The sender knows that one more is recorded. Whether it sends it again.
    pub(super) fn is_sent(&self) -> bool {
        let mut state = self.state.lock();
        state.sent += 1;
        self.schedule.sends_again(state.sent)
    }

    /// Whether a promise is to be settled. Not if in another world, whose result this one is to have, that was too late.
    pub(super) fn may_settle(&self, promise: &str) -> bool {
        self.schedule.order.as_ref().is_none_or(|order| !order.is_too_late_for(promise))
    }

    /// How long the sender waits before it sends this one.
    pub(super) fn sender_waits(&self, signal: usize, after: Duration) -> Duration {
        if self.schedule.order.is_some() {
            return Duration::ZERO;
        }
        let state = self.state.lock();
        let due = state.started.unwrap_or_default() + after;
        let late = self.schedule.delay(&format_args!("signal {signal}"), LONGEST);
        due.saturating_sub(state.elapsed()) + late
    }

    /// What is durable is what was committed. Of runs that have continued as new with it, that is what was recorded of them before.
    pub(super) fn committed(&self, appends: &[Append], before: Vec<Journal>) {
        let told = self.list(appends);
        let mut state = self.state.lock();
        for journal in before {
            // Their keys begin anew.
            state.operations.retain(|(run, _), _| *run != journal.run);
            state.identities.retain(|(run, _), _| *run != journal.run);
            self.parts.lock().entry(journal.run.clone()).or_default().push(journal);
        }
        for append in appends {
            for record in &append.records {
                let Ok(event) = journal::decode(&record.frame) else { continue };
                let Some(operation) = event.operation() else { continue };
                let durable = state.operations.entry((append.run.clone(), operation.key.to_string())).or_default();
                match &event {
                    Event::StepCompleted(_) if durable.completed => {
                        let key = &operation.key;
                        state.break_rule(format!("{key} has two recorded outcomes (R6)"));
                    }
                    Event::StepCompleted(_) => durable.completed = true,
                    Event::AttemptFailed(event) => durable.failed_attempts = event.attempt,
                    Event::TimerSet(event) => durable.due = event.due,
                    Event::TimerFired(_) if durable.completed => {
                        let key = &operation.key;
                        state.break_rule(format!("{key} has fired twice (R6)"));
                    }
                    Event::TimerFired(event) => {
                        durable.completed = true;
                        if event.at < durable.due {
                            let (key, early) = (&operation.key, durable.due - event.at);
                            state.break_rule(format!("{key} fires {early} ms before its time (R11)"));
                        }
                    }
                    _ => {}
                }
            }
        }
        state.note(format_args!("recorded: {told}"));
    }

    /// The writer is about to write this: what goes wrong?
    pub(super) fn writes(&self, appends: &[Append]) -> Option<Mishap> {
        let mut state = self.state.lock();
        let scripted = self.scripted(&state, |crash, key| {
            Boundary::Commit.crashes().contains(&crash) && self.has_outcome(appends, key)
        });
        self.reach(&mut state, Boundary::Commit, scripted)
    }

    /// The process dies during a commit.
    pub(super) fn die_writing(&self, crash: Crash, appends: &[Append]) {
        self.die(&mut self.state.lock(), Death::Crash(crash), &self.list(appends));
    }

    /// How long the writer takes for its next commit.
    pub(super) fn writing_takes(&self) -> Duration {
        let (life, boundary) = {
            let state = self.state.lock();
            (state.life, state.boundary)
        };
        self.schedule.delay(&format_args!("commit {life}.{boundary}"), LONGEST / 4)
    }

    /// The crash that the script wants here. None in a world that is to show what happens without.
    fn scripted(&self, state: &State, is_here: impl Fn(Crash, &str) -> bool) -> Option<(usize, Crash)> {
        if self.schedule.order.is_some() { None } else { self.script.crash_of(&state.seen.scripted, is_here) }
    }

    /// What goes wrong at the next boundary.
    fn reach(&self, state: &mut State, boundary: Boundary, scripted: Option<(usize, Crash)>) -> Option<Mishap> {
        if self.is_over() {
            return None;
        }
        let place = Place { life: state.life, boundary: state.boundary };
        state.boundary += 1;
        if state.boundary > BOUNDARIES_MAX {
            self.die(state, Death::Endless, "");
            return None;
        }
        state.seen.boundaries.push((place, boundary));
        if let Some((index, crash)) = scripted {
            state.seen.scripted.insert(index);
            return Some(Mishap::Crash(crash));
        }
        let mishap = self.schedule.mishap(place, boundary, state.seen.mishaps.len())?;
        state.seen.mishaps.insert(place, mishap);
        if let Mishap::ClockJumps(millis) = mishap {
            state.note(format_args!("the clock is set by {millis:+} ms"));
            if let Some(clock) = &state.clock {
                clock.jump(millis);
            }
        }
        Some(mishap)
    }

    /// What becomes of the attempt at a boundary.
    fn cue(&self, attempt: &Attempt, boundary: Boundary) -> Cue {
        let mut state = self.state.lock();
        let step = &*self.step(attempt);
        let scripted = self.scripted(&state, |crash, key| boundary.crashes().contains(&crash) && key == step);
        match self.reach(&mut state, boundary, scripted) {
            Some(Mishap::Crash(crash)) => {
                self.die(&mut state, Death::Crash(crash), step);
                Cue::Die
            }
            Some(Mishap::AttemptFails) => state.make_to_fail(step, attempt, boundary),
            Some(Mishap::StoreFails(StoreFailure::Before | StoreFailure::After) | Mishap::ClockJumps(_)) | None => {
                if self.is_over() {
                    Cue::Die
                } else if self.fails_as_ordered(attempt, boundary) {
                    state.make_to_fail(step, attempt, boundary)
                } else {
                    Cue::Go
                }
            }
        }
    }

    /// Whether the attempt failed here in the world whose order this one has.
    fn fails_as_ordered(&self, attempt: &Attempt, boundary: Boundary) -> bool {
        let Some(order) = &self.schedule.order else { return false };
        let attempt = (self.step(attempt), attempt.step.attempt());
        order.fails.get(&attempt).is_some_and(|at| Some(*at) == FailsAt::of(boundary))
    }

    /// What the code was told of the attempt that was interrupted in the world whose order this one has, if it is to be
    /// told here, where the body `was_called` or not.
    fn interrupted_as_ordered(&self, attempt: &Attempt, was_called: bool) -> Option<Payload> {
        let order = self.schedule.order.as_ref().filter(|order| order.interrupted_act == was_called)?;
        order.interrupted.get(&(self.step(attempt), attempt.step.attempt())).cloned()
    }

    /// A step may have had its effect.
    fn point(&self, key: &str, returned: bool) {
        let point = Point { key: key.to_owned(), returned };
        if let Some(order) = &self.schedule.order {
            self.acted.send_if_modified(|acted| {
                let passes = order.passes(&point, *acted);
                *acted += usize::from(passes);
                passes
            });
        }
        self.state.lock().seen.points.push(point);
    }
}

impl State {
    /// How long all lives took.
    fn elapsed(&self) -> Duration {
        self.before + self.clock.as_ref().map(VirtualClock::elapsed).unwrap_or_default()
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        let at = self.elapsed();
        self.seen.timeline.add(Entry { life: self.life, at, text: text.to_string() });
    }

    fn break_rule(&mut self, what: String) {
        self.note(format_args!("BROKEN: {what}"));
        self.seen.broken.get_or_insert(what);
    }

    fn make_to_fail(&mut self, step: &str, attempt: &Attempt, boundary: Boundary) -> Cue {
        let number = attempt.step.attempt();
        self.note(format_args!("{step} is made to fail (attempt {number})"));
        self.seen.returned.remove(&(step.to_owned(), number));
        if let Some(at) = FailsAt::of(boundary) {
            self.seen.made_to_fail.insert((step.to_owned(), number), at);
        }
        Cue::Fail(format!("{step} was made to fail"))
    }

    /// The body of a step is called: it may not be recorded, and must be the same step as before.
    fn acts(&mut self, label: &str, attempt: &Attempt) {
        let step = &attempt.step;
        let (key, number) = (label.to_owned(), step.attempt());
        *self.seen.executions.entry(key.clone()).or_default() += 1;
        self.seen.returned.remove(&(key.clone(), number));
        self.seen.made_to_fail.remove(&(key.clone(), number));
        self.note(format_args!(
            "{key} acts{}",
            if number > 1 { format!(" (attempt {number})") } else { String::new() }
        ));
        let id = (step.run_id().clone(), step.key().to_owned());
        let (completed, failed) =
            self.operations.get(&id).map_or((false, 0), |durable| (durable.completed, durable.failed_attempts));
        if completed {
            self.break_rule(format!("{key} is executed although its outcome is recorded (R6)"));
        } else if number != failed + 1 {
            self.break_rule(format!("attempt {number} of {key} follows {failed} recorded failures (R11)"));
        }
        let identity = (step.idempotency_key().to_owned(), attempt.arguments.clone());
        match self.identities.get(&id) {
            None => drop(self.identities.insert(id, identity)),
            Some(known) if known.0 != identity.0 => {
                let what = format!("{key} has the idempotency key {}, and had {} (R4)", identity.0, known.0);
                self.break_rule(what);
            }
            Some(known) if known.1 != identity.1 => {
                let show = |arguments: &Result<serde_json::Value, String>| match arguments {
                    Ok(arguments) => arguments.to_string(),
                    Err(error) => error.clone(),
                };
                let what = format!(
                    "{key} is executed with {}, and was executed with {} under the same idempotency key: what leads to its arguments is not deterministic, or not recorded",
                    show(&identity.1),
                    show(&known.1)
                );
                self.break_rule(what);
            }
            Some(_) => {}
        }
    }
}

impl Director for Stage {
    fn asked(&self, attempt: &Attempt) -> Sleep {
        let longest = attempt.limit.map_or(LONGEST, |limit| LONGEST.min(limit / 4));
        let key = self.step(attempt);
        self.state.lock().seen.has_limits |= attempt.limit.is_some();
        if let Some(order) = &self.schedule.order {
            let (order, mut acted) = (order.clone(), self.acted.subscribe());
            return Box::pin(async move {
                // The stage holds the sender.
                let _ = acted.wait_for(|acted| order.may_act(&key, *acted)).await;
            });
        }
        let what = format!("{key} {} asked", attempt.step.attempt());
        sleep(self.schedule.delay(&what, longest / 4))
    }

    fn acts(&self, attempt: &Attempt) -> Cue {
        match self.cue(attempt, Boundary::Acts { may_fail: attempt.may_fail }) {
            Cue::Go => {}
            other => return other,
        }
        if let Some(told) = self.interrupted_as_ordered(attempt, false) {
            return Cue::Return(told);
        }
        let label = self.step(attempt);
        self.state.lock().acts(&label, attempt);
        self.point(&label, false);
        match self.script.fake(&label, &FakeCall::of(attempt), self.codec) {
            None => Cue::Go,
            Some(payload) => Cue::Return(payload),
        }
    }

    fn waits(&self, attempt: &Attempt) {
        // Dying is all that can go wrong here.
        let _ = self.cue(attempt, Boundary::Waits);
    }

    fn returned(&self, attempt: &Attempt, output: &Payload) -> Cue {
        let label = self.step(attempt);
        self.note(format_args!("{label} returned {}", output.excerpt()));
        self.point(&label, true);
        let cue = self.cue(attempt, Boundary::Returned { may_fail: attempt.may_fail });
        if matches!(cue, Cue::Go) {
            self.state.lock().seen.returned.insert((label, attempt.step.attempt()));
            if let Some(told) = self.interrupted_as_ordered(attempt, true) {
                return Cue::Return(told);
            }
        }
        cue
    }

    fn answers(&self, attempt: &Attempt) -> Sleep {
        let key = self.step(attempt);
        if let Some(order) = &self.schedule.order {
            let (ends, mut ended) = (Arc::clone(&order.ends), self.ended.subscribe());
            let clock = self.state.lock().clock.clone();
            return Box::pin(async move {
                // The stage holds the sender.
                let is_next = |ended: &usize| ends.get(*ended).is_some_and(|next| next.key == key);
                if let (Ok(ended), Some(clock)) = (ended.wait_for(is_next).await, clock)
                    && let Some(end) = ends.get(*ended)
                {
                    clock.set(end.at);
                }
            });
        }
        if let Some(takes) = self.script.takes(&key) {
            return sleep(takes);
        }
        let longest = attempt.limit.map_or(LONGEST, |limit| LONGEST.min(limit / 4));
        sleep(self.schedule.delay(&format_args!("{key} {} answers", attempt.step.attempt()), longest))
    }

    fn ended(&self, run: &RunId, key: &str) {
        if let Some(order) = &self.schedule.order {
            let key = self.label(run, key);
            self.ended.send_if_modified(|ended| {
                let is_next = order.ends.get(*ended).is_some_and(|next| next.key == key);
                *ended += usize::from(is_next);
                is_next
            });
        }
    }

    fn may_fire(&self, run: &RunId, key: &str) -> bool {
        let Some(order) = &self.schedule.order else { return true };
        let key = self.label(run, key);
        let Some(next) = order.ends.get(*self.ended.borrow()).filter(|next| next.key == key) else { return false };
        if let Some(clock) = &self.state.lock().clock {
            clock.set(next.at);
        }
        true
    }

    fn limit(&self, limit: Option<Duration>) -> Option<Duration> {
        limit.filter(|_| self.schedule.order.as_ref().is_none_or(|order| order.has_limits))
    }

    fn may_end(&self, run: &RunId, key: &str) -> Sleep {
        let (Some(order), mut ended) = (&self.schedule.order, self.ended.subscribe()) else {
            return sleep(Duration::ZERO);
        };
        let (ends, clock, key) = (Arc::clone(&order.ends), self.state.lock().clock.clone(), self.label(run, key));
        if !ends.iter().any(|end| end.key == key) {
            return sleep(Duration::ZERO);
        }
        Box::pin(async move {
            // The stage holds the sender.
            let is_over = |ended: &usize| ends.iter().take(ended + 1).any(|end| end.key == key);
            if let (Ok(ended), Some(clock)) = (ended.wait_for(is_over).await, clock)
                && let Some(end) = ends.get(*ended).filter(|end| end.key == key)
            {
                clock.set(end.at);
            }
        })
    }

    fn attempts(&self, run: &RunId, key: &str) -> Option<u32> {
        self.schedule.order.as_ref().and_then(|order| order.attempts.get(&self.label(run, key)).copied())
    }

    fn is_dead(&self) -> bool {
        self.is_over()
    }
}

fn sleep(duration: Duration) -> Sleep {
    if duration.is_zero() { Box::pin(std::future::ready(())) } else { Box::pin(tokio::time::sleep(duration)) }
}
