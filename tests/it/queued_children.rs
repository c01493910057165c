//! Child runs that are started in a queue.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{
    ChildCancelled, Context, HaltReason, Queue, RunInfo, RunStatus, Runtime, RuntimeBuilder, durable, testing,
};
use durable_tests::{Handle, Loss, World, is_left_out, patiently, yield_often};

use crate::steps::{gated, halted, note};

#[durable]
async fn queued_child(ctx: Context, number: u32) -> u32 {
    ctx.run(gated, number).await
}

/// The first two are of one key; the last one is the most urgent.
#[durable]
async fn parent_of_queued(ctx: Context) -> Result<u32, ChildCancelled> {
    let first = ctx.run(queued_child, 1).queue("q").priority(1).key("k").named("a").spawn();
    let second = ctx.run(queued_child, 2).queue("q").priority(1).key("k").named("b").spawn();
    let third = ctx.run(queued_child, 3).queue("q").priority(0).named("c").spawn();
    Ok(100 * first.await? + 10 * second.await? + third.await?)
}

#[durable]
async fn parent_in_its_queue(ctx: Context) -> Result<u32, ChildCancelled> {
    ctx.run(queued_child, 1).queue("q").await
}

#[durable]
async fn parent_that_parts_with_it(ctx: Context) -> String {
    ctx.run(queued_child, 1).queue("q").detach()
}

#[durable]
async fn parent_with_a_key_only(ctx: Context) -> Result<u32, ChildCancelled> {
    ctx.run(queued_child, 1).key("k").await
}

async fn open(builder: RuntimeBuilder, world: &World) -> (Runtime, Arc<Handle>) {
    let handle = world.disk.open();
    (builder.open_store(handle.clone()).await.unwrap(), handle)
}

async fn crash(runtime: Runtime, handle: Arc<Handle>) {
    handle.fail_after(0, Loss::Whole);
    runtime.shutdown(Duration::ZERO).await;
}

async fn info(runtime: &Runtime, run: &str) -> RunInfo {
    runtime.get(run).await.unwrap().expect("it was started")
}

/// Waits until so many wait in the queue and so many have begun.
async fn stands(runtime: &Runtime, waiting: usize, begun: usize) {
    patiently((waiting, begun), async {
        while runtime.queue("q").is_none_or(|queue| (queue.waiting, queue.begun) != (waiting, begun)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Which of them have begun.
async fn begun(runtime: &Runtime, children: &[&str]) -> Vec<bool> {
    yield_often().await;
    let mut begun = Vec::new();
    for child in children {
        begun.push(info(runtime, child).await.began_at.is_some());
    }
    begun
}

#[tokio::test]
async fn children_begin_in_their_turn_also_in_the_next_process() {
    let world = World::default();
    let queue = || world.builder().queue(Queue::new("q").concurrency(1));
    let children = ["r:a", "r:b", "r:c"];
    let (runtime, handle) = open(queue(), &world).await;
    runtime.start("before", queued_child, 0).queue("q").await.unwrap().id();
    stands(&runtime, 0, 1).await;
    runtime.start("r", parent_of_queued, ()).await.unwrap().id();
    stands(&runtime, 3, 1).await;
    let place = info(&runtime, "r:b").await.queue.unwrap();
    assert_eq!((place.name.as_str(), place.priority, place.key.as_deref()), ("q", 1, Some("k")));
    assert_eq!(begun(&runtime, &children).await, [false, false, false]);
    crash(runtime, handle).await;

    let (runtime, _) = open(queue(), &world).await;
    stands(&runtime, 3, 1).await;
    runtime.cancel("before", "it is in the way").await.unwrap();
    stands(&runtime, 2, 1).await;
    assert_eq!(begun(&runtime, &children).await, [false, false, true]);
    world.gates.open("gated");
    let run = runtime.attach("r", parent_of_queued).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), Ok(123));
    let began = [info(&runtime, "r:a").await.began_at, info(&runtime, "r:b").await.began_at];
    assert!(began[0] <= began[1], "of one key in the order in which they were started: {began:?}");
    stands(&runtime, 0, 0).await;
}

#[tokio::test]
async fn a_full_queue_refuses_no_children() {
    let world = World::default();
    world.gates.open("gated");
    let (runtime, _) = open(world.builder().queue(Queue::new("q").concurrency(1).capacity(0)), &world).await;
    let run = runtime.start("r", parent_of_queued, ()).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), Ok(123));
}

#[tokio::test]
async fn a_child_in_a_queue_that_nobody_declares_waits_for_who_does() {
    let world = World::default();
    world.gates.open("gated");
    let (runtime, _) = open(world.builder().queue(Queue::new("other")), &world).await;
    let run = runtime.start("r", parent_of_queued, ()).await.unwrap();
    let halt = halted(patiently("the run", run).await, HaltReason::Misuse).to_string();
    assert!(halt.contains("there is no queue \"q\"") && halt.contains("other"), "{halt}");
    runtime.shutdown(Duration::ZERO).await;
    let (runtime, _) = open(world.builder().queue(Queue::new("q")), &world).await;
    runtime.resume("r").await.unwrap();
    let run = runtime.attach("r", parent_of_queued).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), Ok(123));
}

#[tokio::test]
async fn what_would_wait_for_its_own_place_is_told_and_may_be_parted_with() {
    let world = World::default();
    world.gates.open("gated");
    let (runtime, _) = open(world.builder().queue(Queue::new("q").concurrency(1)), &world).await;
    let run = runtime.start("r", parent_in_its_queue, ()).queue("q").await.unwrap();
    let halt = halted(patiently("the run", run).await, HaltReason::Misuse).to_string();
    assert!(halt.contains("in which this run has a place") && halt.contains("`.detach()`"), "{halt}");
    assert_eq!(runtime.get("r:queued_child").await.unwrap(), None);
    // Not in the queue itself, it need not wait for itself.
    let run = runtime.start("s", parent_in_its_queue, ()).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), Ok(1));
    let run = runtime.start("t", parent_that_parts_with_it, ()).queue("q").await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), "t:queued_child");
    let child = runtime.attach("t:queued_child", queued_child).await.unwrap();
    assert_eq!(patiently("the child", child).await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_without_a_queue_is_told() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", parent_with_a_key_only, ()).await.unwrap();
    let halt = halted(patiently("the run", run).await, HaltReason::Misuse).to_string();
    assert!(halt.contains("it has a key, and no queue"), "{halt}");
}

#[tokio::test]
async fn a_child_that_waits_is_cancelled_with_its_parent_and_gives_its_turn_to_others() {
    let world = World::default();
    let (runtime, _) = open(world.builder().queue(Queue::new("q").concurrency(1)), &world).await;
    runtime.start("r", parent_of_queued, ()).await.unwrap().id();
    stands(&runtime, 2, 1).await;
    runtime.cancel("r", "nobody wants it").await.unwrap();
    stands(&runtime, 0, 0).await;
    for child in ["r:a", "r:b", "r:c"] {
        assert_eq!(info(&runtime, child).await.status, RunStatus::Cancelled, "{child}");
    }
    world.gates.open("gated");
    let run = runtime.start("s", queued_child, 7).queue("q").await.unwrap();
    assert_eq!(patiently("another run", run).await.unwrap(), 7);
}

/// Each of them is run to its end once, whatever was lost.
#[tokio::test]
async fn a_disk_that_fails_at_any_commit_loses_no_child() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let mut failures = 0;
        for commits in 0.. {
            let world = World::default();
            world.gates.open("gated");
            let queue = || world.builder().queue(Queue::new("q").concurrency(1));
            let (runtime, handle) = open(queue(), &world).await;
            handle.fail_after(commits, loss);
            let ended = match runtime.start("r", parent_of_queued, ()).await {
                // A run halts whose disk fails; one that waits for that run goes on doing so.
                Ok(run) => {
                    patiently("the run or a failure", async {
                        let mut run = std::pin::pin!(run.into_future());
                        loop {
                            tokio::select! {
                                ended = &mut run => break ended.is_ok(),
                                () = yield_often() => if !handle.is_well() { break false },
                            }
                        }
                    })
                    .await
                }
                Err(_) => false,
            };
            if ended && handle.is_well() {
                break;
            }
            failures += 1;
            crash(runtime, handle).await;
            let (runtime, _) = open(queue(), &world).await;
            let run = runtime.start("r", parent_of_queued, ()).await.unwrap();
            assert_eq!(patiently("the run", run).await.unwrap(), Ok(123), "{loss:?} {commits}");
            stands(&runtime, 0, 0).await;
            for child in ["r:a", "r:b", "r:c"] {
                assert_eq!(info(&runtime, child).await.status, RunStatus::Completed, "{loss:?} {commits} {child}");
            }
            assert!(runtime.verify_store().await.unwrap().is_sound(), "{loss:?} {commits}");
        }
        // How many commits there are depends on what shares one.
        assert!(failures > 5, "{failures}");
    }
}

#[durable]
async fn explored_queued_child(ctx: Context, number: u32) -> u32 {
    ctx.run(note, number).await
}

#[durable]
async fn explored_parent_of_queued(ctx: Context) -> Vec<Result<u32, ChildCancelled>> {
    ctx.map(1..=3, |number| ctx.run(explored_queued_child, number).queue("q")).max_concurrency(2).all().await
}

#[test]
fn who_has_queued_children_is_explored() {
    let explored = testing::explore(explored_parent_of_queued, ())
        .dependency_with(durable_tests::Effects::default)
        .seeds(0..20)
        .worlds_max(300)
        .check(|world| assert_eq!(*world.output(), [Ok(1), Ok(2), Ok(3)]));
    println!("{explored}");
    assert!(explored.crashes > 100, "{explored}");
}
