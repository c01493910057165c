//! Queues: who begins when, over restarts, crashes and failures, and never too many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durable_runtime::{
    AdminError, Clock as _, Context, HaltReason, Limits, Queue, QueueStats, RunError, RunInfo, RunStatus, Runtime,
    RuntimeBuilder, StartError, StepContext, Timestamp, durable,
};
use durable_tests::{Handle, Kind, Loss, World, is_left_out, journal, patiently, yield_often};

use crate::steps::{halted, note};

const HOUR: Duration = Duration::from_hours(1);

/// How many are at work at once, and how many were at most.
#[derive(Debug, Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Passes a gate of its own.
async fn works(step: StepContext, name: String) -> String {
    let at_once = step.dependency::<AtOnce>();
    at_once.most.fetch_max(at_once.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    step.dependency::<durable_tests::Effects>().note(&step);
    step.dependency::<durable_tests::Gates>().pass(&name).await;
    at_once.now.fetch_sub(1, Ordering::SeqCst);
    name
}

#[durable]
async fn queued_work(ctx: Context, name: String) -> String {
    ctx.run(works, name).await
}

#[durable]
async fn queued_sleep(ctx: Context, name: String) -> String {
    ctx.sleep(HOUR).await;
    ctx.run(note, 1).await;
    name
}

#[durable]
async fn queued_and_broken(ctx: Context, name: String) -> String {
    ctx.run("breaks", async move || -> String { panic!("broken: {name}") }).await
}

fn builder(world: &World, queue: Queue) -> RuntimeBuilder {
    world.builder().queue(queue).shared_dependency(Arc::new(AtOnce::default()))
}

async fn open(world: &World, queue: Queue) -> (Runtime, Arc<Handle>) {
    let handle = world.disk.open();
    (builder(world, queue).open_store(handle.clone()).await.unwrap(), handle)
}

async fn crash(runtime: Runtime, handle: Arc<Handle>) {
    handle.fail_after(0, Loss::Whole);
    runtime.shutdown(Duration::ZERO).await;
}

async fn info(runtime: &Runtime, run: &str) -> RunInfo {
    runtime.get(run).await.unwrap().expect("it was started")
}

/// Waits until these are the ones of them that have begun, as recorded.
async fn have_begun(runtime: &Runtime, runs: &[(&str, bool)]) {
    patiently(runs, async {
        for (run, has_begun) in runs {
            while info(runtime, run).await.began_at.is_some() != *has_begun {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    yield_often().await;
    for (run, has_begun) in runs {
        assert_eq!(info(runtime, run).await.began_at.is_some(), *has_begun, "{run}");
    }
}

/// Waits until so many wait and so many have begun, all of the store being known.
async fn stands(runtime: &Runtime, waiting: usize, begun: usize) {
    let stands = |stats: QueueStats| stats.is_open && (stats.waiting, stats.begun) == (waiting, begun);
    let what = format!("{waiting} that wait and {begun} that have begun");
    patiently(what, async {
        while !runtime.queue("q").is_some_and(stands) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn as_many_begin_as_may_and_the_next_one_when_one_has_ended() {
    let world = World::default();
    let (runtime, _) = open(&world, Queue::new("q").concurrency(2)).await;
    let mut runs = Vec::new();
    for name in ["a", "b", "c"] {
        runs.push(runtime.start(name, queued_work, name.to_owned()).queue("q").await.unwrap());
        world.clock.advance(Duration::from_millis(1));
    }
    stands(&runtime, 1, 2).await;
    have_begun(&runtime, &[("a", true), ("b", true), ("c", false)]).await;
    assert_eq!(info(&runtime, "c").await.status, RunStatus::Suspended);
    world.gates.open("b");
    world.gates.arrived("c", 1).await;
    stands(&runtime, 0, 2).await;
    for name in ["a", "c"] {
        world.gates.open(name);
    }
    for (run, name) in runs.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(patiently(name, run).await.unwrap(), name);
    }
    stands(&runtime, 0, 0).await;
    let kinds: Vec<_> = journal(&world.disk.memory, "c").iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::Begun, Kind::StepCompleted, Kind::Finished]);
    assert!(runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn the_most_urgent_is_next_and_of_one_key_one_at_a_time() {
    let world = World::default();
    let (runtime, _) = open(&world, Queue::new("q").concurrency(2)).await;
    let start = async |name: &str, priority, key: &str| {
        let start = runtime.start(name, queued_work, name.to_owned()).queue("q").priority(priority).key(key);
        world.clock.advance(Duration::from_millis(1));
        start.await.unwrap().id();
    };
    start("first", 5, "ada").await;
    stands(&runtime, 0, 1).await;
    start("second of ada", 0, "ada").await;
    start("late", 7, "grace").await;
    stands(&runtime, 1, 2).await;
    start("urgent", 1, "mary").await;
    have_begun(&runtime, &[("second of ada", false), ("late", true), ("urgent", false)]).await;
    world.gates.open("late");
    world.gates.arrived("urgent", 1).await;
    world.gates.open("first");
    world.gates.arrived("second of ada", 1).await;
    for name in ["second of ada", "urgent"] {
        world.gates.open(name);
    }
    stands(&runtime, 0, 0).await;
}

#[tokio::test]
async fn a_run_keeps_its_place_while_it_sleeps_and_over_restarts() {
    let world = World::default();
    let queue = || Queue::new("q").concurrency(1);
    let (runtime, handle) = open(&world, queue()).await;
    // The one that waits is more urgent than the one that has begun.
    for (name, priority) in [("a", 5), ("b", 0)] {
        runtime.start(name, queued_sleep, name.to_owned()).queue("q").priority(priority).await.unwrap().id();
        world.clock.advance(Duration::from_millis(1));
        stands(&runtime, usize::from(name == "b"), 1).await;
    }
    have_begun(&runtime, &[("a", true)]).await;
    let due = info(&runtime, "a").await.began_at.unwrap().after(HOUR);
    world.asked_for(due).await;
    let (runtime, _) = open_again(runtime, handle, &world, queue()).await;
    stands(&runtime, 1, 1).await;
    have_begun(&runtime, &[("a", true), ("b", false)]).await;
    runtime.shutdown(Duration::from_secs(1)).await;
    let (runtime, _) = open(&world, queue()).await;
    stands(&runtime, 1, 1).await;
    world.asked_for(due).await;
    world.clock.set(due);
    patiently("a", runtime.attach("a", queued_sleep).await.unwrap()).await.unwrap();
    stands(&runtime, 0, 1).await;
    have_begun(&runtime, &[("b", true)]).await;
    let due = info(&runtime, "b").await.began_at.unwrap().after(HOUR);
    world.asked_for(due).await;
    world.clock.set(due);
    patiently("b", runtime.attach("b", queued_sleep).await.unwrap()).await.unwrap();
    assert_eq!(world.effects.keys(), ["a:note", "b:note"]);
}

async fn open_again(runtime: Runtime, handle: Arc<Handle>, world: &World, queue: Queue) -> (Runtime, Arc<Handle>) {
    crash(runtime, handle).await;
    open(world, queue).await
}

#[tokio::test]
async fn runs_begin_evenly_spaced() {
    let world = World::default();
    let opened = world.clock.now();
    let (runtime, _) = open(&world, Queue::new("q").rate(2, HOUR)).await;
    let readers = ["a", "b", "c"].map(|name| (name, name.to_owned()));
    for run in runtime.start_many(queued_work, readers).queue("q").await {
        world.gates.open(run.unwrap().id().as_str());
    }
    let half = Duration::from_mins(30);
    for (due, expected) in [half, 2 * half, 3 * half].into_iter().zip([1, 2, 3]) {
        world.asked_for(opened.after(due)).await;
        world.clock.set(Timestamp(opened.after(due).0 - 1));
        yield_often().await;
        assert_eq!(world.effects.keys().len(), expected - 1);
        world.clock.set(opened.after(due));
        stands(&runtime, 3 - expected, 0).await;
        assert_eq!(world.effects.keys().len(), expected);
    }
}

#[tokio::test]
async fn a_run_that_is_to_begin_later_waits_for_its_time_and_then_for_its_turn() {
    let world = World::default();
    let queue = || Queue::new("q").concurrency(1).capacity(1);
    let (runtime, handle) = open(&world, queue()).await;
    runtime.start("a", queued_work, "a".to_owned()).queue("q").await.unwrap().id();
    stands(&runtime, 0, 1).await;
    let due = world.clock.now().after(HOUR);
    for name in ["b", "c"] {
        // It does not take up room meanwhile.
        runtime.start(name, queued_work, name.to_owned()).queue("q").delay(HOUR).await.unwrap().id();
    }
    stands(&runtime, 0, 1).await;
    world.asked_for(due).await;
    world.clock.set(due);
    stands(&runtime, 2, 1).await;
    have_begun(&runtime, &[("b", false), ("c", false)]).await;
    let (runtime, _) = open_again(runtime, handle, &world, queue()).await;
    stands(&runtime, 2, 1).await;
    for name in ["a", "b", "c"] {
        world.gates.open(name);
        patiently(name, runtime.attach(name, queued_work).await.unwrap()).await.unwrap();
    }
    stands(&runtime, 0, 0).await;
}

#[tokio::test]
async fn who_is_halted_gives_its_place_and_who_is_resumed_takes_one_at_once() {
    let world = World::default();
    let (runtime, _) = open(&world, Queue::new("q").concurrency(1)).await;
    let broken = runtime.start("broken", queued_and_broken, String::new()).queue("q").await.unwrap();
    halted(patiently("it", broken).await, HaltReason::Panic);
    runtime.start("a", queued_work, "a".to_owned()).queue("q").await.unwrap().id();
    world.gates.arrived("a", 1).await;
    let waits = runtime.start("b", queued_work, "b".to_owned()).queue("q").await.unwrap();
    stands(&runtime, 1, 1).await;
    let paused = runtime.pause("b", "not now").await;
    assert!(matches!(paused, Err(AdminError::NotBegun { .. })), "{paused:?}");
    runtime.cancel("b", "not at all").await.unwrap();
    assert!(matches!(patiently("b", waits).await, Err(RunError::Cancelled { .. })));
    stands(&runtime, 0, 1).await;
    // One too many, for a moment.
    runtime.resume("broken").await.unwrap();
    patiently("that it is halted again", async {
        while info(&runtime, "broken").await.status != RunStatus::Halted {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stands(&runtime, 0, 1).await;
    world.gates.open("a");
    stands(&runtime, 0, 0).await;
}

#[tokio::test]
async fn what_can_not_be_queued_is_told_and_nothing_is_recorded() {
    let world = World::default();
    let (runtime, handle) = open(&world, Queue::new("q").concurrency(1).capacity(1)).await;
    let start = |name: &str| runtime.start(name, queued_work, name.to_owned());
    let unknown = start("x").queue("qq").await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "[D0126] run x was not started, because there is no queue \"qq\": take \"q\", or declare it with `RuntimeBuilder::queue`"
    );
    for (refused, why) in [
        (start("x").key("k").await, "it has a key, and no queue: say `.queue(…)`, too"),
        (start("x").priority(0).await, "it has a priority, and no queue: say `.queue(…)`, too"),
        (start("x").queue("q").key("").await, "its key has 0 bytes, and must have 1 to 1024"),
    ] {
        let expected =
            format!("[D0222] run x was not started, because what is said of its place in a queue can't be: {why}");
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
    for name in ["a", "b"] {
        start(name).queue("q").await.unwrap().id();
        stands(&runtime, usize::from(name == "b"), 1).await;
    }
    let full = start("c").queue("q").await.unwrap_err();
    assert!(matches!(full, StartError::QueueFull { capacity: 1, .. }), "{full}");
    assert_eq!(runtime.get("c").await.unwrap(), None);
    // What is there is attached to, and takes up no more room.
    let again = start("b").queue("q").await.unwrap();
    world.gates.open("a");
    world.gates.open("b");
    assert_eq!(patiently("b", again).await.unwrap(), "b");
    assert_eq!(start("a").queue("q").await.unwrap().await.unwrap(), "a");
    stands(&runtime, 0, 0).await;
    start("c").queue("q").await.unwrap().id();
    stands(&runtime, 0, 1).await;
    let (runtime, _) = open_again(runtime, handle, &world, Queue::new("other")).await;
    assert_eq!(runtime.queue("q"), None);
    assert_eq!(info(&runtime, "c").await.queue.unwrap().name, "q");
}

/// A run that waits in a queue that this process does not have waits for one that has it.
#[tokio::test]
async fn who_waits_in_a_queue_that_is_not_declared_waits_on() {
    let world = World::default();
    let (runtime, handle) = open(&world, Queue::new("q").concurrency(1)).await;
    for name in ["a", "b"] {
        runtime.start(name, queued_work, name.to_owned()).queue("q").await.unwrap().id();
        world.clock.advance(Duration::from_millis(1));
    }
    world.gates.arrived("a", 1).await;
    let (runtime, handle) = open_again(runtime, handle, &world, Queue::new("other")).await;
    world.gates.open("a");
    world.gates.open("b");
    assert_eq!(patiently("a", runtime.attach("a", queued_work).await.unwrap()).await.unwrap(), "a");
    have_begun(&runtime, &[("b", false)]).await;
    let (runtime, _) = open_again(runtime, handle, &world, Queue::new("q")).await;
    assert_eq!(patiently("b", runtime.attach("b", queued_work).await.unwrap()).await.unwrap(), "b");
}

#[tokio::test]
async fn r14_a_queue_takes_what_there_is_no_place_for_in_memory() {
    let world = World { limits: Limits { active_runs: 1, ..Limits::default() }, ..World::default() };
    let (runtime, _) = open(&world, Queue::new("q").concurrency(3)).await;
    let mut runs = Vec::new();
    for name in ["a", "b", "c"] {
        runs.push(runtime.start(name, queued_work, name.to_owned()).queue("q").await.unwrap());
        world.clock.advance(Duration::from_millis(1));
    }
    world.gates.arrived("a", 1).await;
    have_begun(&runtime, &[("a", true), ("b", false), ("c", false)]).await;
    for (run, name) in runs.into_iter().zip(["a", "b", "c"]) {
        world.gates.open(name);
        assert_eq!(patiently(name, run).await.unwrap(), name);
    }
}

#[tokio::test]
async fn without_recovery_nothing_begins_that_waits() {
    let world = World::default();
    let handle = world.disk.open();
    let runtime = builder(&world, Queue::new("q")).recover_later().open_store(handle.clone()).await.unwrap();
    let run = runtime.start("a", queued_work, "a".to_owned()).queue("q").await.unwrap();
    have_begun(&runtime, &[("a", false)]).await;
    assert!(!runtime.queue("q").unwrap().is_open);
    runtime.recover().await.unwrap();
    world.gates.open("a");
    assert_eq!(patiently("a", run).await.unwrap(), "a");
}

/// Each is run to its end, once recorded it is not run again, and there are never more at work than may be.
#[tokio::test]
async fn a_disk_that_fails_at_any_commit_loses_nobody_and_lets_no_more_begin_than_may() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    let names = ["a", "b", "c", "d", "e"];
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        for commits in 0..16 {
            let world = World::default();
            for name in names {
                world.gates.open(name);
            }
            let handle = world.disk.open();
            handle.fail_after(commits, loss);
            let queue = || Queue::new("q").concurrency(2);
            let started = async |runtime: &Runtime| {
                for name in names {
                    let run = runtime.start(name, queued_work, name.to_owned()).queue("q").await;
                    drop(run);
                }
            };
            let runtime = builder(&world, queue()).open_store(handle.clone()).await.unwrap();
            started(&runtime).await;
            yield_often().await;
            crash(runtime, handle).await;
            let at_once = Arc::new(AtOnce::default());
            let handle = world.disk.open();
            let runtime = builder(&world, queue()).shared_dependency(Arc::clone(&at_once));
            let runtime = runtime.open_store(handle).await.unwrap();
            started(&runtime).await;
            for name in names {
                let run = patiently(name, runtime.attach(name, queued_work).await.unwrap()).await;
                assert_eq!(run.unwrap(), name, "{loss:?} {commits}");
            }
            stands(&runtime, 0, 0).await;
            assert!(at_once.most.load(Ordering::SeqCst) <= 2, "{loss:?} {commits}: {at_once:?}");
            assert!(runtime.verify_store().await.unwrap().is_sound());
        }
    }
}

#[tokio::test]
async fn a_run_that_waits_is_imported_into_the_queue_of_another_store() {
    let world = World::default();
    let (runtime, _) = open(&world, Queue::new("q").concurrency(1)).await;
    for name in ["a", "b"] {
        runtime.start(name, queued_work, name.to_owned()).queue("q").await.unwrap().id();
        stands(&runtime, usize::from(name == "b"), 1).await;
    }
    let journal = runtime.journal("b").await.unwrap().expect("it was started");
    let other = World::default();
    let (elsewhere, _) = open(&other, Queue::new("q").concurrency(1)).await;
    stands(&elsewhere, 0, 0).await;
    elsewhere.import(&journal).await.unwrap();
    other.gates.open("b");
    let run = elsewhere.attach("b", queued_work).await.unwrap();
    assert_eq!(patiently("b", run).await.unwrap(), "b");
}
