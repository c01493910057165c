//! Which step ends next: the steps wait here, and the test decides.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use durable_runtime::StepContext;
use durable_runtime::testing::Random;
use parking_lot::Mutex;

/// The order in which the steps of each run end.
#[derive(Debug, Default)]
pub(crate) struct Score {
    runs: Mutex<BTreeMap<String, Part>>,
}

/// What of a score is about one run.
#[derive(Debug)]
struct Part {
    order: Order,
    waiting: BTreeMap<String, Waker>,
    executions: Vec<Execution>,
    /// How many attempts have ended.
    ended: usize,
}

#[derive(Debug)]
enum Order {
    /// As they come.
    Any,
    /// One attempt after the other, as these keys say.
    Written(VecDeque<String>),
    /// One whenever the test says so, any of those that run.
    Random { random: Random, next: Option<String> },
}

/// An attempt that began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Execution {
    pub(super) key: String,
    pub(super) idempotency_key: String,
    pub(super) attempt: u32,
    pub(super) input: u64,
    /// How many attempts of the run had ended when this one ended, or was stopped.
    pub(super) over: Option<usize>,
}

impl Score {
    /// The attempts of `run` end in this order: the first of these keys, then the second …
    pub(super) fn write(&self, run: &str, order: impl IntoIterator<Item = String>) {
        self.insert(run, Order::Written(order.into_iter().collect()));
    }

    /// A score in which the attempts of `run` end by themselves.
    pub(crate) fn of_itself(run: &str) -> Self {
        let score = Self::default();
        score.insert(run, Order::Any);
        score
    }

    /// The attempts of `run` end in a random order, one at each [`tick`](Self::tick).
    pub(super) fn improvise(&self, run: &str, seed: u64) {
        self.insert(run, Order::Random { random: Random::new(seed), next: None });
    }

    fn insert(&self, run: &str, order: Order) {
        let part = Part { order, waiting: BTreeMap::new(), executions: Vec::new(), ended: 0 };
        self.runs.lock().insert(run.to_owned(), part);
    }

    /// Lets another attempt of each run end. One that the code does not poll at the moment ends later, if at all.
    pub(super) fn tick(&self) {
        let mut woken = Vec::new();
        for part in self.runs.lock().values_mut() {
            let Order::Random { random, next } = &mut part.order else { continue };
            let chosen = random.below(part.waiting.len());
            *next = part.waiting.keys().nth(chosen).cloned();
            woken.extend(next.as_ref().and_then(|key| part.waiting.get(key)).cloned());
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many attempts began or ended so far, or were stopped.
    pub(super) fn activity(&self) -> usize {
        self.runs.lock().values().map(|part| 2 * part.executions.len() - part.waiting.len()).sum()
    }

    /// The attempts that began, in order.
    pub(super) fn executions(&self, run: &str) -> Vec<Execution> {
        self.runs.lock()[run].executions.clone()
    }

    /// Called by a step: waits until it may end.
    pub(super) async fn pass(&self, step: &StepContext, input: u64) {
        let (run, key, attempt) = (step.run_id().as_str(), step.key(), step.attempt());
        let waiting = Waiting { score: self, run, key, attempt };
        waiting.with(|part| {
            part.executions.push(Execution {
                key: key.to_owned(),
                idempotency_key: step.idempotency_key().to_owned(),
                attempt,
                input,
                over: None,
            });
        });
        poll_fn(|task| {
            waiting.with(|part| {
                if part.order.allows(waiting.key) {
                    part.ended += 1;
                    return Poll::Ready(());
                }
                part.waiting.insert(waiting.key.to_owned(), task.waker().clone());
                Poll::Pending
            })
        })
        .await;
        waiting.with(Part::next).inspect(Waker::wake_by_ref);
    }
}

impl Part {
    /// The one that may end now, if it is there.
    fn next(&mut self) -> Option<Waker> {
        match &self.order {
            Order::Written(order) => order.front().and_then(|key| self.waiting.get(key)).cloned(),
            Order::Any | Order::Random { .. } => None,
        }
    }
}

impl Order {
    /// Whether the step with this key may end now; if so, it does.
    fn allows(&mut self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Written(order) => order.pop_front_if(|next| next == key).is_some(),
            Self::Random { next, .. } => next.take_if(|next| next == key).is_some(),
        }
    }
}

/// A step that waits, until it is dropped.
struct Waiting<'a> {
    score: &'a Score,
    run: &'a str,
    key: &'a str,
    attempt: u32,
}

impl Waiting<'_> {
    fn with<T>(&self, change: impl FnOnce(&mut Part) -> T) -> T {
        change(self.score.runs.lock().get_mut(self.run).expect("the run is in the score"))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.with(|part| {
            part.waiting.remove(self.key);
            let mut executions = part.executions.iter_mut().rev();
            let this = executions.find(|one| one.key == self.key && one.attempt == self.attempt);
            this.expect("it began").over = Some(part.ended);
        });
    }
}
