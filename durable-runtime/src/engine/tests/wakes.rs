//! The wake-ups of a run under loom: the interleavings of a few threads, with every value that the C11 memory model
//! lets a load see.
//!
//! What threads tell each other in these tests is relaxed on purpose. The only thing that makes it visible to the code is
//! then the wake-up itself, as [`Waker`] promises.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use futures::future::{Either, poll_fn, select};
use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};

use crate::clock::SystemClock;
use crate::context::callee::called;
use crate::context::{Context, Dependencies, Ended, Environment, Origin, Step};
use crate::emission::Sinks;
use crate::engine::committer::{CommitError, Commits as _, Committer, Link};
use crate::engine::control::Control;
use crate::engine::driver::{Driven, Driver};
use crate::engine::execution::Execution;
use crate::engine::nursery::Nursery;
use crate::engine::registry::{Registration, Returned};
use crate::engine::{Counters, Limits, Outcome};
use crate::entropy::SystemEntropy;
use crate::function::OnChange;
use crate::id::{Fence, Position, RunId};
use crate::journal::{Event, Started};
use crate::payload::{Codec, Payload};
use crate::store::{Append, MemoryStore, RunStatus};
use crate::sync::Mutex;

/// How often a thread is interrupted where it could go on, so that each model is through within a minute. With
/// `LOOM_MAX_PREEMPTIONS`, another bound.
const PREEMPTIONS_MAX: usize = 3;

type Written = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static IS_DONE: Cell<bool> = const { Cell::new(false) };
    static CODE: RefCell<Option<Box<dyn FnOnce(Context) -> Written>>> = const { RefCell::new(None) };
}

static REGISTRATION: Registration = Registration {
    name: "checked",
    version: 1,
    fingerprint: 1,
    module: "",
    on_change: OnChange::Halt,
    call_sites: &[],
    may_undo: false,
    call: |context, _, _, _| {
        let code = CODE.take().expect("the code of the run")(context);
        Ok(Box::pin(async move {
            code.await;
            IS_DONE.set(true);
            Ended::Returned(Ok(Returned { result: null(), failed: false }))
        }))
    },
    read_result: |_| Err(String::new()),
};

fn null() -> Payload {
    Payload::encode(Codec::Json, &(), 100).expect("a small value")
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(PREEMPTIONS_MAX));
    model.max_branches = 10_000;
    model.check(check);
}

/// Nothing is written: when the first append is handed over, the run stops.
fn closed_committer() -> Committer {
    let committer = Committer::start(Arc::new(MemoryStore::default()), Counters::default()).expect("a thread");
    committer.close();
    committer
}

/// A run of this code, just started.
fn run_of(code: impl FnOnce(Context) -> Written + 'static) -> (Driver, Arc<Control>) {
    CODE.set(Some(Box::new(code)));
    IS_DONE.set(false);
    let environment = Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        dependencies: Arc::new(Dependencies::default()),
        sinks: Sinks::default(),
        codec: Codec::Json,
        limits: Limits::default(),
        counters: Counters::default(),
        suspends: false,
        #[cfg(feature = "testing")]
        director: None,
    };
    let started = Started {
        function: "checked".into(),
        version: 1,
        fingerprint: 1,
        input: null(),
        input_digest: 0,
        at: 0,
        patches: Vec::new(),
        seed: 0,
        tags: BTreeMap::new(),
        correlation: None,
        forks: Vec::new(),
        not_before: None,
        timeout: None,
        queue: None,
        continued: None,
        parent: None,
    };
    let control = Arc::<Control>::default();
    let id = RunId::new("run").expect("a valid id");
    let (events, waker) = (vec![Event::Started(started)], Arc::clone(&control.waker));
    let execution = Execution::of_journal(id, events, &REGISTRATION, &Arc::new(environment), &Origin::New, waker);
    let execution = execution.expect("a run that can begin");
    let (committer, sleepers, followers) = (Arc::new(closed_committer()), Arc::default(), Arc::default());
    let nursery = Nursery::new(Weak::new());
    (Driver::new(execution, Arc::clone(&control), committer, Fence(1), sleepers, followers, nursery), control)
}

/// A step as the macro writes it.
fn step<F: Future<Output = ()> + Send + 'static>(
    context: &Context,
    name: &'static str,
    body: impl Fn() -> F + Send + 'static,
) -> Step<'static, ()> {
    context.__step(name, (), move |_, ()| called(body()))
}

/// Drives the code to its end: if a wake-up gets lost, that is a deadlock, which loom reports.
fn drive(code: impl FnOnce(Context) -> Written + 'static) {
    let (driver, _) = run_of(code);
    let outcome = block_on(driver.drive("checked"));
    assert!(matches!(outcome, Driven::Over(Outcome::Stopped)), "{outcome:?}");
    assert!(IS_DONE.get(), "the run was halted");
}

/// A thread for each of so many flags: it raises its flag and wakes whoever has polled this first. Resolves when all
/// flags are seen.
fn raised(count: usize) -> impl Future<Output = ()> + Send + Unpin {
    let flags: Vec<_> = (0..count).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let mut threads_began = false;
    poll_fn(move |task| {
        if !threads_began {
            threads_began = true;
            for flag in &flags {
                let (flag, waker) = (Arc::clone(flag), task.waker().clone());
                loom::thread::spawn(move || {
                    flag.store(true, Ordering::Relaxed);
                    waker.wake();
                });
            }
        }
        // All are looked at: each was polled for.
        let seen = flags.iter().filter(|flag| flag.load(Ordering::Relaxed)).count();
        if seen == count { Poll::Ready(()) } else { Poll::Pending }
    })
}

#[test]
fn a_body_is_polled_after_every_wake_up() {
    model(|| {
        drive(|context| Box::pin(async move { step(&context, "body", || raised(2)).await }));
    });
}

#[test]
fn the_code_is_polled_after_every_wake_up() {
    model(|| {
        drive(|context| {
            Box::pin(async move {
                let step = step(&context, "body", || std::future::pending::<()>());
                assert!(matches!(select(step, raised(2)).await, Either::Right(_)));
            })
        });
    });
}

#[test]
fn wake_ups_of_the_code_and_of_a_body_do_not_swallow_each_other() {
    model(|| {
        drive(|context| {
            Box::pin(async move {
                // Both are polled in the driver's thread.
                let body_saw = Arc::new(std::sync::atomic::AtomicBool::new(false));
                let saw = Arc::clone(&body_saw);
                let step = step(&context, "body", move || {
                    let saw = Arc::clone(&saw);
                    async move {
                        raised(1).await;
                        saw.store(true, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }
                });
                let mut raised = raised(1);
                let mut code_saw = false;
                let both = poll_fn(move |task| {
                    code_saw = code_saw || Pin::new(&mut raised).poll(task).is_ready();
                    if code_saw && body_saw.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
                });
                assert!(matches!(select(step, both).await, Either::Right(_)));
            })
        });
    });
}

/// Branches that are polled when they were woken, in the order of their wake-ups, like those of `FuturesUnordered`.
struct Branches {
    queue: Arc<Queue>,
    branches: Vec<(Arc<Branch>, Written)>,
}

struct Queue {
    ready: Mutex<VecDeque<usize>>,
    waker: crate::sync::AtomicWaker,
}

struct Branch {
    index: usize,
    is_queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for Branch {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            // Between the two, the branch is marked as queued and nobody finds it in the queue.
            self.queue.ready.lock().push_back(self.index);
            self.queue.waker.wake();
        }
    }
}

impl Branches {
    fn new(futures: Vec<Written>) -> Self {
        let queue = Arc::new(Queue { ready: Mutex::default(), waker: crate::sync::AtomicWaker::default() });
        queue.ready.lock().extend(0..futures.len());
        let branches = futures.into_iter().enumerate().map(|(index, future)| {
            let branch = Branch { index, is_queued: AtomicBool::new(true), queue: Arc::clone(&queue) };
            (Arc::new(branch), future)
        });
        Self { branches: branches.collect(), queue }
    }

    /// The next branch that is through.
    fn poll(&mut self, task: &TaskContext<'_>) -> Poll<usize> {
        self.queue.waker.register(task.waker());
        loop {
            let Some(next) = self.queue.ready.lock().pop_front() else { return Poll::Pending };
            let Some((branch, future)) = self.branches.get_mut(next) else { continue };
            branch.is_queued.swap(false, Ordering::AcqRel);
            let waker = Waker::from(Arc::clone(branch));
            if future.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_ready() {
                return Poll::Ready(next);
            }
        }
    }
}

#[test]
fn a_combinator_is_told_which_body_was_woken() {
    model(|| {
        drive(|context| {
            Box::pin(async move {
                let step = step(&context, "body", || raised(1));
                let mut branches = Branches::new(vec![Box::pin(step)]);
                poll_fn(|task| branches.poll(task)).await;
            })
        });
    });
}

#[test]
fn a_body_that_is_woken_late_does_not_hold_back_its_delivery() {
    model(|| {
        drive(|context| {
            Box::pin(async move {
                // The first body returns at once, and yet is woken by another thread.
                let first = step(&context, "first", || {
                    poll_fn(|task| {
                        let waker = task.waker().clone();
                        loom::thread::spawn(move || waker.wake());
                        Poll::Ready(())
                    })
                });
                let second = step(&context, "second", || std::future::ready(()));
                let mut branches = Branches::new(vec![Box::pin(first), Box::pin(second)]);
                let mut order = Vec::new();
                poll_fn(|task| {
                    while let Poll::Ready(branch) = branches.poll(task) {
                        order.push(branch);
                    }
                    if order.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                assert_eq!(order, [0, 1], "outcomes are taken in the order of the journal (R2)");
            })
        });
    });
}

#[test]
fn a_run_that_is_told_to_stop_at_any_moment_stops() {
    model(|| {
        let (driver, control) =
            run_of(|context| Box::pin(async move { step(&context, "body", || std::future::pending::<()>()).await }));
        loom::thread::spawn(move || control.stop());
        assert!(matches!(block_on(driver.drive("checked")), Driven::Over(Outcome::Stopped)));
    });
}

#[test]
fn a_run_that_is_told_to_stop_while_a_body_is_woken_stops() {
    model(|| {
        let (driver, control) = run_of(|context| {
            Box::pin(async move {
                let step = step(&context, "body", || std::future::pending::<()>());
                let woken = async move {
                    raised(1).await;
                    std::future::pending::<()>().await;
                };
                select(step, Box::pin(woken)).await;
            })
        });
        loom::thread::spawn(move || control.stop());
        assert!(matches!(block_on(driver.drive("checked")), Driven::Over(Outcome::Stopped)));
    });
}

#[test]
fn an_answer_at_any_moment_reaches_whoever_waits_for_it() {
    model(|| {
        let link = Arc::<Link>::default();
        let append = Append {
            run: RunId::new("run").expect("a valid id"),
            expected: Position(0),
            fence: Fence(1),
            records: Vec::new(),
            replaces: false,
            clears: Vec::new(),
            status: RunStatus::Running,
        };
        let (committer, answered) = (closed_committer(), Arc::clone(&link));
        loom::thread::spawn(move || committer.submit(append, &answered));
        assert!(matches!(block_on(link.wait()), Err(CommitError::Closed)));
        assert!(link.take().is_none(), "one answer");
    });
}
