//! R5: nothing that depends on a completion is seen outside before the completion is durable.

use durable_runtime::{AdminError, Context, HaltReason, RunStatus, durable};
use durable_tests::{Kind, Loss, World, is_left_out, journal, yield_often};
use futures::future::try_join_all;

use crate::steps::{gated, halted, note};

#[durable]
async fn commit_three(ctx: Context) -> u32 {
    let a = ctx.run(gated, 1).named("one").await;
    let b = ctx.run(note, a + 1).named("two").await;
    ctx.run(note, b + 1).named("three").await
}

#[durable]
async fn commit_one(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await
}

#[durable]
async fn commit_two_branches(ctx: Context) -> u32 {
    let (a, b) = tokio::join!(ctx.run(gated, 1).named("left"), ctx.run(gated, 2).named("right"));
    a + b
}

#[tokio::test]
async fn a_step_begins_only_when_what_it_depends_on_is_durable() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", commit_three, ()).await.unwrap();
    world.gates.arrived("one", 1).await;
    process.handle.hold();
    world.gates.open("one");
    process.handle.held().await;
    yield_often().await;
    assert_eq!(world.effects.keys(), ["r:one"], "step two began before step one was durable");
    process.handle.release();
    assert_eq!(run.await.unwrap(), 3);
    assert_eq!(world.effects.keys(), ["r:one", "r:two", "r:three"]);
}

#[tokio::test]
async fn a_step_that_depends_on_nothing_new_is_not_held_up() {
    if is_left_out("a run leaves memory when all it did is durable") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", commit_two_branches, ()).await.unwrap();
    world.gates.arrived("left", 1).await;
    world.gates.arrived("right", 1).await;
    process.handle.hold();
    world.gates.open("left");
    process.handle.held().await;
    world.gates.open("right");
    yield_often().await;
    process.handle.release();
    assert_eq!(run.await.unwrap(), 3);
    // Started, left, and right together with the result.
    assert_eq!(process.runtime.stats().commits, 3);
}

#[tokio::test]
async fn three_steps_are_four_commits() {
    if is_left_out("it counts commits") {
        return;
    }
    let world = World::default();
    world.gates.open("one");
    let process = world.open().await;
    process.runtime.start("r", commit_three, ()).await.unwrap().await.unwrap();
    assert_eq!(process.runtime.stats().commits, 4, "Started, one, two, and three together with the result");
    assert_eq!(journal(&world.disk.memory, "r").len(), 5);
}

#[tokio::test]
async fn runs_share_commits() {
    if is_left_out("it counts commits") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    process.handle.hold();
    let starts = (0..50_u32).map(|index| {
        let runtime = process.runtime.clone();
        tokio::spawn(async move { runtime.start(format!("r{index}"), commit_one, index).await.unwrap().await.unwrap() })
    });
    let starts: Vec<_> = starts.collect();
    process.handle.held().await;
    yield_often().await;
    process.handle.release();
    try_join_all(starts).await.unwrap();
    let done = process.runtime.stats();
    assert_eq!(done.appends, 100);
    assert!(done.commits <= 60, "50 starts took more than their share of {} commits", done.commits);
}

#[tokio::test]
async fn a_result_is_not_visible_before_it_is_durable() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", commit_two_branches, ()).await.unwrap();
    world.gates.arrived("left", 1).await;
    world.gates.arrived("right", 1).await;
    process.handle.hold();
    world.gates.open("left");
    world.gates.open("right");
    process.handle.held().await;
    let awaiting = tokio::spawn(async move { run.await });
    let attached = process.runtime.attach("r", commit_two_branches).await.unwrap();
    let awaiting_attached = tokio::spawn(async move { attached.await });
    yield_often().await;
    assert!(!awaiting.is_finished() && !awaiting_attached.is_finished());
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().status, RunStatus::Running);
    process.handle.release();
    assert_eq!(awaiting.await.unwrap().unwrap(), 3);
    assert_eq!(awaiting_attached.await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn when_an_append_fails_nobody_sees_what_it_held_and_the_run_can_be_resumed() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    // Commit 0 is Started, 1 to 3 are the steps, the last with the result.
    for (commits, loss) in (1..=3).flat_map(|commits| [(commits, Loss::Whole), (commits, Loss::Acknowledgement)]) {
        let world = World::default();
        world.gates.open("one");
        let process = world.open_failing(commits, loss).await;
        let run = process.runtime.start("r", commit_three, ()).await.unwrap();
        let halt = halted(run.await, HaltReason::Storage);
        assert!(halt.message.contains("pulled the plug"), "{halt}");
        assert_eq!(world.effects.keys().len(), commits, "a step began although an earlier record was not acknowledged");
        let durable = journal(&world.disk.memory, "r");
        assert!(durable.iter().all(|entry| entry.kind != Kind::Halted));

        let finished = commits == 3 && loss == Loss::Acknowledgement;
        let info = process.runtime.get("r").await.unwrap().unwrap();
        assert_eq!(info.status, if finished { RunStatus::Completed } else { RunStatus::Running });
        process.handle.fail_after(usize::MAX, Loss::Whole);
        match process.runtime.resume("r").await {
            Ok(()) => assert!(!finished),
            Err(AdminError::Finished { .. }) => assert!(finished),
            Err(other) => panic!("{other}"),
        }
        let run = process.runtime.attach("r", commit_three).await.unwrap();
        assert_eq!(run.await.unwrap(), 3, "{commits} {loss:?}");
        let repeated = usize::from(loss == Loss::Whole);
        assert_eq!(world.effects.keys().len(), 3 + repeated, "{commits} {loss:?}: {:?}", world.effects.keys());
    }
}

#[tokio::test]
async fn when_an_append_fails_a_restart_goes_on_as_well() {
    for commits in 1..=3 {
        let world = World::default();
        world.gates.open("one");
        let process = world.open_failing(commits, Loss::Whole).await;
        let run = process.runtime.start("r", commit_three, ()).await.unwrap();
        halted(run.await, HaltReason::Storage);
        process.crash().await;
        let process = world.open().await;
        assert_eq!(process.runtime.attach("r", commit_three).await.unwrap().await.unwrap(), 3);
        assert_eq!(world.effects.keys().len(), 4, "the one step that was not recorded runs again");
    }
}

#[tokio::test]
async fn a_failing_store_halts_every_run_that_waits_for_it_and_resume_mends_each() {
    let world = World::default();
    let process = world.open().await;
    let mut runs = Vec::new();
    for index in 0..5 {
        runs.push(process.runtime.start(format!("r{index}"), commit_three, ()).await.unwrap());
    }
    world.gates.arrived("one", 5).await;
    process.handle.fail_after(0, Loss::Whole);
    world.gates.open("one");
    for run in runs {
        halted(run.await, HaltReason::Storage);
    }
    assert_eq!(world.effects.keys().len(), 5);
    process.handle.fail_after(usize::MAX, Loss::Whole);
    for index in 0..5 {
        process.runtime.resume(format!("r{index}")).await.unwrap();
        assert_eq!(process.runtime.attach(format!("r{index}"), commit_three).await.unwrap().await.unwrap(), 3);
    }
}
