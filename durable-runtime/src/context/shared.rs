//! What a run's code and its driver share: the [`Replay`], the slots of claimed operations, and the
//! records on their way to the committer.

mod at_work;
mod chance;
mod children;
mod claims;
mod emissions;
mod incoming;
mod patches;
mod place;
mod publications;
mod timers;
mod told;
mod verified;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;

use parking_lot::Mutex;

use self::children::Children;
use self::timers::Timers;
use super::answers::{Arrival, Stop, Wants};
use super::scope::{Place, Scope};
use super::step_context::Dependencies;
use super::suspension::{Origin, Progress, Suspending, Suspension};
use super::wakes::{BodyWaker, BodyWakes};
use crate::clock::{Clock, Timestamp};
use crate::emission::Sinks;
use crate::engine::{Counters, Limits};
use crate::entropy::Entropy;
use crate::halt::{Halt, HaltReason};
use crate::id::{Position, RunId};
use crate::journal::{self, CodeId, Event, Operation, Text};
use crate::payload::{Codec, Payload};
use crate::replay::{Answer, Begin, Begun, ClaimNumber, Delivery, Replay};
use crate::store::Record;

pub(crate) use self::at_work::AtWork;
pub(crate) use self::children::{Born, ChildRequest, ChildStart};
pub(crate) use self::emissions::delivery;
pub(crate) use self::incoming::Received;
use self::incoming::Receivers;
pub(crate) use self::place::check_name;
use self::publications::Publication;
pub(crate) use self::waits::Waits;

/// An append is closed when its frames have this many bytes; the last one may go beyond.
const APPEND_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The longest name of an operation, in bytes: it is in every record of it.
pub const STEP_NAME_BYTES_MAX: usize = 1_024;

/// What all runs of a runtime share.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) dependencies: Arc<Dependencies>,
    pub(crate) sinks: Sinks,
    pub(crate) codec: Codec,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Whether runs leave memory, and are replayed, at every await at which no body of a step is running.
    pub(crate) suspends: bool,
    /// In a simulated process: who decides what becomes of its attempts.
    #[cfg(feature = "testing")]
    pub(crate) director: Option<Arc<dyn super::Director>>,
}

/// Which run it is.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) id: RunId,
    pub(crate) function: &'static str,
    /// What it belongs to; `None` if to itself.
    pub(crate) correlation: Option<Text>,
}

/// One run in memory. The code's [`Step`](super::Step)s and the driver hold it; both live in one task, so
/// the lock is never contended.
pub(crate) struct RunShared {
    pub(crate) id: RunId,
    pub(super) function: &'static str,
    /// The runs that it was forked from, the first one first.
    lives: Vec<Option<RunId>>,
    /// Tells this life of the run from any other, within the process.
    pub(crate) instance: u64,
    /// Whether the run had left memory; what it replays was counted before.
    is_back: bool,
    /// What it belongs to; `None` if to itself.
    correlation: Option<Text>,
    /// Which part of the run this is: above 1, if it has continued as new.
    pub(crate) part: u64,
    pub(crate) environment: Arc<Environment>,
    /// The bodies of steps that were woken.
    pub(crate) wakes: Arc<BodyWakes>,
    state: Mutex<State>,
}

struct State {
    replay: Replay,
    slots: Vec<Slot>,
    /// Steps that wait for permission to begin, each behind how many records must be durable before.
    waiting: BTreeSet<(Position, ClaimNumber)>,
    /// Timers that are awaited and have not fired.
    timers: Timers,
    /// Waits for what others send that are awaited and have not been given it.
    receivers: Receivers,
    /// Runs that the code has asked for.
    children: Children,
    /// How often the code has asked for chance.
    draws: u64,
    /// What the code has published and is not recorded.
    publications: Vec<Publication>,
    outbox: Outbox,
    /// How many records are durable.
    durable: Position,
    /// If it is to be recorded that the run is recovered, before anything of it runs (R12): by which code.
    recovered_by: Option<CodeId>,
    /// How many records must be durable before any step may begin.
    required: Position,
    /// Operations polled at least once and neither delivered nor dropped.
    awaited: BTreeSet<ClaimNumber>,
    stopping: bool,
    /// Why it is cancelled, if somebody has done that.
    cancelled: Option<Arc<str>>,
    /// The bodies of steps that are running, by claim.
    bodies: BTreeMap<ClaimNumber, Weak<BodyWaker>>,
    /// Those of them that were called.
    at_work: BTreeMap<ClaimNumber, AtWork>,
    halt: Option<Halt>,
    /// If the code has continued as new: with what, and its digest.
    next: Option<(Payload, u64)>,
    /// If the run is to leave memory where it rests.
    suspending: Option<Suspending>,
}

/// Records that are ordered but not handed to the committer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) records: Vec<Record>,
    pub(crate) clears: Vec<Position>,
}

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    delivered: Option<Answer>,
    /// How many records must be durable before the step may begin (R5).
    required: Position,
    polled: bool,
    closed: bool,
}

impl RunShared {
    pub(crate) fn new(
        named: Named,
        instance: u64,
        environment: Arc<Environment>,
        wakes: Arc<BodyWakes>,
        replay: Replay,
        origin: &Origin,
    ) -> Self {
        let Named { id, function, correlation } = named;
        let (durable, lives, part) = (replay.length(), replay.lives(), replay.part());
        let (is_back, recovered_by, left_at, born) = match *origin {
            Origin::New => (false, None, None, Position(0)),
            Origin::Recovered(code) => (false, Some(code), None, Position(0)),
            // It was not suspended before all of them did.
            Origin::Woken(code, _) => (true, code, None, durable),
            Origin::Suspended(Suspension { at, born }) => (true, None, Some(at), born),
        };
        let suspending = environment.suspends.then_some(Suspending::back_from(left_at));
        let mut clears = replay.untold();
        if let Origin::Woken(_, dues) = origin {
            // A crash may have forgotten to clear what is over: it would wake the run again and again.
            clears.extend(dues.iter().filter(|due| !replay.is_timer(**due)));
        }
        let clears = clears.into_iter().collect();
        let state = State {
            replay,
            slots: Vec::new(),
            waiting: BTreeSet::new(),
            timers: Timers::default(),
            receivers: Receivers::new(),
            children: Children::new(born),
            draws: 0,
            publications: Vec::new(),
            // Those for which the run was woken are seen now.
            outbox: Outbox { records: Vec::new(), clears },
            durable,
            recovered_by,
            required: Position(0),
            awaited: BTreeSet::new(),
            stopping: false,
            cancelled: None,
            bodies: BTreeMap::new(),
            at_work: BTreeMap::new(),
            halt: None,
            next: None,
            suspending,
        };
        let shared = Self {
            id,
            function,
            lives,
            instance,
            is_back,
            correlation,
            part,
            environment,
            wakes,
            state: Mutex::new(state),
        };
        shared.deliver_what_is_left();
        shared
    }

    /// The operation of a claim, for its record.
    pub(crate) fn operation(&self, claim: ClaimNumber) -> Option<Operation> {
        self.state.lock().replay.operation(claim).cloned()
    }

    /// A step is polled and has no body yet: what is it to do?
    pub(crate) fn arrive(&self, claim: ClaimNumber, waker: &Waker) -> Arrival {
        let mut state = self.state.lock();
        state.replay.seal();
        let Some(slot) = state.slots.get_mut(claim as usize) else { return Arrival::Wait };
        if let Some(answer) = slot.delivered.take() {
            state.replay.progress(claim);
            return Arrival::Delivered(answer);
        }
        state.is_polled(claim);
        let now = self.environment.clock.now();
        if let Some((attempt, not_before)) = state.permission(claim) {
            // By the same look at the clock: what is not due yet was permitted to sleep only.
            let not_before = not_before.map(Timestamp).filter(|due| *due > now);
            return Arrival::Begin { attempt, not_before, begun: state.replay.begun(claim) };
        }
        state.park(claim, waker);
        Arrival::Wait
    }

    /// The step's present attempt is over: records the fact. The step is then to arrive again.
    pub(crate) fn record(&self, claim: ClaimNumber, event: Event) {
        #[cfg(feature = "testing")]
        super::director::recorded(&self.environment, &self.id, &event);
        let mut state = self.state.lock();
        let timer = state.replay.timer(claim);
        if let Some(position) = state.append(event) {
            state.outbox.clears.extend(timer);
            if let Some(slot) = state.slots.get_mut(claim as usize) {
                slot.required = position.next();
            }
        }
    }

    /// A step's body begins; that is what it will be woken by.
    pub(crate) fn body_began(&self, claim: ClaimNumber) -> Arc<BodyWaker> {
        let waker = self.wakes.waker();
        self.state.lock().bodies.insert(claim, Arc::downgrade(&waker));
        waker
    }

    /// A step's body returned, panicked or was dropped.
    pub(crate) fn body_ended(&self, claim: ClaimNumber) {
        let mut state = self.state.lock();
        state.bodies.remove(&claim);
        state.at_work.remove(&claim);
    }

    /// The code dropped the step, or is itself being dropped.
    pub(crate) fn abandon(&self, claim: ClaimNumber) {
        let is_polled = Scope::current() == Place::Run(self.instance);
        let mut state = self.state.lock();
        let is_unresolved = |slot: &Slot| !slot.closed || slot.delivered.is_some();
        if is_polled && state.slots.get(claim as usize).is_some_and(is_unresolved) {
            state.replay.progress(claim);
            // It has lost: nobody is to be woken for it.
            let timer = state.replay.timer(claim);
            state.outbox.clears.extend(timer);
        }
        state.close(claim);
    }

    /// The code continues as new, with this input, which has this digest.
    pub(crate) fn continue_as_new(&self, next: (Payload, u64)) {
        self.state.lock().next.get_or_insert(next);
    }

    /// With what the code continues as new, if it does. A run that is to be cancelled does not.
    pub(crate) fn take_next(&self) -> Option<(Payload, u64)> {
        let mut state = self.state.lock();
        if state.replay.cancel_reason().is_some() || state.halt.is_some() { None } else { state.next.take() }
    }

    /// Stops the run; the first reason stays.
    pub(crate) fn halt(&self, halt: Halt) {
        self.state.lock().halt(halt);
    }

    /// The driver: the code makes no more progress by itself. Delivers the next completion, if there is one (R2, R3).
    pub(crate) fn settle(&self) -> Wants {
        let now = self.environment.clock.now();
        let mut state = self.state.lock();
        if let Some(halt) = state.halt.take() {
            return Wants::Stop(Stop::Halt(halt));
        }
        if state.is_to_replay_next() {
            return Wants::Suspend;
        }
        let mut delivery = state.replay.next_delivery();
        if matches!(delivery, Delivery::Nothing) {
            if state.awaited.is_empty() {
                return Wants::Stop(Stop::Diverged(Box::new(state.replay.waits_for_nothing())));
            }
            if let Some(halt) = state.record_publications(self) {
                return Wants::Stop(Stop::Halt(halt));
            }
            if state.is_to_leave() {
                return Wants::Suspend;
            }
            state.tend_children(self, now);
            if state.give_next(self, now) || state.tend_timers(self, now) {
                if state.is_to_replay_next() {
                    return Wants::Suspend;
                }
                delivery = state.replay.next_delivery();
            }
        }
        match delivery {
            Delivery::Diverged(divergence) => Wants::Stop(Stop::Diverged(divergence)),
            Delivery::Deliver { claim, answer, replayed } => {
                if replayed && !self.is_back && matches!(answer, Answer::Step(_)) {
                    self.environment.counters.replayed();
                }
                let mut waker = None;
                if let Some(slot) = state.slots.get_mut(claim as usize)
                    && !slot.closed
                {
                    slot.delivered = Some(answer);
                    waker = slot.waker.take();
                }
                state.close(claim);
                drop(state);
                waker.inspect(Waker::wake_by_ref);
                Wants::Poll
            }
            Delivery::Cancel => Wants::Poll,
            Delivery::Nothing => {
                let woken = state.open_gates();
                drop(state);
                for waker in woken {
                    waker.wake();
                }
                Wants::Wait
            }
        }
    }

    /// The driver: the function returned; may it?
    pub(crate) fn end(&self) -> Option<Stop> {
        let mut state = self.state.lock();
        if let Some(halt) = state.halt.take() {
            return Some(Stop::Halt(halt));
        }
        if let Some(divergence) = state.replay.end() {
            return Some(Stop::Diverged(Box::new(divergence)));
        }
        state.record_publications(self).map(Stop::Halt)
    }

    /// The driver: appends a fact of the run itself. `None`, and the run is to be halted, if it can't be.
    pub(crate) fn append(&self, event: Event) -> Option<Position> {
        self.state.lock().append(event)
    }

    /// The driver: what is to be committed next, in one append of bounded size, and the position of its
    /// first record.
    pub(crate) fn take_outbox(&self) -> (Position, Outbox) {
        let mut state = self.state.lock();
        let waiting = state.outbox.records.len();
        let first = Position(state.replay.length().0 - waiting as u64);
        let mut bytes = 0;
        let fits = state.outbox.records.iter().take_while(|record| {
            let fits = bytes < APPEND_BYTES_MAX;
            bytes += record.frame.len();
            fits
        });
        let taken = fits.count();
        let rest = state.outbox.records.split_off(taken);
        // With the last of several appends: what is cleared, or why it is, may be in any of them.
        let clears = if rest.is_empty() { std::mem::take(&mut state.outbox.clears) } else { Vec::new() };
        let records = std::mem::replace(&mut state.outbox.records, rest);
        let outbox = Outbox { records, clears };
        (first, outbox)
    }

    /// The driver: whether all records were handed over.
    pub(crate) fn is_outbox_empty(&self) -> bool {
        self.state.lock().outbox.records.is_empty()
    }

    /// The driver: the first `length` records are durable.
    pub(crate) fn set_durable(&self, length: Position) {
        self.state.lock().durable = length;
    }

    /// The driver: the code of a recovered run is about to be polled, which is recorded before. Both the code and the
    /// steps can take the process down, and it must be known afterwards that they were at work (R12).
    pub(crate) fn mark_recovered(&self) {
        let at = self.environment.clock.now().0;
        let mut state = self.state.lock();
        if state.halt.is_none()
            && let Some(code) = state.recovered_by.take()
        {
            fail_point!("recovery.mark.unwritten");
            state.append(Event::Recovered { code: Some(code), at });
            fail_point!("recovery.mark.appended");
        }
    }

    /// The driver: the run leaves memory.
    pub(crate) fn suspension(&self) -> Suspension {
        let state = self.state.lock();
        Suspension { at: state.progress(), born: state.children.born(state.replay.length()) }
    }

    /// The driver: how many records are durable.
    pub(crate) fn durable(&self) -> Position {
        self.state.lock().durable
    }

    /// The driver: how many records there are.
    pub(crate) fn length(&self) -> Position {
        self.state.lock().replay.length()
    }

    /// The driver: no step may begin any more.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
    }

    /// Whether a step's body is running, and the code cares. What was woken and is not polled may stay so for good:
    /// the code that awaits it waits for another step first.
    pub(crate) fn is_body_attended(&self) -> bool {
        self.state.lock().bodies.values().filter_map(Weak::upgrade).any(|body| body.is_attended())
    }

    /// Whether the code is at a place it has passed before; what it logs was logged then.
    pub(crate) fn is_repeating(&self) -> bool {
        let state = self.state.lock();
        state.replay.is_repeating()
            || state.suspending.as_ref().is_some_and(|suspending| suspending.is_catching_up(state.replay.delivered()))
    }
}

impl State {
    /// Whether the claim may begin an attempt now: the journal is replayed, and what the code knows is durable.
    fn permission(&self, claim: ClaimNumber) -> Option<(u32, Option<u64>)> {
        let slot = self.slots.get(claim as usize)?;
        let required = slot.required.max(self.required);
        // One that is said to have begun does so, also while the run is to begin nothing more.
        let is_stopping = self.stopping && self.replay.begun(claim) != Begun::Now;
        let is_held = is_stopping || self.halt.is_some() || self.replay.is_diverged() || self.may_leave();
        // What is published before a step is recorded when the code rests.
        if is_held || required > self.durable || !self.publications.is_empty() {
            return None;
        }
        match self.replay.begin(claim) {
            Begin::Wait => None,
            Begin::Attempt { attempt, not_before } => Some((attempt, not_before)),
        }
    }

    fn progress(&self) -> Progress {
        Progress { claims: self.replay.claims(), delivered: self.replay.delivered(), length: self.replay.length() }
    }

    /// Whether the run may leave memory once it rests: then no step begins before.
    fn may_leave(&self) -> bool {
        // The body of a step would be lost with the code.
        let is_free = self.bodies.is_empty() && !self.children.are_to_start() && !self.stopping;
        is_free && self.suspending.as_ref().is_some_and(|suspending| suspending.may_leave_at(self.progress()))
    }

    /// The code rests: is the run to leave memory?
    fn is_to_leave(&mut self) -> bool {
        let progress = self.progress();
        self.may_leave() && self.suspending.as_mut().is_some_and(|suspending| suspending.rests_at(progress))
    }

    /// Whether the next outcome is to be delivered by replaying it.
    fn is_to_replay_next(&self) -> bool {
        self.may_leave() && self.replay.is_next_live()
    }

    /// An operation is polled: whether that is for the first time.
    fn is_polled(&mut self, claim: ClaimNumber) -> bool {
        let delivered = self.replay.delivered();
        let Some(slot) = self.slots.get_mut(claim as usize) else { return false };
        let is_first = !slot.polled;
        if is_first {
            slot.polled = true;
            slot.required = slot.required.max(delivered);
            self.awaited.insert(claim);
            self.replay.progress(claim);
        }
        is_first
    }

    fn park(&mut self, claim: ClaimNumber, waker: &Waker) {
        // A step with an outcome waits for its delivery only, which wakes it directly.
        let is_completed = self.replay.is_completed(claim);
        if let Some(slot) = self.slots.get(claim as usize)
            && (slot.waker.is_none() && !is_completed)
        {
            self.waiting.insert((slot.required, claim));
        }
        self.wakes_with(claim, waker);
    }

    /// What the operation's delivery wakes.
    fn wakes_with(&mut self, claim: ClaimNumber, waker: &Waker) {
        let Some(slot) = self.slots.get_mut(claim as usize) else { return };
        match &mut slot.waker {
            Some(present) => present.clone_from(waker),
            None => slot.waker = Some(waker.clone()),
        }
    }

    /// The wakers of the steps that may begin now.
    fn open_gates(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        if self.required > self.durable {
            return woken;
        }
        // Those that wait for the disk are not looked at: there may be thousands, and this is asked at every rest.
        let later = self.waiting.split_off(&(self.durable.next(), 0));
        for (required, claim) in std::mem::replace(&mut self.waiting, later) {
            if self.permission(claim).is_some() {
                woken.extend(self.slots.get_mut(claim as usize).and_then(|slot| slot.waker.take()));
            } else if self.slots.get(claim as usize).is_some_and(|slot| slot.waker.is_some()) {
                self.waiting.insert((required, claim));
            }
        }
        woken
    }

    fn append(&mut self, event: Event) -> Option<Position> {
        let due = event.due();
        let frame = match journal::encode(&event) {
            Ok(frame) => frame,
            Err(error) => {
                self.halt(Halt::new(HaltReason::Limit, None, format!("{} can't be recorded: {error}", event.name())));
                return None;
            }
        };
        match self.replay.apply(event) {
            Ok(position) => {
                self.outbox.records.push(Record { frame, due });
                Some(position)
            }
            Err(illegal) => {
                self.halt(Halt::new(HaltReason::Corrupt, None, illegal.to_string()));
                None
            }
        }
    }

    fn close(&mut self, claim: ClaimNumber) {
        if let Some(slot) = self.slots.get_mut(claim as usize)
            && !slot.closed
        {
            slot.closed = true;
            slot.waker = None;
            self.timers.remove(claim);
            self.receivers.remove(&claim);
            self.children.remove(claim);
            self.awaited.remove(&claim);
        }
    }

    fn halt(&mut self, halt: Halt) {
        self.halt.get_or_insert(halt);
    }
}

impl fmt::Debug for RunShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunShared").field("id", &self.id).finish_non_exhaustive()
    }
}
