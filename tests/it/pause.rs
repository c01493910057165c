//! `Runtime::pause`: durable, wherever the run is; what is running ends before, and nothing begins.

use std::time::Duration;

use durable_runtime::{AdminError, Context, HaltReason, Limits, RunInfo, RunStatus, Runtime, durable};
use durable_tests::{Kind, Loss, Process, World, is_left_out, journal, patiently, suspended, yield_often};

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);

#[durable]
async fn pause_me(ctx: Context) -> u32 {
    ctx.run(note, 1).await;
    ctx.run(gated, 2).await + ctx.run(note, 3).await
}

#[durable]
async fn pause_asleep(ctx: Context) -> u32 {
    ctx.sleep(DAY).await;
    ctx.run(note, 1).await
}

#[durable]
async fn pause_broken(ctx: Context) -> u32 {
    ctx.run("breaks", async || panic!("broken")).await
}

#[durable]
async fn pause_as_it_returns(ctx: Context) -> u32 {
    let number = ctx.run(gated, 2).await;
    ctx.run(pause_asleep).named("child").detach();
    number
}

async fn info(runtime: &Runtime, run: &str) -> RunInfo {
    runtime.get(run).await.unwrap().expect("it was started")
}

async fn reason(runtime: &Runtime, run: &str) -> Option<HaltReason> {
    info(runtime, run).await.halt.map(|halt| halt.reason)
}

/// A run that somebody pauses while a step of it is running.
async fn pausing(world: &World, process: &Process) -> tokio::task::JoinHandle<Result<(), AdminError>> {
    world.gates.arrived("gated", 1).await;
    let runtime = process.runtime.clone();
    let pause = tokio::spawn(async move { runtime.pause("r", "moving").await });
    yield_often().await;
    assert!(!pause.is_finished(), "the step is running");
    pause
}

#[tokio::test]
async fn what_is_running_ends_and_is_recorded_and_nothing_begins_until_it_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", pause_me, ()).await.unwrap();
    let pause = pausing(&world, &process).await;
    assert_eq!(info(&process.runtime, "r").await.status, RunStatus::Running);
    world.gates.open("gated");
    pause.await.unwrap().unwrap();
    let halt = halted(run.await, HaltReason::Paused);
    assert_eq!(halt.to_string(), "[D0411] paused: moving. `Runtime::resume` lets it go on");
    process.runtime.pause("r", "again").await.unwrap();
    process.crash().await;
    let process = world.open().await;
    yield_often().await;
    assert_eq!(
        (process.runtime.recovery().resumed, world.effects.keys()),
        (0, vec!["r:note".into(), "r:gated".into()])
    );
    assert_eq!(info(&process.runtime, "r").await.halt, Some(halt));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", pause_me).await.unwrap().await.unwrap(), 5);
    assert_eq!(world.effects.keys(), ["r:note", "r:gated", "r:note#2"]);
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    let step = Kind::StepCompleted;
    assert_eq!(kinds, [Kind::Started, step, step, Kind::Halted, Kind::Resumed, Kind::Recovered, step, Kind::Finished]);
}

#[tokio::test]
async fn a_suspended_run_is_paused_without_being_woken_and_its_time_goes_by() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", pause_asleep, ()).await.unwrap();
    suspended(&process.runtime, "r").await;
    process.runtime.pause("r", "enough").await.unwrap();
    halted(patiently("the run", run).await, HaltReason::Paused);
    world.clock.advance(2 * DAY);
    yield_often().await;
    assert!(world.effects.keys().is_empty());
    assert_eq!(info(&process.runtime, "r").await.status, RunStatus::Halted);
    process.runtime.resume("r").await.unwrap();
    assert_eq!(patiently("the run", process.runtime.attach("r", pause_asleep).await.unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_run_that_is_not_in_memory_is_paused_in_the_store_and_one_that_is_halted_stays_so() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", pause_broken, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    process.runtime.start("not recovered", pause_me, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    for (run, expected) in [("r", HaltReason::Panic), ("not recovered", HaltReason::Paused)] {
        runtime.pause(run, "later").await.unwrap();
        assert_eq!(reason(&runtime, run).await, Some(expected), "{run}");
    }
    assert_eq!(runtime.recover().await.unwrap().resumed, 0);
    assert!(runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_run_that_waits_for_its_place_is_paused_and_takes_none() {
    let world = World { limits: Limits { active_runs: 1, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    process.runtime.start("first", pause_me, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let mut world = world;
    world.limits.active_runs = 2;
    let process = world.open().await;
    process.runtime.start("second", pause_me, ()).await.unwrap().id();
    world.gates.arrived("gated", 3).await;
    process.crash().await;
    world.limits.active_runs = 1;
    let process = world.open().await;
    world.gates.arrived("gated", 4).await;
    yield_often().await;
    let waiting = if world.effects.count("second:gated") > 1 { "first" } else { "second" };
    process.runtime.pause(waiting, "not now").await.unwrap();
    world.gates.open("gated");
    let other = if waiting == "first" { "second" } else { "first" };
    assert_eq!(patiently("the other", process.runtime.attach(other, pause_me).await.unwrap()).await.unwrap(), 5);
    yield_often().await;
    assert_eq!(reason(&process.runtime, waiting).await, Some(HaltReason::Paused));
    process.runtime.resume(waiting).await.unwrap();
    assert_eq!(patiently("it", process.runtime.attach(waiting, pause_me).await.unwrap()).await.unwrap(), 5);
}

/// Its code has nothing left to wait for: what it has asked for is started when it is resumed, once.
#[tokio::test]
async fn a_run_is_paused_as_its_code_returns_with_something_to_start() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", pause_as_it_returns, ()).await.unwrap();
    let pause = pausing(&world, &process).await;
    world.gates.open("gated");
    patiently("the pause", pause).await.unwrap().unwrap();
    halted(run.await, HaltReason::Paused);
    assert_eq!(process.runtime.get("r:child").await.unwrap(), None);
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", pause_as_it_returns).await.unwrap().await.unwrap(), 2);
    assert_eq!(info(&process.runtime, "r:child").await.function, "pause_asleep");
    assert_eq!(world.effects.count("r:gated"), 1);
}

#[tokio::test]
async fn a_run_that_ends_or_is_cancelled_while_it_is_to_be_paused_has_ended() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", pause_me, ()).await.unwrap().id();
    let pause = pausing(&world, &process).await;
    process.runtime.cancel("r", "no more").await.unwrap();
    let told = patiently("the pause", pause).await.unwrap();
    assert!(matches!(told, Err(AdminError::Finished { status: RunStatus::Cancelled, .. })), "{told:?}");

    process.runtime.start("s", pause_asleep, ()).await.unwrap().id();
    process.runtime.pause("s", "for now").await.unwrap();
    process.runtime.cancel("s", "for good").await.unwrap();
    assert_eq!(info(&process.runtime, "s").await.status, RunStatus::Cancelled);
}

#[tokio::test]
async fn what_can_not_be_paused_is_told_and_nothing_changes() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    world.gates.open("gated");
    assert_eq!(runtime.start("r", pause_me, ()).await.unwrap().await.unwrap(), 5);
    let finished = runtime.pause("r", "too late").await.unwrap_err();
    assert_eq!(
        finished.to_string(),
        "[D0142] run r has ended (completed), and that is final: start another run, or fork this one"
    );
    runtime.start("later", pause_me, ()).delay(DAY).await.unwrap().id();
    let not_begun = runtime.pause("later", "too early").await.unwrap_err();
    assert_eq!(
        not_begun.to_string(),
        "[D0146] run later has not begun, and so can't be paused: cancel it, or pause it when it has"
    );
    assert_eq!(info(runtime, "later").await.status, RunStatus::Suspended);
    assert!(matches!(runtime.pause("nobody", "").await, Err(AdminError::Unknown { .. })));
    assert!(matches!(runtime.pause("", "").await, Err(AdminError::InvalidId(_))));
    let stopped = runtime.clone();
    process.crash().await;
    assert!(matches!(stopped.pause("r", "").await, Err(AdminError::ShuttingDown)));
}

#[tokio::test]
async fn who_waits_for_a_pause_is_told_when_the_runtime_stops() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", pause_me, ()).await.unwrap().id();
    let pause = pausing(&world, &process).await;
    process.crash().await;
    assert!(matches!(patiently("the pause", pause).await.unwrap(), Err(AdminError::ShuttingDown)));
    world.gates.open("gated");
    let process = world.open().await;
    assert_eq!(patiently("it", process.runtime.attach("r", pause_me).await.unwrap()).await.unwrap(), 5);
}

/// Acknowledged is durable; without an answer it can be asked again.
#[tokio::test]
async fn s02_a_pause_that_was_acknowledged_survives_and_one_that_failed_can_be_repeated() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        // The start, that it sleeps, and then that it is paused.
        let process = world.open_failing(2, loss).await;
        process.runtime.start("r", pause_asleep, ()).await.unwrap().id();
        suspended(&process.runtime, "r").await;
        let failed = process.runtime.pause("r", "first").await;
        assert!(matches!(&failed, Err(AdminError::Store(_))), "{loss:?}: {failed:?}");
        process.crash().await;
        let process = world.open().await;
        process.runtime.pause("r", "second").await.unwrap();
        let expected = if matches!(loss, Loss::Whole) { "paused: second" } else { "paused: first" };
        let message = info(&process.runtime, "r").await.halt.expect("it is paused").message;
        assert!(message.starts_with(expected), "{loss:?}: {message}");
    }
}
