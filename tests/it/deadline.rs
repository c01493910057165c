//! `Start::timeout`: a run that takes too long is cancelled, wherever it is, and whatever process has it then.

use std::time::Duration;

use durable_runtime::{
    Clock as _, Context, HaltReason, Retry, RunError, RunInfo, RunStatus, StepContext, Timestamp, durable,
};
use durable_tests::{Kind, Process, World, journal, patiently, yield_often};

use crate::steps::{gated, halted, note};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[durable]
async fn timed_steps(ctx: Context) -> u32 {
    ctx.run(gated, 1).await + ctx.run(note, 2).await
}

#[durable]
async fn timed_waits(ctx: Context) -> u32 {
    let number = ctx.signal::<u32>("number").await;
    ctx.run(note, number).await
}

#[durable]
async fn timed_parent(ctx: Context) -> u32 {
    ctx.run(timed_waits).await.unwrap_or_default()
}

async fn undoes(step: StepContext) -> Result<(), String> {
    step.dependency::<durable_tests::Effects>().note(&step);
    if step.attempt() < 3 { Err("not yet".to_owned()) } else { Ok(()) }
}

#[durable]
async fn timed_with_undo(ctx: Context) -> Result<u32, String> {
    let number = ctx.run(note, 1).await;
    ctx.undo(undoes).retry(Retry::fixed(DAY).max_attempts(5));
    Ok(number + ctx.signal::<u32>("number").await)
}

#[durable]
async fn timed_breaks(ctx: Context) -> u32 {
    ctx.run("breaks", async || panic!("broken")).await
}

async fn info(process: &Process, run: &str) -> RunInfo {
    process.runtime.get(run).await.unwrap().expect("it was started")
}

/// Waits until the run has waited for so long that it has left memory; a few seconds go by.
async fn rested(world: &World, process: &Process, run: &str) {
    patiently("a suspended run", async {
        while info(process, run).await.status != RunStatus::Suspended {
            yield_often().await;
            world.clock.advance(Duration::from_secs(2));
        }
    })
    .await;
}

#[track_caller]
fn out_of_time<T: std::fmt::Debug>(result: Result<T, RunError>) {
    match result {
        Err(RunError::Cancelled { reason, .. }) => assert!(reason.starts_with("its time is up"), "{reason}"),
        other => panic!("its time is up: {other:?}"),
    }
}

#[tokio::test]
async fn a_run_whose_step_takes_too_long_is_cancelled() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(HOUR);
    let run = process.runtime.start("r", timed_steps, ()).timeout(HOUR).await.unwrap();
    world.gates.arrived("gated", 1).await;
    assert_eq!(info(&process, "r").await.deadline, Some(due));
    world.asked_for(due).await;
    world.clock.set(Timestamp(due.0 - 1));
    yield_often().await;
    assert_eq!(info(&process, "r").await.status, RunStatus::Running);
    world.clock.set(due);
    out_of_time(patiently("the run", run).await);
    world.gates.open("gated");
    process.crash().await;
    let process = world.open().await;
    assert_eq!((info(&process, "r").await.status, process.runtime.recovery().resumed), (RunStatus::Cancelled, 0));
    assert!(process.runtime.verify("r").await.is_ok() && process.runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_run_that_waits_in_the_store_is_cancelled_and_so_is_its_child() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", timed_parent, ()).timeout(DAY).await.unwrap();
    let due = world.clock.now().after(DAY);
    rested(&world, &process, "r").await;
    rested(&world, &process, "r:timed_waits").await;
    world.asked_for(due).await;
    world.clock.set(due);
    out_of_time(patiently("the run", run).await);
    let child = process.runtime.attach("r:timed_waits", timed_waits).await.unwrap();
    assert!(matches!(patiently("the child", child).await, Err(RunError::Cancelled { .. })));
    assert!(world.effects.keys().is_empty());
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn the_deadline_stays_the_same_over_restarts_and_a_clock_that_is_set_back() {
    let world = World::default();
    let process = world.open().await;
    let began = world.clock.now();
    process.runtime.start("r", timed_waits, ()).timeout(DAY).await.unwrap().id();
    rested(&world, &process, "r").await;
    process.crash().await;
    world.clock.set(began.after(HOUR));
    let process = world.open().await;
    assert_eq!(info(&process, "r").await.deadline, Some(began.after(DAY)));
    world.asked_for(began.after(DAY)).await;
    world.clock.set(began);
    yield_often().await;
    assert_eq!(info(&process, "r").await.status, RunStatus::Suspended);
    process.crash().await;
    world.clock.set(began.after(2 * DAY));
    let process = world.open().await;
    out_of_time(patiently("the run", process.runtime.attach("r", timed_waits).await.unwrap()).await);
}

#[tokio::test]
async fn a_run_that_begins_later_has_its_time_from_there_on() {
    let world = World::default();
    let process = world.open().await;
    let begins = world.clock.now().after(DAY);
    let run = process.runtime.start("r", timed_waits, ()).delay(DAY).timeout(HOUR).await.unwrap();
    assert_eq!(info(&process, "r").await.deadline, None);
    world.asked_for(begins).await;
    world.clock.set(begins.after(Duration::from_mins(1)));
    let due = begins.after(Duration::from_mins(61));
    patiently("that it has begun", async {
        while info(&process, "r").await.deadline != Some(due) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    rested(&world, &process, "r").await;
    world.asked_for(due).await;
    world.clock.set(due);
    out_of_time(patiently("the run", run).await);
    let kinds: Vec<_> = journal(&world.disk.memory, "r").iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds.first_chunk(), Some(&[Kind::Started, Kind::Begun]));
}

#[tokio::test]
async fn who_is_in_time_is_left_alone() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", timed_waits, ()).timeout(DAY).await.unwrap();
    rested(&world, &process, "r").await;
    process.runtime.signal("r", "number", &7).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 7);
    world.clock.advance(2 * DAY);
    yield_often().await;
    assert_eq!(info(&process, "r").await.status, RunStatus::Completed);
}

/// What it undoes takes its time, and the deadline that has passed does not wake it again.
#[tokio::test]
async fn what_has_been_done_is_undone_when_the_time_is_up() {
    let world = World::default();
    let process = world.open().await;
    let began = world.clock.now();
    let run = process.runtime.start("r", timed_with_undo, ()).timeout(HOUR).await.unwrap();
    rested(&world, &process, "r").await;
    for passed in [HOUR, HOUR + DAY, HOUR + 2 * DAY] {
        world.asked_for(began.after(passed)).await;
        world.clock.set(began.after(passed));
    }
    out_of_time(patiently("the run", run).await);
    let attempts: Vec<_> = world.effects.executions().into_iter().filter(|(key, _)| key == "r:undoes").collect();
    assert_eq!(attempts.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let events = info(&process, "r").await.events;
    assert!(events < 20, "it was woken again and again: {events}");
}

#[tokio::test]
async fn a_run_that_is_halted_when_its_time_is_up_is_cancelled_when_it_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", timed_breaks, ()).timeout(HOUR).await.unwrap();
    halted(run.await, HaltReason::Panic);
    process.runtime.start("s", timed_waits, ()).timeout(HOUR).await.unwrap().id();
    process.runtime.pause("s", "for two hours").await.unwrap();
    world.clock.advance(2 * HOUR);
    yield_often().await;
    for run in ["r", "s"] {
        assert_eq!(info(&process, run).await.status, RunStatus::Halted, "{run}");
        process.runtime.resume(run).await.unwrap();
    }
    out_of_time(patiently("r", process.runtime.attach("r", timed_breaks).await.unwrap()).await);
    out_of_time(patiently("s", process.runtime.attach("s", timed_waits).await.unwrap()).await);
}

#[tokio::test]
async fn a_fork_and_who_was_imported_have_their_own_time() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(HOUR);
    process.runtime.start("r", timed_steps, ()).timeout(HOUR).await.unwrap().id();
    world.gates.open("gated");
    assert_eq!(process.runtime.attach("r", timed_steps).await.unwrap().await.unwrap(), 3);
    world.clock.advance(DAY);
    process.runtime.fork("r", "note", "fork").await.unwrap();
    assert_eq!(info(&process, "fork").await.deadline, None);
    assert_eq!(patiently("the fork", process.runtime.attach("fork", timed_steps).await.unwrap()).await.unwrap(), 3);

    process.runtime.start("s", timed_waits, ()).timeout(HOUR).await.unwrap().id();
    rested(&world, &process, "s").await;
    let journal = process.runtime.journal("s").await.unwrap().expect("it was started");
    let other = World::default();
    other.clock.set(due);
    let elsewhere = other.open().await;
    elsewhere.runtime.import(&journal).await.unwrap();
    let deadline = info(&elsewhere, "s").await.deadline.expect("it has one");
    rested(&other, &elsewhere, "s").await;
    other.asked_for(deadline).await;
    other.clock.set(deadline);
    out_of_time(patiently("s", elsewhere.runtime.attach("s", timed_waits).await.unwrap()).await);
}
