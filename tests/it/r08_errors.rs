//! R8: a step's error is data, the function's error is its result, and a panic halts only its own run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::{AdminError, Context, HaltReason, Retry, RunStatus, StepContext, StepStatus, durable};
use durable_tests::{Effects, Kind, World, copy, journal};
use serde::{Deserialize, Serialize};

use crate::steps::{gated, halted, note};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum PaymentError {
    Declined { code: u16, reason: String },
    Fraud(Vec<String>),
    Offline,
}

async fn pay(step: StepContext, which: u32) -> Result<u32, PaymentError> {
    step.dependency::<Effects>().note(&step);
    match which {
        0 => Err(PaymentError::Declined { code: 51, reason: "insufficient funds".to_owned() }),
        1 => Err(PaymentError::Fraud(vec!["a".to_owned(), "b".to_owned()])),
        2 => Err(PaymentError::Offline),
        other => Ok(other),
    }
}

#[durable]
async fn error_handled(ctx: Context, which: u32) -> String {
    let outcome = match ctx.run(pay, which).await {
        Ok(paid) => format!("paid {paid}"),
        Err(PaymentError::Declined { code, reason }) => format!("declined {code} {reason}"),
        Err(PaymentError::Fraud(signs)) => format!("fraud {}", signs.join(" ")),
        Err(PaymentError::Offline) => "offline".to_owned(),
    };
    ctx.run(note, 1).await;
    outcome
}

#[durable]
async fn error_returned(ctx: Context, which: u32) -> Result<u32, PaymentError> {
    ctx.run(pay, which).await
}

#[tokio::test]
async fn the_typed_error_of_a_step_comes_back_on_replay() {
    let expected = ["declined 51 insufficient funds", "fraud a b", "offline", "paid 3"];
    for (which, expected) in (0..).zip(expected) {
        let world = World::default();
        let process = world.open().await;
        assert_eq!(process.runtime.start("r", error_handled, which).await.unwrap().await.unwrap(), expected);
        for length in 1..journal(&world.disk.memory, "r").len() {
            let again = World::with(copy(&world.disk.memory, "r", length));
            let process = again.open().await;
            assert_eq!(process.runtime.attach("r", error_handled).await.unwrap().await.unwrap(), expected);
            assert_eq!(again.effects.count("r:pay"), usize::from(length == 1));
        }
    }
}

#[tokio::test]
async fn the_error_of_the_function_is_its_result_and_the_run_has_failed() {
    let world = World::default();
    let process = world.open().await;
    let expected = Err(PaymentError::Fraud(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(process.runtime.start("r", error_returned, 1).await.unwrap().await.unwrap(), expected);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt), (RunStatus::Failed, None));
    assert_eq!(info.steps[0].status, StepStatus::Failed);
    assert!(info.result.unwrap().text().contains("Fraud"));
    let resumed = process.runtime.resume("r").await;
    assert!(matches!(resumed, Err(AdminError::Finished { status: RunStatus::Failed, .. })), "{resumed:?}");
    process.crash().await;

    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0);
    assert_eq!(process.runtime.start("r", error_returned, 1).await.unwrap().await.unwrap(), expected);
    assert_eq!(world.effects.count("r:pay"), 1);
}

static FUNCTION_PANICS: AtomicBool = AtomicBool::new(true);

#[durable]
async fn error_panicking_function(ctx: Context) -> u32 {
    let value = ctx.run(note, 5).await;
    assert!(!FUNCTION_PANICS.load(Ordering::SeqCst), "order {value} has no lines");
    ctx.run(note, value + 1).await
}

#[durable]
async fn error_bystander(ctx: Context) -> u32 {
    ctx.run(gated, 9).await
}

#[tokio::test]
async fn a_panic_in_the_function_halts_it_alone_and_resume_goes_on_after_the_fix() {
    let world = World::default();
    let process = world.open().await;
    let bystander = process.runtime.start("b", error_bystander, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let run = process.runtime.start("r", error_panicking_function, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Panic);
    assert!(halt.message.contains("order 5 has no lines"), "{halt}");
    world.gates.open("gated");
    assert_eq!(bystander.await.unwrap(), 9);
    process.crash().await;

    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0, "a halted run waits for somebody to resume it");
    let halt = halted(process.runtime.attach("r", error_panicking_function).await.unwrap().await, HaltReason::Panic);
    assert!(halt.message.contains("order 5 has no lines"), "{halt}");
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().halt, Some(halt));
    FUNCTION_PANICS.store(false, Ordering::SeqCst);
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", error_panicking_function).await.unwrap().await.unwrap(), 6);
    assert_eq!(world.effects.counts(), [("b:gated", 1), ("r:note", 1), ("r:note#2", 1)].map(own).into());
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds[1..4], [Kind::StepCompleted, Kind::Halted, Kind::Resumed]);
}

fn own((key, count): (&str, usize)) -> (String, usize) {
    (key.to_owned(), count)
}

static STEP_PANICS: AtomicBool = AtomicBool::new(true);

async fn panicking(step: StepContext, when: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    if when == 1 {
        tokio::task::yield_now().await;
    }
    assert!(!STEP_PANICS.load(Ordering::SeqCst), "the printer is on fire");
    when
}

/// Panics when it is called, not when it is polled.
fn panicking_when_called(step: StepContext) -> std::future::Ready<u32> {
    step.dependency::<Effects>().note(&step);
    assert!(!STEP_PANICS.load(Ordering::SeqCst), "the printer is on fire");
    std::future::ready(2)
}

#[durable]
async fn error_panicking_step(ctx: Context, when: u32) -> u32 {
    let before = ctx.run(note, 1).await;
    let value = if when == 2 {
        ctx.run(panicking_when_called).named("panicking").await
    } else {
        ctx.run(panicking, when).await
    };
    before + value
}

#[tokio::test]
async fn a_panic_in_a_step_halts_the_run_and_resume_tries_the_step_again() {
    let world = World::default();
    let process = world.open().await;
    for when in 0..3 {
        STEP_PANICS.store(true, Ordering::SeqCst);
        let id = format!("r{when}");
        let run = process.runtime.start(&id, error_panicking_step, when).await.unwrap();
        let halt = halted(run.await, HaltReason::Panic);
        assert_eq!(halt.step.as_deref(), Some("panicking"));
        assert!(halt.message.contains("the printer is on fire"), "{halt}");
        process.runtime.resume(&id).await.unwrap();
        halted(process.runtime.attach(&id, error_panicking_step).await.unwrap().await, HaltReason::Panic);
        STEP_PANICS.store(false, Ordering::SeqCst);
        process.runtime.resume(&id).await.unwrap();
        assert_eq!(process.runtime.attach(&id, error_panicking_step).await.unwrap().await.unwrap(), when + 1);
        assert_eq!(world.effects.count(&format!("{id}:note")), 1);
        assert_eq!(world.effects.count(&format!("{id}:panicking")), 3);
    }
}

async fn panics_twice(step: StepContext) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    assert!(step.attempt() > 2, "attempt {} panics", step.attempt());
    Ok(step.attempt())
}

#[durable]
async fn error_panic_retried(ctx: Context, attempts: u32) -> Result<u32, String> {
    ctx.run(panics_twice).retry(Retry::fixed(Duration::ZERO).max_attempts(attempts)).await
}

#[tokio::test]
async fn a_panic_counts_as_a_failed_attempt_of_a_step_that_is_retried() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", error_panic_retried, 3).await.unwrap().await.unwrap(), Ok(3));
    let info = process.runtime.get("r").await.unwrap().unwrap();
    let errors: Vec<_> = info.steps[0].failed_attempts.iter().map(|attempt| attempt.error.as_str()).collect();
    assert_eq!(errors, ["panicked: attempt 1 panics", "panicked: attempt 2 panics"]);
    let run = process.runtime.start("s", error_panic_retried, 2).await.unwrap();
    assert!(halted(run.await, HaltReason::Panic).message.contains("attempt 2 panics"));
}

#[durable]
async fn error_panic_without_text(_ctx: Context) -> u32 {
    std::panic::panic_any(17_u8)
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[durable]
async fn error_panic_in_destructor(ctx: Context) -> u32 {
    let _bomb = PanicsWhenDropped;
    ctx.run(gated, 1).await
}

#[tokio::test]
async fn strange_panics_halt_the_run_as_well() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", error_panic_without_text, ()).await.unwrap();
    assert!(halted(run.await, HaltReason::Panic).message.contains("without a message"));
    process.runtime.start("s", error_panic_in_destructor, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    assert_eq!(world.open().await.runtime.recovery().resumed, 1);
}

async fn burning(_step: StepContext) -> u32 {
    panic!("the printer is on fire")
}

#[durable]
async fn error_outrun(ctx: Context) -> u32 {
    tokio::select! {
        value = ctx.run(burning) => value,
        value = ctx.run(note, 4) => value,
    }
}

#[tokio::test]
async fn a_panic_in_one_branch_is_not_outrun_by_another_branch() {
    let world = World::default();
    let process = world.open().await;
    let halt = halted(process.runtime.start("r", error_outrun, ()).await.unwrap().await, HaltReason::Panic);
    assert_eq!(halt.step.as_deref(), Some("burning"));
}
