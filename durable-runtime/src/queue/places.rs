//! Who may begin next. PURE: no clock, no I/O; times are told.

use std::collections::{BTreeMap, BTreeSet};

use super::Queue;
use crate::clock::Timestamp;
use crate::id::RunId;
use crate::journal::{Queued, Text};

/// Where a run stands among those that wait: the lowest is next.
type Rank = (u32, u64, RunId);

/// Nanoseconds since the epoch.
type Nanos = u128;

/// All queues of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Places {
    lines: BTreeMap<String, Line>,
    /// Runs that wait, or have a place.
    runs: BTreeMap<RunId, Known>,
}

/// One queue.
#[derive(Debug)]
struct Line {
    queue: Queue,
    /// Those that may begin: of several with one key, the first one, and none if one with it has begun.
    ready: BTreeSet<Rank>,
    keys: BTreeMap<Text, Key>,
    /// How many wait, those included that are being recorded.
    waiting: usize,
    begun: usize,
    /// When the next one may begin.
    next: Nanos,
}

/// The runs of one key.
#[derive(Debug, Default)]
struct Key {
    begun: usize,
    waiting: BTreeSet<Rank>,
}

/// What is known of a run.
#[derive(Debug)]
struct Known {
    queued: Queued,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being recorded.
    Promised,
    /// It waits, since then.
    Waits(u64),
    Begun,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This run has its place now, and is to begin.
    Begin(RunId),
    /// None, before this time.
    At(Timestamp),
    /// None, before something changes.
    Nothing,
}

impl Places {
    /// These are the queues; of two with one name, the later one.
    pub(crate) fn declare(&mut self, queues: Vec<Queue>) {
        for queue in queues {
            let (ready, keys) = (BTreeSet::new(), BTreeMap::new());
            self.lines.insert(queue.name.clone(), Line { queue, ready, keys, waiting: 0, begun: 0, next: 0 });
        }
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The names of all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// The store was just opened.
    pub(crate) fn open(&mut self, now: Timestamp) {
        for line in self.lines.values_mut() {
            line.next = nanos(now) + Nanos::from(line.queue.spacing);
        }
    }

    /// How many wait and how many have begun, if there is such a queue.
    pub(crate) fn count(&self, queue: &str) -> Option<(usize, usize)> {
        self.lines.get(queue).map(|line| (line.waiting, line.begun))
    }

    /// Counts one that is to be recorded. How many may wait, if that is one too many.
    pub(crate) fn promise(&mut self, run: &RunId, queued: &Queued) -> Result<(), usize> {
        let Some(line) = self.lines.get_mut(&*queued.name) else { return Ok(()) };
        if line.queue.is_gated || self.runs.contains_key(run) {
            return Ok(());
        }
        if line.waiting >= line.queue.capacity {
            return Err(line.queue.capacity);
        }
        line.waiting += 1;
        self.runs.insert(run.clone(), Known { queued: queued.clone(), state: State::Promised });
        Ok(())
    }

    /// The run waits for its turn, since then; unless it is known to have begun, or is to be [admitted](Self::admit) first.
    pub(crate) fn wait(&mut self, run: &RunId, queued: &Queued, since: u64) {
        if self.lines.get(&*queued.name).is_some_and(|line| !line.queue.is_gated) {
            self.admit(run, queued, since);
        }
    }

    /// As [`wait`](Self::wait), of a run that may.
    pub(crate) fn admit(&mut self, run: &RunId, queued: &Queued, since: u64) {
        let Some(line) = self.lines.get_mut(&*queued.name) else { return };
        match self.runs.get(run).map(|known| known.state) {
            Some(State::Waits(_) | State::Begun) => return,
            Some(State::Promised) => {}
            None => line.waiting += 1,
        }
        line.wait((queued.priority, since, run.clone()), queued.key.as_ref());
        self.runs.insert(run.clone(), Known { queued: queued.clone(), state: State::Waits(since) });
    }

    /// The run has begun, whether it was its turn or not.
    pub(crate) fn begin(&mut self, run: &RunId, queued: &Queued) {
        let Some(line) = self.lines.get_mut(&*queued.name) else { return };
        match self.runs.get(run).map(|known| known.state) {
            Some(State::Begun) => return,
            Some(State::Promised) => line.waiting -= 1,
            Some(State::Waits(since)) => {
                line.leave(&(queued.priority, since, run.clone()), queued.key.as_ref());
                line.waiting -= 1;
            }
            None => {}
        }
        line.begin(queued.key.as_ref());
        self.runs.insert(run.clone(), Known { queued: queued.clone(), state: State::Begun });
    }

    /// The run has ended, is halted, or was not recorded after all: it neither waits nor has a place.
    pub(crate) fn end(&mut self, run: &RunId) {
        let Some(Known { queued, state }) = self.runs.remove(run) else { return };
        let Some(line) = self.lines.get_mut(&*queued.name) else { return };
        match state {
            State::Promised => line.waiting -= 1,
            State::Waits(since) => {
                line.leave(&(queued.priority, since, run.clone()), queued.key.as_ref());
                line.waiting -= 1;
            }
            State::Begun => line.end(queued.key.as_ref()),
        }
    }

    /// The run was not recorded as promised: forgets that, and nothing else.
    pub(crate) fn retract(&mut self, run: &RunId) {
        if self.runs.get(run).is_some_and(|known| known.state == State::Promised) {
            self.end(run);
        }
    }

    /// The runs of a queue that wait, and those that have begun.
    pub(crate) fn of(&self, queue: &str) -> (Vec<RunId>, Vec<RunId>) {
        let its = self.runs.iter().filter(|(_, known)| *known.queued.name == *queue);
        let (begun, waiting): (Vec<_>, Vec<_>) = its.partition(|(_, known)| known.state == State::Begun);
        let ids = |runs: Vec<(&RunId, &Known)>| runs.into_iter().map(|(run, _)| run.clone()).collect();
        (ids(waiting), ids(begun))
    }

    /// Whether anything is known of the run.
    pub(crate) fn knows(&self, run: &RunId) -> bool {
        self.runs.contains_key(run)
    }

    /// Whether the run has a place.
    pub(crate) fn has_begun(&self, run: &RunId) -> bool {
        self.runs.get(run).is_some_and(|known| known.state == State::Begun)
    }

    /// Whether the run has a place in this queue.
    pub(crate) fn has_place(&self, run: &RunId, queue: &str) -> bool {
        self.runs.get(run).is_some_and(|known| known.state == State::Begun && *known.queued.name == *queue)
    }

    /// Gives the next place, if there is one.
    pub(crate) fn next(&mut self, now: Timestamp) -> Next {
        let mut first = None::<Nanos>;
        for line in self.lines.values_mut() {
            let Some((.., run)) = line.ready.first().filter(|_| line.begun < line.queue.concurrency) else { continue };
            let spacing = Nanos::from(line.queue.spacing);
            // The clock may have been set back.
            line.next = line.next.min(nanos(now) + spacing);
            if line.next > nanos(now) {
                first = Some(first.map_or(line.next, |first| first.min(line.next)));
                continue;
            }
            // What was not used is not saved up, but for the millisecond that the clock does not see into.
            line.next = line.next.max(nanos(now).saturating_sub(999_999)) + spacing;
            let run = run.clone();
            if let Some(queued) = self.runs.get(&run).map(|known| known.queued.clone()) {
                self.begin(&run, &queued);
            }
            return Next::Begin(run);
        }
        first.map_or(Next::Nothing, |first| {
            Next::At(Timestamp(u64::try_from(first.div_ceil(1_000_000)).unwrap_or(u64::MAX)))
        })
    }
}

impl Line {
    fn wait(&mut self, rank: Rank, key: Option<&Text>) {
        let Some(key) = key else {
            self.ready.insert(rank);
            return;
        };
        self.keys.entry(key.clone()).or_default().waiting.insert(rank);
        self.show_first(key);
    }

    fn leave(&mut self, rank: &Rank, key: Option<&Text>) {
        self.ready.remove(rank);
        if let Some(key) = key {
            if let Some(runs) = self.keys.get_mut(key) {
                runs.waiting.remove(rank);
            }
            self.show_first(key);
        }
    }

    fn begin(&mut self, key: Option<&Text>) {
        self.begun += 1;
        if let Some(key) = key {
            self.keys.entry(key.clone()).or_default().begun += 1;
            self.show_first(key);
        }
    }

    fn end(&mut self, key: Option<&Text>) {
        self.begun -= 1;
        if let Some(key) = key {
            if let Some(runs) = self.keys.get_mut(key) {
                runs.begun -= 1;
            }
            self.show_first(key);
        }
    }

    /// Of the runs of a key, the first one that waits may begin, and only if none has begun.
    fn show_first(&mut self, key: &Text) {
        let Some(runs) = self.keys.get(key) else { return };
        // No more than the first one, or the one before it was the first, is ready.
        for rank in runs.waiting.iter().take(2) {
            self.ready.remove(rank);
        }
        match runs.waiting.first() {
            Some(first) if runs.begun == 0 => drop(self.ready.insert(first.clone())),
            None if runs.begun == 0 => drop(self.keys.remove(key)),
            _ => {}
        }
    }
}

fn nanos(time: Timestamp) -> Nanos {
    Nanos::from(time.0) * 1_000_000
}
