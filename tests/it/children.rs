//! `ctx.run` of a durable function: a run of its own, which outlives what happens to the one that has started it.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{
    AdminError, ChildCancelled, Context, HaltReason, Limits, RunError, RunFilter, RunStatus, Runtime, durable,
};
use durable_tests::{Effects, Kind, Loss, Process, World, journal, patiently, yield_often};
use serde::{Deserialize, Serialize};

use crate::steps::{gated, halted, note};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OutOfStock(String);

#[durable]
async fn one_more(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await + 1
}

#[durable]
async fn parent_of_three(ctx: Context, value: u32) -> Result<u32, ChildCancelled> {
    let one = ctx.run(one_more, value).await?;
    let (two, three) = tokio::join!(ctx.run(one_more, 2 * one), ctx.run(one_more, 3 * one).named("third"));
    Ok(one + two? + three?)
}

#[durable]
async fn gated_child(ctx: Context, value: u32) -> u32 {
    ctx.run(gated, value).await
}

#[durable]
async fn waits_for_a_child(ctx: Context) -> Result<u32, ChildCancelled> {
    let before = ctx.run(note, 1).await;
    let child = ctx.run(gated_child, 10).await?;
    Ok(before + child + ctx.run(note, 100).await)
}

#[durable]
async fn fails_as_a_child(_ctx: Context, sku: String) -> Result<u32, OutOfStock> {
    Err(OutOfStock(sku))
}

#[durable]
async fn has_a_child_that_fails(ctx: Context) -> Result<Result<u32, OutOfStock>, ChildCancelled> {
    ctx.run(fails_as_a_child, "apples".to_owned()).await
}

async fn status(runtime: &Runtime, run: &str) -> Option<RunStatus> {
    runtime.get(run).await.unwrap().map(|info| info.status)
}

fn kinds(world: &World, run: &str) -> Vec<Kind> {
    journal(&world.disk.memory, run).into_iter().map(|entry| entry.kind).collect()
}

/// The parent has nothing else to do for long enough, and leaves memory.
async fn parent_left(world: &World, process: &Process) {
    patiently("a parent that leaves memory", async {
        while status(&process.runtime, "r").await != Some(RunStatus::Suspended) {
            world.clock.advance(SECOND);
            yield_often().await;
        }
    })
    .await;
}

#[tokio::test]
async fn children_are_runs_of_their_own_whose_results_are_the_parents() {
    let world = World::default();
    let process = world.open().await;
    let sum = process.runtime.start("r", parent_of_three, 1).await.unwrap().await.unwrap();
    assert_eq!(sum, Ok(2 + 5 + 7));
    let info = process.runtime.get("r").await.unwrap().unwrap();
    let told: Vec<_> = info.children.iter().map(|child| (&*child.key, &*child.run, child.end)).collect();
    let completed = Some(RunStatus::Completed);
    let expected = [
        ("one_more", "r:one_more", completed),
        ("one_more#2", "r:one_more#2", completed),
        ("third", "r:third", completed),
    ];
    assert_eq!(told, expected);
    let first = process.runtime.get("r:one_more").await.unwrap().unwrap();
    assert_eq!((first.parent.as_deref(), first.function.as_str()), (Some("r"), "one_more"));
    assert_eq!(process.runtime.attach("r:third", one_more).await.unwrap().await.unwrap(), 7);
    assert_eq!(kinds(&world, "r:one_more"), [Kind::Started, Kind::StepCompleted, Kind::Finished]);
    assert!(process.runtime.verify("r").await.unwrap().fits());
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    // What is recorded of them does not need them any more.
    for run in ["r:one_more", "r:one_more#2", "r:third"] {
        assert!(process.runtime.delete(run).await.unwrap());
    }
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", parent_of_three, 1).await.unwrap().await.unwrap(), Ok(14));
    assert_eq!(world.effects.counts().values().sum::<usize>(), 3);
}

/// Peers' corner case: a recovered parent adopts its running children.
#[tokio::test]
async fn a_recovered_parent_adopts_its_running_children() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r", waits_for_a_child, ()).await.unwrap());
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let process = world.open().await;
    world.gates.arrived("gated", 2).await;
    world.gates.open("gated");
    let run = process.runtime.attach("r", waits_for_a_child).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(111));
    assert_eq!((world.effects.count("r:note"), world.effects.count("r:note#2")), (1, 1));
    assert_eq!(
        process.runtime.list(&RunFilter::default(), None, 9).await.unwrap().runs.len(),
        2,
        "the child was not started anew"
    );
    let started = kinds(&world, "r").into_iter().filter(|kind| *kind == Kind::ChildStarted);
    assert_eq!(started.count(), 1);
}

#[tokio::test]
async fn a_parent_leaves_memory_while_it_waits_and_is_woken_by_the_end_of_its_child() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", waits_for_a_child, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    parent_left(&world, &process).await;
    world.gates.open("gated");
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(111));
    assert_eq!(status(&process.runtime, "r:gated_child").await, Some(RunStatus::Completed));
}

#[tokio::test]
async fn a_childs_err_is_its_result() {
    let world = World::default();
    let process = world.open().await;
    let found = process.runtime.start("r", has_a_child_that_fails, ()).await.unwrap().await.unwrap();
    assert_eq!(found, Ok(Err(OutOfStock("apples".to_owned()))));
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.children[0].end), (RunStatus::Completed, Some(RunStatus::Failed)));
}

#[tokio::test]
async fn a_child_that_is_cancelled_is_told_to_its_parent() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", waits_for_a_child, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r:gated_child", "lost").await.unwrap();
    let expected = ChildCancelled { run: "r:gated_child".to_owned(), reason: "lost".to_owned() };
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Err(expected));
    assert_eq!(status(&process.runtime, "r:gated_child").await, Some(RunStatus::Cancelled));
    process.crash().await;
    let process = world.open().await;
    assert_eq!(status(&process.runtime, "r:gated_child").await, Some(RunStatus::Cancelled));
    assert_eq!(process.runtime.recovery().resumed, 0, "nothing is left to do");
}

#[tokio::test]
async fn cancelling_a_parent_cancels_its_children() {
    for parent_is_suspended in [false, true] {
        let world = World::default();
        let process = world.open().await;
        let run = process.runtime.start("r", waits_for_a_child, ()).await.unwrap();
        world.gates.arrived("gated", 1).await;
        if parent_is_suspended {
            parent_left(&world, &process).await;
        }
        process.runtime.cancel("r", "enough").await.unwrap();
        assert!(matches!(patiently("the run", run.into_future()).await, Err(RunError::Cancelled { .. })));
        let child = process.runtime.attach("r:gated_child", gated_child).await.unwrap();
        let told = patiently("the child", child.into_future()).await.unwrap_err().to_string();
        assert!(told.contains("the run that has started it, r, was cancelled"), "{told}");
        process.crash().await;
        let process = world.open().await;
        for run in ["r", "r:gated_child"] {
            assert_eq!(status(&process.runtime, run).await, Some(RunStatus::Cancelled));
            assert_eq!(kinds(&world, run).last(), Some(&Kind::Cancelled));
        }
        assert_eq!(process.runtime.recovery().resumed, 0, "nothing is left to do");
    }
}

#[durable]
async fn races_two_children(ctx: Context) -> Result<u32, ChildCancelled> {
    let first = tokio::select! {
        biased;
        slow = ctx.run(gated_child, 1) => slow?,
        quick = ctx.run(one_more, 2) => quick?,
    };
    Ok(first + ctx.run(note, 100).await)
}

/// Peers' corner case: a losing child keeps its own fate.
#[tokio::test]
async fn a_losing_child_keeps_its_own_fate() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", races_two_children, ()).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(103));
    let loser = process.runtime.attach("r:gated_child", gated_child).await.unwrap();
    assert_eq!(status(&process.runtime, "r:gated_child").await, Some(RunStatus::Running));
    world.gates.open("gated");
    assert_eq!(patiently("the loser", loser.into_future()).await.unwrap(), 1);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0);
    assert_eq!(process.runtime.attach("r", races_two_children).await.unwrap().await.unwrap(), Ok(103));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

#[durable]
async fn lets_go(ctx: Context, spawned: u32) -> String {
    if spawned > 0 {
        drop(ctx.run(gated_child, spawned).spawn());
    }
    ctx.run(gated_child, 10).named("detached").detach()
}

#[tokio::test]
async fn what_is_detached_or_spawned_is_started_before_the_run_has_ended() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", lets_go, 1).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), "r:detached");
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 2);
    world.gates.open("gated");
    for (run, value) in [("r:detached", 10), ("r:gated_child", 1)] {
        let child = process.runtime.attach(run, gated_child).await.unwrap();
        assert_eq!(patiently("a child", child.into_future()).await.unwrap(), value);
    }
    let info = process.runtime.get("r").await.unwrap().unwrap();
    let attached: Vec<_> = info.children.iter().map(|child| (&*child.key, child.attached)).collect();
    assert_eq!(attached, [("gated_child", true), ("detached", false)]);
}

#[durable]
async fn waits_beside_a_detached_child(ctx: Context) -> u32 {
    ctx.run(gated_child, 10).detach();
    ctx.signal::<u32>("go").await
}

#[tokio::test]
async fn a_detached_child_is_not_cancelled_and_not_started_again_after_it_was_deleted() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", waits_beside_a_detached_child, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    world.gates.open("gated");
    let child = process.runtime.attach("r:gated_child", gated_child).await.unwrap();
    assert_eq!(patiently("the child", child.into_future()).await.unwrap(), 10);
    assert!(process.runtime.delete("r:gated_child").await.unwrap());
    drop(run);
    process.crash().await;
    let process = world.open().await;
    process.runtime.signal("r", "go", &1).await.unwrap();
    let run = process.runtime.attach("r", waits_beside_a_detached_child).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), 1);
    assert_eq!(status(&process.runtime, "r:gated_child").await, None);
    let run = process.runtime.start("s", waits_beside_a_detached_child, ()).await.unwrap();
    patiently("the child", async {
        while status(&process.runtime, "s:gated_child").await != Some(RunStatus::Completed) {
            yield_often().await;
        }
    })
    .await;
    process.runtime.cancel("s", "enough").await.unwrap();
    assert!(matches!(patiently("the run", run.into_future()).await, Err(RunError::Cancelled { .. })));
    assert_eq!(status(&process.runtime, "s:gated_child").await, Some(RunStatus::Completed));
}

#[tokio::test]
async fn a_taken_id_halts_the_parent_and_changes_nothing() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r:gated_child", gated_child, 10).await.unwrap());
    let run = process.runtime.start("r", waits_for_a_child, ()).await.unwrap();
    let halt = halted(patiently("the run", run.into_future()).await, HaltReason::Misuse);
    assert!(halt.message.contains("the id r:gated_child is that of a run which this one has not started"), "{halt}");
    assert_eq!(kinds(&world, "r:gated_child"), [Kind::Started]);
    process.runtime.cancel("r:gated_child", "in the way").await.unwrap();
    assert!(process.runtime.delete("r:gated_child").await.unwrap());
    process.runtime.resume("r").await.unwrap();
    world.gates.open("gated");
    let run = process.runtime.attach("r", waits_for_a_child).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(111));
}

/// R14: children wait for a place, and a parent that waits for them gives its own away.
#[tokio::test]
async fn r14_one_place_is_enough_for_a_parent_and_its_children() {
    let limits = Limits { active_runs: 1, ..Limits::default() };
    let world = World { limits, ..World::default() };
    world.gates.open("gated");
    let process = world.open().await;
    let run = process.runtime.start("r", waits_for_a_child, ()).await.unwrap();
    let ended = patiently("the run", async {
        let mut run = std::pin::pin!(run.into_future());
        loop {
            tokio::select! {
                ended = &mut run => break ended,
                () = yield_often() => world.clock.advance(SECOND),
            }
        }
    });
    assert_eq!(ended.await.unwrap(), Ok(111));
}

#[durable]
async fn panics_as_a_child(ctx: Context) -> u32 {
    let value = ctx.run(note, 1).await;
    assert!(IS_MENDED.load(std::sync::atomic::Ordering::SeqCst), "not mended");
    value
}

static IS_MENDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[durable]
async fn has_a_child_that_panics(ctx: Context) -> Result<u32, ChildCancelled> {
    ctx.run(panics_as_a_child).await
}

#[tokio::test]
async fn a_parent_waits_for_a_halted_child_until_it_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", has_a_child_that_panics, ()).await.unwrap();
    patiently("a halted child", async {
        while status(&process.runtime, "r:panics_as_a_child").await != Some(RunStatus::Halted) {
            yield_often().await;
        }
    })
    .await;
    let refused = process.runtime.delete("r:panics_as_a_child").await.unwrap_err();
    assert!(matches!(&refused, AdminError::Awaited { parent, .. } if parent.as_str() == "r"), "{refused}");
    IS_MENDED.store(true, std::sync::atomic::Ordering::SeqCst);
    process.runtime.resume("r:panics_as_a_child").await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(1));
    assert_eq!(world.effects.count("r:panics_as_a_child:note"), 1);
}

/// Wherever the disk fails, and whether or not that commit is lost, both runs have one end and every step one effect per attempt.
#[tokio::test]
async fn a_parent_and_its_children_survive_a_failure_at_every_commit() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let mut failures = 0;
        for commits in 0.. {
            let world = World::default();
            let process = world.open_failing(commits, loss).await;
            let run = process.runtime.start("r", parent_of_three, 1).await;
            let ended = match run {
                // A run halts whose disk fails; one that waits for that run goes on doing so.
                Ok(run) => {
                    patiently("the run or a failure", async {
                        let mut run = std::pin::pin!(run.into_future());
                        loop {
                            tokio::select! {
                                ended = &mut run => break ended.ok(),
                                () = yield_often() => if !process.handle.is_well() { break None },
                            }
                        }
                    })
                    .await
                }
                Err(_) => None,
            };
            if ended.is_some() && process.handle.is_well() {
                break;
            }
            failures += 1;
            process.crash().await;
            let process = world.open().await;
            let run = process.runtime.start("r", parent_of_three, 1).await.unwrap();
            assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(14), "{loss:?} {commits}");
            for run in ["r:one_more", "r:one_more#2", "r:third"] {
                let child = process.runtime.attach(run, one_more).await.unwrap();
                patiently("a child", child.into_future()).await.unwrap();
            }
            process.crash().await;
            let process = world.open().await;
            assert!(process.runtime.verify_store().await.unwrap().is_sound(), "{loss:?} {commits}");
            for run in process.runtime.list(&RunFilter::default(), None, 9).await.unwrap().runs {
                assert_eq!(run.status, RunStatus::Completed, "{loss:?} {commits} {}", run.id);
            }
            let ended: usize = kinds(&world, "r").into_iter().filter(|kind| *kind == Kind::ChildEnded).count();
            assert_eq!(ended, 3, "{loss:?} {commits}");
        }
        assert!(failures > 8, "{failures}");
    }
}

/// A fork has children of its own from where it goes on, and what those before returned is told again.
#[tokio::test]
async fn a_fork_starts_its_own_children_and_keeps_the_results_of_those_before() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", parent_of_three, 1).await.unwrap().await.unwrap(), Ok(14));
    process.runtime.fork("r", "third", "f").await.unwrap();
    let run = process.runtime.attach("f", parent_of_three).await.unwrap();
    assert_eq!(patiently("the fork", run.into_future()).await.unwrap(), Ok(14));
    let info = process.runtime.get("f").await.unwrap().unwrap();
    let mut children: Vec<_> = info.children.iter().map(|child| &*child.run).collect();
    children.sort_unstable();
    assert_eq!(children, ["f:one_more#2", "f:third", "r:one_more"]);
    let effects = world.effects.counts();
    assert_eq!(effects.values().sum::<usize>(), 5, "{effects:?}");
    process.runtime.fork("r:third", "note", "g").await.unwrap();
    let run = process.runtime.attach("g", one_more).await.unwrap();
    assert_eq!(patiently("the fork", run.into_future()).await.unwrap(), 7);
    assert_eq!(process.runtime.get("g").await.unwrap().unwrap().parent, None);
}

/// The child first, which finds no parent to tell, then the parent.
#[tokio::test]
async fn a_family_is_imported_and_goes_on_together() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r", waits_for_a_child, ()).await.unwrap());
    world.gates.arrived("gated", 1).await;
    let journals = [process.runtime.journal("r:gated_child").await, process.runtime.journal("r").await];
    process.crash().await;
    let other = World::default();
    let process = other.open().await;
    other.gates.open("gated");
    for journal in journals {
        process.runtime.import(&journal.unwrap().unwrap()).await.unwrap();
        if let Ok(child) = process.runtime.attach("r:gated_child", gated_child).await {
            assert_eq!(patiently("the child", child.into_future()).await.unwrap(), 10);
        }
    }
    let run = process.runtime.attach("r", waits_for_a_child).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(111));
    assert_eq!(other.effects.count("r:gated_child:gated"), 1);
}

#[tokio::test]
async fn children_belong_to_what_their_parent_belongs_to() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", parent_of_three, 1).correlation_id("basket").await.unwrap();
    run.await.unwrap().unwrap();
    let filter = RunFilter::default().correlation_id("basket");
    assert_eq!(process.runtime.list(&filter, None, 9).await.unwrap().runs.len(), 4);
}

#[test]
fn children_are_explored() {
    let explored = testing::explore(parent_of_three, 1).dependency_with(Effects::default).seeds(0..60).check(|world| {
        assert_eq!(*world.output(), Ok(14));
        for step in ["one_more:note", "one_more#2:note", "third:note"] {
            assert!(world.executions(step) >= 1, "{step}");
        }
    });
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}

#[durable]
async fn races_children(ctx: Context) -> Result<(u32, String), ChildCancelled> {
    let first = tokio::select! {
        biased;
        one = ctx.run(one_more, 10) => one?,
        other = ctx.run(one_more, 20) => other?,
        three = ctx.run(note, 30) => three,
    };
    let slept = ctx.timeout(Duration::from_hours(1), ctx.run(sleeps_as_a_child)).await.is_err();
    Ok((first, format!("{slept} {}", ctx.run(one_more, first).named("detached").detach())))
}

#[durable]
async fn sleeps_as_a_child(ctx: Context) -> u32 {
    ctx.sleep(Duration::from_hours(24)).await;
    ctx.run(note, 7).await
}

#[test]
fn races_of_children_are_explored() {
    let explored = testing::explore(races_children, ()).dependency_with(Effects::default).seeds(0..60).check(|world| {
        let Ok((first, told)) = world.output() else { panic!("nobody has cancelled one") };
        assert!([11, 21, 30].contains(first), "{first}");
        assert!(told.starts_with("true ") && told.ends_with(":detached"), "{told}");
    });
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}

#[test]
fn steps_of_children_are_faked_and_crashed_by_their_place_or_their_name() {
    let world = testing::explore(parent_of_three, 1)
        .dependency_with(Effects::default)
        .fake("note", |_| 5)
        .fake("one_more#2:note", |_| 100)
        .crash(Crash::AfterEffect, "third:note")
        .run();
    assert_eq!((world.output(), world.lives()), (&Ok(6 + 101 + 6), 2));
    assert_eq!(world.executions("third:note"), 2);
}
