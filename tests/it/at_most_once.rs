//! `Step::at_most_once` (R6): what has begun is not begun again.

use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{
    Context, Failure, HaltReason, Interrupted, Retry, RunStatus, StepContext, StepStatus, TimedOut, durable,
};
use durable_tests::{Effects, Gates, Kind, World, is_left_out, journal, patiently, yield_often};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::steps::halted;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
enum FaxError {
    #[error("busy")]
    Busy,
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
}

/// Has an effect, waits at its gate, and does then what the gate of that name says.
async fn fax(step: StepContext, attempts: u32) -> Result<u32, FaxError> {
    step.dependency::<Effects>().note(&step);
    step.dependency::<Gates>().pass("fax").await;
    if step.attempt() < attempts { Err(FaxError::Busy) } else { Ok(step.attempt()) }
}

#[durable]
async fn once_fax(ctx: Context, attempts: u32) -> Result<u32, FaxError> {
    let patient = Retry::fixed(Duration::ZERO).max_attempts(3);
    ctx.run(fax, attempts).at_most_once().retry(patient).timeout(Duration::from_hours(1)).await
}

fn kinds(world: &World) -> Vec<Kind> {
    let kinds = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind);
    kinds.filter(|kind| *kind != Kind::Recovered).collect()
}

#[tokio::test]
async fn r06_a_step_that_was_interrupted_is_not_run_again_and_says_so() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", once_fax, 1).await.unwrap().id();
    world.gates.arrived("fax", 1).await;
    assert_eq!(kinds(&world), [Kind::Started, Kind::StepStarted], "durable before the body is called");
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((&info.steps[0].status, info.steps[0].attempts), (&StepStatus::Begun, 1));
    assert_eq!(info.steps[0].arguments.as_deref(), Some("[1]"));
    process.crash().await;
    world.gates.open("fax");
    let interrupted = Interrupted { step: "fax".to_owned(), attempt: 1 };
    for _ in 0..2 {
        let process = world.open().await;
        let run = process.runtime.attach("r", once_fax).await.unwrap();
        assert_eq!(run.await.unwrap(), Err(FaxError::Interrupted(interrupted.clone())));
        let info = process.runtime.get("r").await.unwrap().unwrap();
        assert_eq!((info.status, &info.steps[0].status), (RunStatus::Failed, &StepStatus::Interrupted));
        process.crash().await;
    }
    assert_eq!(world.effects.count("r:fax"), 1);
}

/// An attempt that returned an `Err` is known to have failed. Which one is interrupted makes no difference.
#[tokio::test]
async fn an_attempt_that_returned_is_followed_by_another_one() {
    let world = World::default();
    let process = world.open().await;
    world.gates.open("fax");
    let run = process.runtime.start("r", once_fax, 3).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(3));
    let attempt = [Kind::StepStarted, Kind::AttemptFailed];
    let expected =
        [&[Kind::Started], &attempt[..], &attempt[..], &[Kind::StepStarted, Kind::StepCompleted, Kind::Finished]];
    assert_eq!(kinds(&world), expected.concat());
    let shown = journal(&world.disk.memory, "r");
    assert_eq!(shown.iter().filter(|entry| entry.key.as_deref() == Some("fax")).count(), 6);
}

/// Of one that took too long it is not known what it did.
#[tokio::test]
async fn an_attempt_that_takes_too_long_is_the_last() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", once_fax, 1).await.unwrap();
    world.gates.arrived("fax", 1).await;
    world.clock.advance(Duration::from_hours(2));
    let timed_out = patiently("the run", std::future::IntoFuture::into_future(run)).await.unwrap().unwrap_err();
    assert!(matches!(timed_out, FaxError::TimedOut(TimedOut { attempt: 1, .. })), "{timed_out}");
}

async fn breaks(step: StepContext) -> Result<(), Failure> {
    step.dependency::<Effects>().note(&step);
    panic!("paper jam")
}

#[durable]
async fn once_breaks(ctx: Context) -> Result<(), Failure> {
    ctx.run(breaks).at_most_once().retry(Retry::fixed(Duration::ZERO)).await
}

/// Nor of one that panicked: the run is halted, and whoever resumes it lets the code decide.
#[tokio::test]
async fn a_panic_halts_the_run_and_resuming_it_does_not_run_the_step_again() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", once_breaks, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Panic);
    assert!(halt.message.ends_with("resuming the run tells the code that it was interrupted"), "{halt}");
    process.runtime.resume("r").await.unwrap();
    let failure = process.runtime.attach("r", once_breaks).await.unwrap().await.unwrap().unwrap_err();
    assert!(failure.to_string().starts_with("[D0310] attempt 1 of step breaks was interrupted"), "{failure}");
    assert_eq!(world.effects.count("r:breaks"), 1);
}

/// A shutdown that comes when it is recorded that a step begins lets it begin, and waits for it.
#[tokio::test]
async fn an_orderly_shutdown_interrupts_nothing() {
    if is_left_out("it holds a commit back") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", once_fax, 1).await.unwrap();
    process.handle.hold();
    yield_often().await;
    let shutdown = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.shutdown(Duration::from_hours(1)).await }
    });
    yield_often().await;
    process.handle.release();
    world.gates.arrived("fax", 1).await;
    world.gates.open("fax");
    patiently("the shutdown", shutdown).await.unwrap();
    drop(run);
    let process = world.open().await;
    let run = process.runtime.attach("r", once_fax).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(1));
    assert_eq!(world.effects.count("r:fax"), 1);
}

/// Asks the other side what became of it.
#[durable]
async fn once_and_asks(ctx: Context) -> (Result<u32, FaxError>, usize) {
    let (faxed, ()) = tokio::join!(ctx.run(fax_at_once, 1).at_most_once(), ctx.run("meanwhile", async || ()));
    let sent = ctx.run(asks).await;
    (faxed, sent)
}

async fn fax_at_once(step: StepContext, page: u32) -> Result<u32, FaxError> {
    step.dependency::<Effects>().note(&step);
    Ok(page)
}

async fn asks(step: StepContext) -> usize {
    step.dependency::<Effects>().count(&format!("{}:fax_at_once", step.run_id()))
}

#[test]
fn r06_at_most_once_is_explored() {
    let mut seen = std::collections::BTreeSet::new();
    let explored =
        testing::explore(once_and_asks, ()).dependency_with(Effects::default).worlds_max(2_000).seeds(0..200).check(
            |world| {
                let (faxed, sent) = world.output();
                assert!(*sent <= 1 && world.executions("fax_at_once") == *sent, "twice");
                assert!(*sent == 1 || faxed.is_err(), "it is said to be done, and was not");
                seen.insert((faxed.is_ok(), *sent));
            },
        );
    assert!(explored.crashes > 300, "{explored}");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(false, 0), (false, 1), (true, 1)]);
}

#[test]
fn an_interruption_is_scripted() {
    for (crash, sent) in [(Crash::AfterEffect, 1), (Crash::BeforeEffect, 0)] {
        let world =
            testing::explore(once_and_asks, ()).dependency_with(Effects::default).crash(crash, "fax_at_once").run();
        let interrupted = Interrupted { step: "fax_at_once".to_owned(), attempt: 1 };
        assert_eq!(*world.output(), (Err(FaxError::Interrupted(interrupted)), sent), "{crash:?}");
    }
}
