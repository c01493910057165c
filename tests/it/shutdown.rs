//! Stopping in order: running steps finish within the deadline, nothing is lost if they don't.

use std::time::Duration;

use durable_runtime::{AdminError, Clock, Context, RunError, RunFilter, RunStatus, StartError, durable};
use durable_tests::{Kind, World, journal, patiently};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::steps::{gated, note};

#[durable]
async fn stopping(ctx: Context) -> u32 {
    let first = ctx.run(gated, 1).await;
    first + ctx.run(note, 2).await
}

#[durable]
async fn stopping_waits(ctx: Context) -> u32 {
    ctx.run(gated, 1).await
}

#[tokio::test]
async fn a_running_step_finishes_within_the_deadline_and_is_recorded() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", stopping, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let deadline = world.clock.now().after(Duration::from_secs(30));
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::from_secs(30)));
    world.asked_for(deadline).await;
    assert!(!stopping_down.is_finished());
    world.gates.open("gated");
    assert_eq!(stopping_down.await.unwrap().interrupted, 0);
    assert!(matches!(run.await, Err(RunError::Stopped { .. })));
    assert_eq!(world.effects.keys(), ["r:gated"], "a step began while the runtime was shutting down");
    let last = journal(&world.disk.memory, "r").pop().unwrap();
    assert_eq!((last.kind, last.key.as_deref()), (Kind::StepCompleted, Some("gated")));

    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", stopping).await.unwrap().await.unwrap(), 3);
    assert_eq!(world.effects.keys(), ["r:gated", "r:note"]);
}

#[tokio::test]
async fn a_run_whose_last_step_finishes_in_time_finishes() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", stopping_waits, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let deadline = world.clock.now().after(Duration::from_secs(30));
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::from_secs(30)));
    world.asked_for(deadline).await;
    world.gates.open("gated");
    assert_eq!(stopping_down.await.unwrap().interrupted, 0);
    assert_eq!(run.await.unwrap(), 1);
}

#[tokio::test]
async fn a_step_that_takes_longer_than_the_deadline_is_interrupted_and_runs_again() {
    let world = World::default();
    let process = world.open().await;
    for id in ["r", "s"] {
        process.runtime.start(id, stopping, ()).await.unwrap().id();
    }
    world.gates.arrived("gated", 2).await;
    let deadline = world.clock.now().after(Duration::from_secs(30));
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::from_secs(30)));
    world.asked_for(deadline).await;
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(stopping_down.await.unwrap().interrupted, 2);
    world.gates.open("gated");
    let process = world.open().await;
    for id in ["r", "s"] {
        assert_eq!(process.runtime.attach(id, stopping).await.unwrap().await.unwrap(), 3);
        assert_eq!(world.effects.count(&format!("{id}:gated")), 2);
    }
}

#[durable]
async fn stopping_beside(ctx: Context) -> u32 {
    let mut values: FuturesUnordered<_> =
        ["first", "second"].map(|name| ctx.run(gated, 1).named(name)).into_iter().collect();
    let mut sum = 0;
    while let Some(value) = values.next().await {
        sum += ctx.run(note, value).await;
    }
    sum
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_step_that_the_code_leaves_alone() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", stopping_beside, ()).await.unwrap().id();
    for name in ["first", "second"] {
        world.gates.arrived(name, 1).await;
    }
    let deadline = world.clock.now().after(Duration::from_secs(30));
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::from_secs(30)));
    world.asked_for(deadline).await;
    world.gates.open("first");
    while journal(&world.disk.memory, "r").len() < 2 {
        tokio::task::yield_now().await;
    }
    // The code waits for a step that does not begin any more, and will not ask how this one went.
    world.gates.open("second");
    assert_eq!(patiently("the shutdown", stopping_down).await.unwrap().interrupted, 0);

    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", stopping_beside).await.unwrap().await.unwrap(), 2);
    assert_eq!(world.effects.count("r:first"), 1);
}

#[tokio::test]
async fn during_and_after_a_shutdown_everything_is_refused_with_an_error() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", stopping, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    let clone = process.runtime.clone();
    let deadline = world.clock.now().after(Duration::from_secs(30));
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::from_secs(30)));
    world.asked_for(deadline).await;
    assert!(matches!(clone.start("new", stopping, ()).await, Err(StartError::ShuttingDown { .. })));
    assert!(matches!(clone.resume("new").await, Err(AdminError::ShuttingDown)));
    world.gates.open("gated");
    stopping_down.await.unwrap();

    assert!(matches!(clone.start("new", stopping, ()).await, Err(StartError::ShuttingDown { .. })));
    assert!(matches!(clone.start("r", stopping, ()).await, Err(StartError::ShuttingDown { .. })));
    assert!(matches!(clone.resume("r").await, Err(AdminError::ShuttingDown)));
    assert!(clone.attach("r", stopping).await.is_err());
    assert!(clone.get("r").await.is_err());
    assert!(clone.list(&RunFilter::new(), None, 10).await.is_err());
    assert!(clone.delete("r").await.is_err());
    assert!(clone.compact().await.is_err());
    assert_eq!(clone.shutdown(Duration::from_secs(1)).await.interrupted, 0, "a second shutdown has nothing to do");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", stopping).await.unwrap().await.unwrap(), 3);
    assert_eq!(process.runtime.get("new").await.unwrap(), None);
}

#[tokio::test]
async fn what_waits_to_be_written_is_durable_when_shutdown_returns() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", stopping_waits, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.handle.hold();
    world.gates.open("gated");
    process.handle.held().await;
    let stopping_down = tokio::spawn(process.runtime.shutdown(Duration::ZERO));
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(!stopping_down.is_finished(), "the result is not written yet");
    process.handle.release();
    stopping_down.await.unwrap();
    assert_eq!(run.await.unwrap(), 1);
    assert_eq!(journal(&world.disk.memory, "r").pop().unwrap().kind, Kind::Finished);
}

#[tokio::test]
async fn an_idle_runtime_shuts_down_at_once() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.shutdown(Duration::MAX).await.interrupted, 0);
    assert_eq!(std::sync::Arc::strong_count(&process.handle), 1, "the store is still held");
    assert!(
        world
            .open()
            .await
            .runtime
            .list(&RunFilter::new().status(RunStatus::Running), None, 1)
            .await
            .unwrap()
            .runs
            .is_empty()
    );
}
