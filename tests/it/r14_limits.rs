//! R14: what is bounded says so, by name, and nothing is lost.

use std::future::IntoFuture as _;

use durable_runtime::{Context, HaltReason, Limits, RunError, RunFilter, RunStatus, StartError, durable};
use durable_tests::{World, patiently};
use futures::future::join_all;

use crate::steps::{gated, halted, note};

#[durable]
async fn limit_operations(ctx: Context, count: u32) -> u32 {
    let mut sum = 0;
    for index in 0..count {
        sum += ctx.run(note, index).await;
    }
    sum
}

#[durable]
async fn limit_operations_at_once(ctx: Context, count: u32) -> usize {
    join_all((0..count).map(|index| ctx.run(note, index))).await.len()
}

#[tokio::test]
async fn a_run_with_too_many_operations_is_halted_and_goes_on_with_a_higher_limit() {
    let limits = Limits { operations: 10, ..Limits::default() };
    let world = World { limits, ..World::default() };
    let process = world.open().await;
    assert_eq!(process.runtime.start("fits", limit_operations, 10).await.unwrap().await.unwrap(), 45);
    let halt = halted(process.runtime.start("r", limit_operations, 12).await.unwrap().await, HaltReason::Limit);
    assert!(halt.message.contains("10 operations") && halt.message.contains("Limits::operations"), "{halt}");
    let halt = halted(process.runtime.start("s", limit_operations_at_once, 11).await.unwrap().await, HaltReason::Limit);
    assert!(halt.message.contains("10 operations"), "{halt}");
    process.crash().await;
    let world = World { limits: Limits::default(), ..world };
    let process = world.open().await;
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", limit_operations).await.unwrap().await.unwrap(), 66);
    assert!(world.effects.counts().iter().all(|(key, count)| *count == 1 || key.starts_with("s:")));
}

#[durable]
async fn limit_active(ctx: Context, value: u32) -> u32 {
    ctx.run(gated, value).await
}

#[tokio::test]
async fn a_start_beyond_the_active_runs_is_refused_and_possible_later() {
    let world = World { limits: Limits { active_runs: 2, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let first = process.runtime.start("a", limit_active, 1).await.unwrap();
    let second = process.runtime.start("b", limit_active, 2).await.unwrap();
    let refused = process.runtime.start("c", limit_active, 3).await.unwrap_err();
    assert!(matches!(refused, StartError::TooManyActiveRuns { limit: 2, .. }), "{refused}");
    assert_eq!(process.runtime.get("c").await.unwrap(), None);
    // Attaching takes no place.
    let attached = process.runtime.start("a", limit_active, 1).await.unwrap();
    world.gates.open("gated");
    assert_eq!((first.await.unwrap(), second.await.unwrap(), attached.await.unwrap()), (1, 2, 1));
    let third = loop {
        // A place is free a moment after its run has ended.
        match process.runtime.start("c", limit_active, 3).await {
            Ok(run) => break run,
            Err(StartError::TooManyActiveRuns { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(third.await.unwrap(), 3);
}

#[tokio::test]
async fn attaching_to_an_ended_run_takes_no_place() {
    let world = World { limits: Limits { active_runs: 1, ..Limits::default() }, ..World::default() };
    world.gates.open("gated");
    let process = world.open().await;
    assert_eq!(process.runtime.start("ended", limit_active, 7).await.unwrap().await.unwrap(), 7);
    process.runtime.shutdown(std::time::Duration::ZERO).await;

    let world = World { limits: world.limits, ..World::with(world.disk.memory.clone()) };
    let process = world.open().await;
    process.runtime.start("active", limit_active, 1).await.unwrap().id();
    assert_eq!(process.runtime.start("ended", limit_active, 7).await.unwrap().await.unwrap(), 7);
    let other = process.runtime.start("ended", limit_active, 8).await.unwrap_err();
    assert!(matches!(other, StartError::OtherInput { .. }), "{other}");
    let refused = process.runtime.start("new", limit_active, 1).await.unwrap_err();
    assert!(matches!(refused, StartError::TooManyActiveRuns { .. }), "{refused}");
}

#[tokio::test]
async fn recovered_runs_beyond_the_limit_wait_for_their_turn() {
    let mut world = World::default();
    let process = world.open().await;
    for value in 0..6 {
        process.runtime.start(format!("r{value}"), limit_active, value).await.unwrap().id();
    }
    world.gates.arrived("gated", 6).await;
    process.crash().await;
    world.limits.active_runs = 2;
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 6);
    world.gates.arrived("gated", 8).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.effects.keys().len(), 8, "more than two runs were active");
    world.gates.open("gated");
    for value in 0..6 {
        assert_eq!(process.runtime.attach(format!("r{value}"), limit_active).await.unwrap().await.unwrap(), value);
    }
}

#[tokio::test]
async fn recovered_runs_that_wait_for_their_turn_can_be_shut_down() {
    let mut world = World::default();
    let process = world.open().await;
    for value in 0..6 {
        process.runtime.start(format!("r{value}"), limit_active, value).await.unwrap().id();
    }
    world.gates.arrived("gated", 6).await;
    process.crash().await;
    world.limits.active_runs = 1;
    let process = world.open().await;
    world.gates.arrived("gated", 7).await;
    process.runtime.shutdown(std::time::Duration::ZERO).await;
    world.gates.open("gated");
    let process = world.open().await;
    for value in 0..6 {
        assert_eq!(process.runtime.attach(format!("r{value}"), limit_active).await.unwrap().await.unwrap(), value);
    }
    assert_eq!(
        process.runtime.list(&RunFilter::new().status(RunStatus::Completed), None, 10).await.unwrap().runs.len(),
        6
    );
}

#[durable]
async fn limit_that_listens(ctx: Context, value: u32) -> u32 {
    ctx.run(gated, value).await + ctx.signal::<u32>("more").await
}

/// A run that waits for its place does not keep those waiting who send something to it.
#[tokio::test]
async fn r14_what_is_sent_to_a_run_that_waits_for_its_place_is_recorded_at_once() {
    let mut world = World::default();
    let process = world.open().await;
    for value in 0..3 {
        drop(process.runtime.start(format!("r{value}"), limit_that_listens, value).await.unwrap());
    }
    world.gates.arrived("gated", 3).await;
    process.crash().await;
    world.limits.active_runs = 1;
    let process = world.open().await;
    world.gates.arrived("gated", 4).await;
    let mut runs = Vec::new();
    for run in ["r0", "r1", "r2"] {
        runs.push(process.runtime.attach(run, limit_that_listens).await.unwrap());
    }
    let [first, second, third] = <[_; 3]>::try_from(runs).unwrap();
    for run in ["r0", "r1", "r2"] {
        patiently(run, process.runtime.signal(run, "more", &10).into_future()).await.unwrap();
    }
    patiently("the cancel", process.runtime.cancel("r1", "enough")).await.unwrap();
    assert!(matches!(patiently("r1", second.into_future()).await, Err(RunError::Cancelled { .. })));
    assert_eq!(world.effects.keys().len(), 4, "more than one run was active");
    world.gates.open("gated");
    assert_eq!(patiently("r0", first.into_future()).await.unwrap(), 10);
    assert_eq!(patiently("r2", third.into_future()).await.unwrap(), 12);
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}
