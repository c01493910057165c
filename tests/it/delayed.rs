//! R1, R11, R12: runs that are started to begin later.

use std::time::Duration;

use durable_runtime::store::{Append, Record, Store};
use durable_runtime::{
    AdminError, Clock, Context, HaltReason, Position, RunError, RunId, RunInfo, RunStatus, Runtime, StartError,
    Timestamp, Verification, durable,
};
use durable_tests::{Kind, Loss, Process, World, journal, patiently, suspended, yield_often};

use crate::steps::{halted, note};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The times that the code sees: when it begins, and behind a step.
#[durable]
async fn begins_later(ctx: Context, number: u32) -> (Timestamp, u32, Timestamp) {
    let began = ctx.now();
    let number = ctx.run(note, number).await;
    (began, number, ctx.now())
}

async fn info(process: &Process, run: &str) -> RunInfo {
    process.runtime.get(run).await.unwrap().expect("it was started")
}

fn kinds(world: &World, run: &str) -> Vec<Kind> {
    journal(&world.disk.memory, run).iter().map(|entry| entry.kind).collect()
}

/// Whether it waits, and nothing of it has begun.
async fn waits(process: &Process, world: &World, run: &str) -> bool {
    yield_often().await;
    let info = info(process, run).await;
    (info.status, info.began_at) == (RunStatus::Suspended, None) && world.effects.keys().is_empty()
}

#[tokio::test]
async fn a_run_that_is_to_begin_later_is_durable_at_once_and_begins_when_its_time_has_come() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(DAY);
    let run = process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    assert_eq!(kinds(&world, "r"), [Kind::Started]);
    assert!(waits(&process, &world, "r").await);
    assert_eq!(info(&process, "r").await.not_before, Some(due));
    world.asked_for(due).await;
    world.clock.set(Timestamp(due.0 - 1));
    assert!(waits(&process, &world, "r").await);
    world.clock.set(due);
    assert_eq!(run.await.unwrap(), (due, 7, due));
    assert_eq!(kinds(&world, "r"), [Kind::Started, Kind::Begun, Kind::StepCompleted, Kind::Finished]);
    let info = info(&process, "r").await;
    assert_eq!((info.began_at, info.recoveries), (Some(due), 0));
    assert_eq!(world.effects.count("r:note"), 1);
}

#[tokio::test]
async fn of_a_run_that_begins_too_late_the_code_sees_the_time_at_which_it_began_in_every_life() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", begins_later, 7).not_before(world.clock.now().after(DAY)).await.unwrap().id();
    process.crash().await;
    world.clock.advance(3 * DAY);
    let began = world.clock.now();
    // Started, Begun, and no more.
    let process = world.open_failing(1, Loss::Whole).await;
    patiently("its first step", async {
        while world.effects.keys().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.crash().await;
    assert_eq!(kinds(&world, "r"), [Kind::Started, Kind::Begun]);
    world.clock.advance(DAY);
    let process = world.open().await;
    let seen = process.runtime.attach("r", begins_later).await.unwrap().await.unwrap();
    assert_eq!(seen, (began, 7, began.after(DAY)));
    let verified = process.runtime.verify("r").await.unwrap();
    assert!(matches!(verified, Verification::Same), "{verified:?}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_or_forward_changes_when_a_run_begins_and_not_its_time() {
    let world = World::default();
    let process = world.open().await;
    let start = world.clock.now();
    let due = start.after(DAY);
    let run = process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    world.asked_for(due).await;
    world.clock.set(Timestamp(start.0 - 1_000));
    world.clock.advance(DAY);
    assert!(waits(&process, &world, "r").await);
    let far = due.after(30 * DAY);
    world.clock.set(far);
    assert_eq!(run.await.unwrap(), (far, 7, far));
    assert_eq!(info(&process, "r").await.not_before, Some(due));
}

#[tokio::test]
async fn a_run_is_cancelled_before_it_has_begun() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    process.runtime.start("s", begins_later, 7).delay(DAY).await.unwrap().id();
    process.runtime.cancel("r", "no need").await.unwrap();
    assert!(matches!(run.await, Err(RunError::Cancelled { .. })));
    process.crash().await;
    let process = world.open().await;
    process.runtime.cancel("s", "no need").await.unwrap();
    world.clock.advance(2 * DAY);
    yield_often().await;
    for run in ["r", "s"] {
        assert_eq!(kinds(&world, run), [Kind::Started, Kind::Cancelled]);
        let ended = process.runtime.attach(run, begins_later).await.unwrap().await;
        assert!(matches!(ended, Err(RunError::Cancelled { .. })), "{ended:?}");
    }
    assert_eq!(world.effects.keys(), [""; 0]);
}

#[tokio::test]
async fn a_second_start_attaches_and_changes_no_time() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(DAY);
    let first = process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    let second = process.runtime.start("r", begins_later, 7).await.unwrap();
    let third = process.runtime.start("r", begins_later, 7).delay(HOUR).await.unwrap();
    let other = process.runtime.start("r", begins_later, 8).delay(DAY).await;
    assert!(matches!(&other, Err(StartError::OtherInput { .. })), "{other:?}");
    world.clock.advance(HOUR);
    assert!(waits(&process, &world, "r").await);
    assert!(matches!(process.runtime.resume("r").await, Err(AdminError::Running { .. })));
    world.clock.set(due);
    let all = futures::future::try_join_all([first, second, third].map(IntoFuture::into_future)).await.unwrap();
    assert_eq!(all, [(due, 7, due); 3]);
    // Ended, and asked for once more to begin later.
    assert_eq!(process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap().await.unwrap(), (due, 7, due));
    assert_eq!(world.effects.count("r:note"), 1);
}

#[tokio::test]
async fn a_time_that_is_past_delays_nothing() {
    let world = World::default();
    let process = world.open().await;
    let now = world.clock.now();
    for (run, due) in [("zero", Timestamp(0)), ("now", now)] {
        let seen = process.runtime.start(run, begins_later, 7).not_before(due).await.unwrap().await.unwrap();
        assert_eq!(seen, (now, 7, now));
        assert_eq!(kinds(&world, run), [Kind::Started, Kind::StepCompleted, Kind::Finished]);
        let info = info(&process, run).await;
        assert_eq!((info.not_before, info.began_at), (None, Some(now)));
    }
    process.runtime.start("none", begins_later, 7).delay(Duration::ZERO).await.unwrap().await.unwrap();
    assert_eq!(world.effects.keys().len(), 3);
}

#[tokio::test]
async fn without_recovery_a_run_that_is_asked_for_does_not_begin_too_early() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(DAY);
    for run in ["attached", "started", "forgotten"] {
        process.runtime.start(run, begins_later, 7).delay(DAY).await.unwrap().id();
    }
    process.runtime.shutdown(HOUR).await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    assert_eq!(runtime.check().await.unwrap().suspended, 3);
    let attached = runtime.attach("attached", begins_later).await.unwrap();
    let started = runtime.start("started", begins_later, 7).await.unwrap();
    let fresh = runtime.start("fresh", begins_later, 7).delay(DAY).await.unwrap();
    assert!(matches!(runtime.resume("forgotten").await, Err(AdminError::Running { .. })));
    yield_often().await;
    assert_eq!(world.effects.keys(), [""; 0]);
    assert_eq!(runtime.recover().await.unwrap().resumed, 0);
    world.asked_for(due).await;
    world.clock.set(due);
    for run in [attached, started, fresh] {
        assert_eq!(patiently("a run that was asked for", run).await.unwrap(), (due, 7, due));
    }
    assert_eq!(runtime.attach("forgotten", begins_later).await.unwrap().await.unwrap().1, 7);
    for run in ["attached", "started", "forgotten", "fresh"] {
        assert_eq!(kinds(&world, run), [Kind::Started, Kind::Begun, Kind::StepCompleted, Kind::Finished], "{run}");
    }
}

#[durable]
async fn later_greeted(ctx: Context) -> String {
    ctx.signal("greeting").await
}

#[tokio::test]
async fn what_is_sent_to_a_run_that_has_not_begun_waits_with_it() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", later_greeted, ()).delay(DAY).await.unwrap();
    process.runtime.signal("r", "greeting", &"hello").await.unwrap();
    world.clock.advance(HOUR);
    assert!(waits(&process, &world, "r").await);
    assert_eq!(kinds(&world, "r"), [Kind::Started, Kind::SignalReceived]);
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    world.clock.advance(DAY);
    assert_eq!(run.await.unwrap(), "hello");
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_shutdown_leaves_what_has_not_begun_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::default();
    let open = async || world.builder().open(folder.path().join("store")).await.unwrap();
    let runtime: Runtime = open().await;
    let due = world.clock.now().after(DAY);
    let run = runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    runtime.shutdown(HOUR).await;
    assert!(matches!(run.await, Err(RunError::Stopped { .. })));
    // On a disk: found again by its time, life after life.
    for _ in 0..3 {
        let runtime = open().await;
        assert_eq!(runtime.recovery().resumed, 0);
        suspended(&runtime, "r").await;
        assert!(runtime.verify_store().await.unwrap().is_sound());
        runtime.compact().await.unwrap();
        runtime.shutdown(HOUR).await;
    }
    let runtime = open().await;
    let run = runtime.attach("r", begins_later).await.unwrap();
    world.asked_for(due).await;
    world.clock.set(due);
    assert_eq!(patiently("its end", run).await.unwrap(), (due, 7, due));
    assert!(runtime.verify_store().await.unwrap().is_sound());
    runtime.shutdown(HOUR).await;
    assert_eq!(open().await.attach("r", begins_later).await.unwrap().await.unwrap(), (due, 7, due));
}

/// Wherever the disk fails: the run begins once, not too early, and has one outcome.
#[tokio::test]
async fn a_disk_that_fails_at_any_commit_lets_a_run_begin_once_and_not_too_early() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        for commits in 0..5 {
            let world = World::default();
            let due = world.clock.now().after(DAY);
            let process = world.open_failing(commits, loss).await;
            if let Ok(run) = process.runtime.start("r", begins_later, 7).delay(DAY).await {
                assert!(waits(&process, &world, "r").await);
                world.asked_for(due).await;
                world.clock.set(due);
                // Its end, or that the disk failed.
                drop(patiently("what becomes of it", run).await);
            }
            process.crash().await;
            let process = world.open().await;
            let run = process.runtime.start("r", begins_later, 7).not_before(due).await.unwrap();
            world.clock.set(due);
            let seen = patiently("its end", run).await.unwrap();
            assert_eq!(seen, (due, 7, due), "{loss:?} after {commits} commits");
            let begun = kinds(&world, "r").into_iter().filter(|kind| *kind == Kind::Begun).count();
            assert_eq!(begun, 1, "{loss:?} after {commits} commits");
        }
    }
}

/// The disk fails when the run is to begin: it is as it was, and begins when it is resumed.
#[tokio::test]
async fn a_run_that_could_not_begin_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(DAY);
    let run = process.runtime.start("r", begins_later, 7).delay(DAY).await.unwrap();
    assert!(waits(&process, &world, "r").await);
    world.asked_for(due).await;
    process.handle.fail_after(0, Loss::Whole);
    world.clock.set(due);
    halted(patiently("the halt", run).await, HaltReason::Storage);
    process.handle.fail_after(usize::MAX, Loss::Whole);
    process.runtime.resume("r").await.unwrap();
    let run = process.runtime.attach("r", begins_later).await.unwrap();
    assert_eq!(patiently("its end", run).await.unwrap(), (due, 7, due));
    assert_eq!(kinds(&world, "r"), [Kind::Started, Kind::Begun, Kind::StepCompleted, Kind::Finished]);
}

/// What a damaged store says is due is not taken for what the records say.
#[tokio::test]
async fn a_timer_that_no_record_asks_for_neither_begins_a_run_nor_begins_it_again() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(DAY);
    process.runtime.start("waits", begins_later, 7).delay(DAY).await.unwrap().id();
    process.runtime.start("sleeps", begins_later_and_sleeps, ()).await.unwrap().id();
    suspended(&process.runtime, "sleeps").await;
    process.runtime.signal("waits", "unasked", &7).await.unwrap();
    process.crash().await;
    // The first has one by its signal, the second one by its first record.
    for (run, position) in [("waits", 1), ("sleeps", 0)] {
        let from = world.disk.memory.read(&RunId::new(run).unwrap()).unwrap().unwrap();
        world.disk.memory.delete(&from.head.run).unwrap();
        let wrong = |index: usize| (index == position).then_some(Timestamp(7));
        let right = |index: usize| [("waits", 0), ("sleeps", 1)].contains(&(run, index)).then_some(due);
        let records = from.frames.into_iter().enumerate();
        let records = records.map(|(index, frame)| Record { frame, due: wrong(index).or(right(index)) }).collect();
        let (expected, fence, status) = (Position(0), from.head.fence, RunStatus::Suspended);
        let append =
            Append { run: from.head.run, expected, fence, records, replaces: false, clears: Vec::new(), status };
        world.disk.memory.commit(&[append]).unwrap()[0].unwrap();
    }
    let process = world.open().await;
    yield_often().await;
    assert!(world.effects.keys().is_empty());
    world.clock.set(due.after(DAY));
    let waits = process.runtime.attach("waits", begins_later).await.unwrap();
    let sleeps = process.runtime.attach("sleeps", begins_later_and_sleeps).await.unwrap();
    assert_eq!(patiently("its end", waits).await.unwrap().1, 7);
    patiently("its end", sleeps).await.unwrap();
    let begun = |run| kinds(&world, run).into_iter().filter(|kind| *kind == Kind::Begun).count();
    assert_eq!((begun("waits"), begun("sleeps")), (1, 0));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

#[durable]
async fn begins_later_and_sleeps(ctx: Context) {
    ctx.sleep(DAY).await;
}
