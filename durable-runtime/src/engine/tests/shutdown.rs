use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use shuttle::future::{block_on, spawn, yield_now};
use tokio::sync::watch;

use super::shuttled::{Fault, FaultyStore, interleave};
use crate::clock::{Clock, Sleep, Timestamp};
use crate::error::{AdminError, RunError, StartError};
use crate::id::RunId;
use crate::store::{MemoryStore, RunStatus, Store as _};
use crate::{Context, Runtime, StepContext, durable};

/// What the steps of these tests see of the world, and it of them.
#[derive(Debug, Default)]
struct World {
    /// The runtime said that it is shut down.
    is_over: AtomicBool,
    /// Steps never end.
    is_stuck: AtomicBool,
    running: AtomicUsize,
    began: AtomicUsize,
    stores: parking_lot::Mutex<Vec<Weak<FaultyStore>>>,
}

async fn add(step: StepContext, a: u32, b: u32) -> u32 {
    let world = step.dependency::<World>();
    assert!(!world.is_over.load(Ordering::Relaxed), "nothing runs when the runtime is shut down");
    assert_eq!(world.running.fetch_add(1, Ordering::Relaxed), 0, "one step at a time");
    let _running = Running(Arc::clone(&world));
    world.began.fetch_add(1, Ordering::Relaxed);
    yield_now().await;
    if world.is_stuck.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    a + b
}

struct Running(Arc<World>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Two steps, one after the other.
#[durable]
async fn interleaved_sum(ctx: Context, number: u32) -> u32 {
    let one_more = ctx.run(add, number, 1).await;
    ctx.run(add, one_more, 1).await
}

/// Stands still until all time passes at once.
#[derive(Debug, Clone)]
struct HandClock(watch::Sender<u64>);

impl HandClock {
    fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    fn pass(&self) {
        self.0.send_replace(u64::MAX);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.borrow())
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            drop(time.wait_for(|now| *now >= due.0).await);
        })
    }
}

const DEADLINE: Duration = Duration::from_secs(1);

async fn open(runs: &MemoryStore, world: &Arc<World>, clock: &HandClock) -> Runtime {
    let store = Arc::new(FaultyStore::new(runs.clone(), Fault::None));
    world.stores.lock().push(Arc::downgrade(&store));
    let builder = Runtime::builder().shared_dependency(Arc::clone(world)).clock(clock.clone()).recover_later();
    builder.open_store(store).await.expect("a store in memory")
}

/// Shuts down, and looks whether anything is left.
async fn shut_down(runtime: Runtime, world: &World) -> usize {
    let engine = Arc::clone(&runtime.inner.engine);
    let shutdown = runtime.shutdown(DEADLINE).await;
    world.is_over.store(true, Ordering::Relaxed);
    assert!(world.stores.lock().iter().all(|store| store.strong_count() == 0), "the folder is free");
    assert_eq!(world.running.load(Ordering::Relaxed), 0);
    let active: Vec<_> = engine.active.lock().keys().cloned().collect();
    assert_eq!(active, [], "no run is active behind a shutdown");
    shutdown.interrupted
}

/// Starts a run and waits for its end. Whether it was acknowledged, and what it returned.
async fn start(runtime: Runtime, id: &str) -> (bool, Option<u32>) {
    match runtime.start(id, interleaved_sum, 40).await {
        Ok(run) => {
            drop(runtime);
            match run.await {
                Ok(sum) => (true, Some(sum)),
                Err(RunError::Stopped { .. }) => (true, None),
                Err(error) => panic!("{error}"),
            }
        }
        Err(StartError::ShuttingDown { .. } | StartError::Store { .. }) => (false, None),
        Err(error) => panic!("{error}"),
    }
}

fn status(runs: &MemoryStore, id: &str) -> Option<RunStatus> {
    runs.head(&RunId::new(id).expect("a valid id")).expect("a store in memory").map(|head| head.status)
}

/// What was acknowledged is recorded, and what was returned is recorded as ended.
fn check_recorded(runs: &MemoryStore, id: &str, (acknowledged, returned): (bool, Option<u32>)) {
    let status = status(runs, id);
    assert!(!acknowledged || status.is_some(), "an acknowledged start is recorded (R1)");
    if let Some(sum) = returned {
        assert_eq!((sum, status), (42, Some(RunStatus::Completed)));
    }
}

#[test]
fn a_shutdown_while_runs_start_and_end_leaves_nothing_behind_and_nobody_waiting() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            let starter = spawn(start(runtime.clone(), "a"));
            let other = spawn({
                let runtime = runtime.clone();
                async move { (runtime.attach("a", interleaved_sum).await, runtime.resume("a").await) }
            });
            assert_eq!(shut_down(runtime, &world).await, 0);
            check_recorded(&runs, "a", starter.await.expect("a starter"));
            let (attached, _) = other.await.expect("another caller");
            if let Ok(run) = attached {
                assert!(matches!(run.await, Ok(42) | Err(RunError::Stopped { .. })));
            }
        });
    });
}

#[test]
fn shutdowns_at_the_same_time_all_end_and_the_folder_is_free_behind_each() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            let starter = spawn(start(runtime.clone(), "a"));
            let other = spawn({
                let (runtime, world) = (runtime.clone(), Arc::clone(&world));
                async move { shut_down(runtime, &world).await }
            });
            shut_down(runtime, &world).await;
            other.await.expect("another shutdown");
            check_recorded(&runs, "a", starter.await.expect("a starter"));
        });
    });
}

#[test]
fn a_step_that_never_ends_is_stopped_at_the_deadline_and_runs_again_later() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            world.is_stuck.store(true, Ordering::Relaxed);
            let runtime = open(&runs, &world, &clock).await;
            let starter = spawn(start(runtime.clone(), "a"));
            let time = spawn(async move { clock.pass() });
            shut_down(runtime, &world).await;
            time.await.expect("time");
            let (acknowledged, returned) = starter.await.expect("a starter");
            assert_eq!(returned, None);

            let (world, clock) = (Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            if acknowledged {
                let run = runtime.attach("a", interleaved_sum).await.expect("it is recorded");
                assert_eq!(run.await.expect("it goes on"), 42);
            }
            shut_down(runtime, &world).await;
        });
    });
}

#[test]
fn a_run_that_two_callers_recover_during_a_shutdown_is_driven_once() {
    interleave(|| {
        block_on(async {
            let (runs, clock) = (MemoryStore::default(), HandClock::new());
            let world = Arc::<World>::default();
            world.is_stuck.store(true, Ordering::Relaxed);
            let runtime = open(&runs, &world, &clock).await;
            let run = runtime.start("a", interleaved_sum, 40).await.expect("a start");
            runtime.shutdown(Duration::ZERO).await;
            assert!(matches!(run.await, Err(RunError::Stopped { .. })));

            let world = Arc::<World>::default();
            let runtime = open(&runs, &world, &clock).await;
            let callers = [0, 1].map(|_| {
                let runtime = runtime.clone();
                spawn(async move {
                    match runtime.attach("a", interleaved_sum).await {
                        Ok(run) => assert!(matches!(run.await, Ok(42) | Err(RunError::Stopped { .. }))),
                        Err(StartError::Store { .. } | StartError::ShuttingDown { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                })
            });
            shut_down(runtime, &world).await;
            for caller in callers {
                caller.await.expect("a caller");
            }
            assert!(world.began.load(Ordering::Relaxed) <= 2, "no step ran twice");
        });
    });
}

#[test]
fn whoever_attaches_while_a_run_ends_gets_its_outcome() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            let starters = ["a", "a"].map(|id| spawn(start(runtime.clone(), id)));
            let attaching = spawn({
                let runtime = runtime.clone();
                async move {
                    match runtime.attach("a", interleaved_sum).await {
                        Ok(run) => assert_eq!(run.await.expect("a result"), 42),
                        Err(StartError::Unknown { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            for starter in starters {
                assert_eq!(starter.await.expect("a starter"), (true, Some(42)));
            }
            attaching.await.expect("an attaching caller");
            assert_eq!(world.began.load(Ordering::Relaxed), 2, "fifty starts are one run, and so are two (R1)");
            shut_down(runtime, &world).await;
        });
    });
}

#[test]
fn a_run_that_is_deleted_while_others_start_it_is_one_run_or_the_next() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            let deleting = spawn({
                let runtime = runtime.clone();
                async move { runtime.delete("a").await }
            });
            let starters = ["a", "a"].map(|id| spawn(start(runtime.clone(), id)));
            for starter in starters {
                assert_eq!(starter.await.expect("a starter"), (true, Some(42)));
            }
            let deleted = deleting.await.expect("a deleting caller");
            assert!(matches!(deleted, Ok(_) | Err(AdminError::Running { .. })), "{deleted:?}");
            shut_down(runtime, &world).await;
        });
    });
}

#[test]
fn a_run_that_is_seen_to_have_ended_can_be_deleted() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            let runtime = open(&runs, &world, &clock).await;
            let starter = spawn(start(runtime.clone(), "a"));
            while status(&runs, "a") != Some(RunStatus::Completed) {
                yield_now().await;
            }
            assert!(runtime.delete("a").await.expect("it has ended"));
            assert_eq!(starter.await.expect("a starter"), (true, Some(42)));
            shut_down(runtime, &world).await;
        });
    });
}

#[test]
fn dropping_the_last_runtime_stops_its_runs_and_wakes_who_waits_for_them() {
    interleave(|| {
        block_on(async {
            let (runs, world, clock) = (MemoryStore::default(), Arc::<World>::default(), HandClock::new());
            world.is_stuck.store(true, Ordering::Relaxed);
            let runtime = open(&runs, &world, &clock).await;
            let engine = Arc::clone(&runtime.inner.engine);
            let recorded = start(runtime, "a").await;
            assert_eq!(recorded, (true, None));
            check_recorded(&runs, "a", recorded);
            engine.empty().await;
            engine.close().await;
        });
    });
}
