//! `Runtime::cancel`: durable, wherever the run is, and never over a result.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::{
    AdminError, Context, HaltReason, RunError, RunFilter, RunStatus, Runtime, SignalError, StepContext, durable,
};
use durable_tests::{Gates, Kind, Loss, World, is_left_out, journal, patiently, suspended, yield_often};
use tokio_util::sync::CancellationToken;

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);

#[durable]
async fn cancel_me(ctx: Context) -> u32 {
    ctx.run(note, 1).await;
    ctx.run(gated, 2).await
}

#[durable]
async fn cancel_asleep(ctx: Context) -> u32 {
    ctx.sleep(DAY).await;
    ctx.run(note, 1).await
}

#[track_caller]
fn cancelled<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    match result {
        Err(RunError::Cancelled { reason, .. }) => reason,
        other => panic!("it was cancelled: {other:?}"),
    }
}

async fn status(runtime: &Runtime) -> RunStatus {
    runtime.get("r").await.unwrap().unwrap().status
}

#[tokio::test]
async fn a_running_run_is_cancelled_and_stays_so() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", cancel_me, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r", "changed my mind").await.unwrap();
    assert_eq!(cancelled(run.await), "changed my mind");
    process.runtime.cancel("r", "again").await.unwrap();
    world.gates.open("gated");
    let mut process = process;
    for _ in 0..2 {
        let info = process.runtime.get("r").await.unwrap().unwrap();
        assert_eq!((info.status, info.cancelled.as_deref()), (RunStatus::Cancelled, Some("changed my mind")));
        assert_eq!(
            process.runtime.list(&RunFilter::new().status(RunStatus::Cancelled), None, 9).await.unwrap().runs.len(),
            1
        );
        let attached = process.runtime.attach("r", cancel_me).await.unwrap();
        assert_eq!(cancelled(attached.await), "changed my mind");
        let started = process.runtime.start("r", cancel_me, ()).await.unwrap();
        assert_eq!(cancelled(started.await), "changed my mind", "the id is that of a run that has ended");
        assert!(process.runtime.verify("r").await.is_ok() && process.runtime.verify_store().await.unwrap().is_sound());
        process.crash().await;
        process = world.open().await;
        assert_eq!(process.runtime.recovery().resumed, 0);
    }
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::StepCompleted, Kind::Cancelled]);
    let resumed = process.runtime.resume("r").await.unwrap_err();
    assert_eq!(
        resumed.to_string(),
        "[D0142] run r has ended (cancelled), and that is final: start another run, or fork this one"
    );
    let signal = process.runtime.signal("r", "s", &1).await.unwrap_err();
    assert!(matches!(signal, SignalError::Finished { status: RunStatus::Cancelled, .. }), "{signal}");
    assert!(process.runtime.delete("r").await.unwrap());
}

/// Peers' corner case: a race between cancel and completion never overwrites the winner.
#[tokio::test]
async fn a_race_between_cancel_and_completion_never_overwrites_the_winner() {
    let (mut won, mut lost) = (0, 0);
    for turns in 0..40 {
        let world = World::default();
        let process = world.open().await;
        let run = process.runtime.start("r", cancel_me, ()).await.unwrap();
        world.gates.arrived("gated", 1).await;
        world.gates.open("gated");
        let is_last = turns == 39;
        let mut turn = 0;
        // At last so late that it has ended, however slow the machine is.
        while turn < turns || (is_last && status(&process.runtime).await != RunStatus::Completed) {
            tokio::task::yield_now().await;
            turn += 1;
        }
        let cancel = process.runtime.cancel("r", "no").await;
        let result = patiently("the run", run.into_future()).await;
        process.crash().await;
        let process = world.open().await;
        let found = patiently("the run", process.runtime.attach("r", cancel_me).await.unwrap().into_future()).await;
        match (cancel, result) {
            (Ok(()), result) => {
                assert_eq!((cancelled(result), cancelled(found)), ("no".to_owned(), "no".to_owned()));
                assert_eq!(status(&process.runtime).await, RunStatus::Cancelled);
                won += 1;
            }
            (Err(AdminError::Finished { status: RunStatus::Completed, .. }), Ok(2)) => {
                assert_eq!(found.unwrap(), 2);
                lost += 1;
            }
            other => panic!("neither has won: {other:?}"),
        }
        let ends = journal(&world.disk.memory, "r").into_iter();
        assert_eq!(ends.filter(|entry| matches!(entry.kind, Kind::Finished | Kind::Cancelled)).count(), 1);
    }
    assert!(won > 0 && lost > 0, "{won} {lost}");
}

#[tokio::test]
async fn a_suspended_run_is_cancelled_without_being_woken() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", cancel_asleep, ()).await.unwrap();
    suspended(&process.runtime, "r").await;
    process.runtime.cancel("r", "enough").await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "enough");
    world.clock.advance(2 * DAY);
    yield_often().await;
    assert_eq!((world.effects.count("r:note"), status(&process.runtime).await), (0, RunStatus::Cancelled));
}

#[durable]
async fn cancel_halted(ctx: Context) -> u32 {
    ctx.run("breaks", async || panic!("broken")).await
}

#[tokio::test]
async fn a_run_that_is_not_in_memory_is_cancelled_in_the_store() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", cancel_halted, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    process.runtime.start("not recovered", cancel_me, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    for run in ["r", "not recovered"] {
        runtime.cancel(run, "given up").await.unwrap();
        let info = runtime.get(run).await.unwrap().unwrap();
        assert_eq!((info.status, info.halt.is_none()), (RunStatus::Cancelled, true), "{run}");
    }
    assert_eq!(runtime.recover().await.unwrap().resumed, 0);
    assert!(runtime.verify_store().await.unwrap().is_sound());
    assert!(runtime.verify("r").await.is_ok());
}

#[tokio::test]
async fn what_can_not_be_cancelled_is_told() {
    let world = World::default();
    let process = world.open().await;
    world.gates.open("gated");
    let run = process.runtime.start("r", cancel_me, ()).await.unwrap();
    assert_eq!(run.await.unwrap(), 2);
    let finished = process.runtime.cancel("r", "too late").await.unwrap_err();
    assert_eq!(
        finished.to_string(),
        "[D0142] run r has ended (completed), and that is final: start another run, or fork this one"
    );
    assert_eq!(status(&process.runtime).await, RunStatus::Completed);
    assert!(matches!(process.runtime.cancel("nobody", "").await, Err(AdminError::Unknown { .. })));
    assert!(matches!(process.runtime.cancel("", "").await, Err(AdminError::InvalidId(_))));
    let stopped = process.runtime.clone();
    process.crash().await;
    assert!(matches!(stopped.cancel("r", "").await, Err(AdminError::ShuttingDown)));
}

/// Acknowledged is durable; without an answer it can be asked again.
#[tokio::test]
async fn s02_a_cancel_that_was_acknowledged_survives_and_one_that_failed_can_be_repeated() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        // The start, the first step, and then that it is cancelled.
        let process = world.open_failing(2, loss).await;
        let run = process.runtime.start("r", cancel_me, ()).await.unwrap();
        world.gates.arrived("gated", 1).await;
        let failed = process.runtime.cancel("r", "first").await;
        assert!(matches!(&failed, Err(AdminError::Store(_))), "{loss:?}: {failed:?}");
        halted(run.await, HaltReason::Storage);
        process.crash().await;
        let process = world.open().await;
        process.runtime.cancel("r", "second").await.unwrap();
        let expected = if matches!(loss, Loss::Whole) { "second" } else { "first" };
        let info = process.runtime.get("r").await.unwrap().unwrap();
        assert_eq!(info.cancelled.as_deref(), Some(expected));
    }
}

/// Leaves its token with the test, and waits.
async fn leaves_its_token(step: StepContext) -> u32 {
    step.dependency::<parking_lot::Mutex<Vec<CancellationToken>>>().lock().push(step.cancellation());
    step.dependency::<Gates>().pass("token").await;
    step.attempt()
}

#[durable]
async fn cancel_with_token(ctx: Context) -> u32 {
    ctx.run(leaves_its_token).await
}

#[tokio::test]
async fn a_step_is_told_that_its_run_was_cancelled() {
    let world = World::default();
    let tokens = std::sync::Arc::new(parking_lot::Mutex::<Vec<CancellationToken>>::default());
    let builder = world.builder().shared_dependency(std::sync::Arc::clone(&tokens));
    let runtime = builder.open_store(world.disk.open()).await.unwrap();
    let run = runtime.start("r", cancel_with_token, ()).await.unwrap();
    world.gates.arrived("token", 1).await;
    let token = tokens.lock()[0].clone();
    assert!(!token.is_cancelled());
    runtime.cancel("r", "enough").await.unwrap();
    assert_eq!(cancelled(run.await), "enough");
    patiently("the token", token.cancelled()).await;
}

/// Waits in its destructor for what it has set off.
struct Joins {
    cancellation: CancellationToken,
    seen: std::sync::Arc<parking_lot::Mutex<Vec<bool>>>,
}

impl Drop for Joins {
    fn drop(&mut self) {
        self.seen.lock().push(self.cancellation.is_cancelled());
    }
}

async fn joins(step: StepContext, waits: bool) -> u32 {
    let seen = step.dependency::<parking_lot::Mutex<Vec<bool>>>();
    let _joins = Joins { cancellation: step.cancellation(), seen };
    if waits {
        step.dependency::<Gates>().pass("joins").await;
    }
    step.attempt()
}

#[durable]
async fn cancel_while_it_joins(ctx: Context) -> u32 {
    ctx.run(joins, true).await
}

/// Else a destructor that waits for a thread would wait for ever.
#[tokio::test]
async fn the_token_is_cancelled_before_the_body_is_dropped() {
    let world = World::default();
    let seen = std::sync::Arc::new(parking_lot::Mutex::<Vec<bool>>::default());
    let builder = world.builder().shared_dependency(std::sync::Arc::clone(&seen));
    let runtime = builder.open_store(world.disk.open()).await.unwrap();
    let run = runtime.start("r", cancel_while_it_joins, ()).await.unwrap();
    world.gates.arrived("joins", 1).await;
    runtime.cancel("r", "enough").await.unwrap();
    assert_eq!(cancelled(run.await), "enough");
    assert_eq!(*seen.lock(), [true]);
}
