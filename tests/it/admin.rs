//! Looking at runs, and looking after them.

use std::time::Duration;

use durable_runtime::{
    AdminError, Clock, Context, HaltReason, InvalidRunId, Retry, RunFilter, RunStatus, StepContext, StepStatus,
    Timestamp, durable,
};
use durable_tests::{Gates, World, suspended};

use crate::steps::{gated, note};

async fn second_time(step: StepContext, _name: &str) -> Result<u32, String> {
    if step.attempt() == 1 { Err("busy".to_owned()) } else { Ok(step.attempt()) }
}

async fn takes_time(step: StepContext) -> u32 {
    step.dependency::<Gates>().pass("time").await;
    4
}

async fn refuses() -> Result<u32, String> {
    Err("no".to_owned())
}

/// Versioned, so that the version is seen.
#[durable(version = 3)]
async fn admin_order(ctx: Context, name: String, count: u32) -> Result<u32, String> {
    let first = ctx.run(note, count).await;
    let second = ctx.run(second_time, &name).retry(Retry::fixed(Duration::from_secs(2))).await?;
    let third = ctx.run(takes_time).await;
    let fourth = ctx.run(refuses).await.unwrap_or(0);
    Ok(first + second + third + fourth + u32::from(name.is_empty()))
}

#[durable]
async fn admin_small(ctx: Context, value: u32) -> u32 {
    ctx.run(gated, value).await
}

#[tokio::test]
async fn get_shows_all_that_is_recorded() {
    let world = World::default();
    let process = world.open().await;
    let began = world.clock.now();
    let run = process.runtime.start("r", admin_order, ("Ada".to_owned(), 1)).await.unwrap();
    let retry = began.after(Duration::from_secs(2));
    suspended(&process.runtime, "r").await;
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.result, info.steps.len()), (RunStatus::Suspended, None, 2));
    assert_eq!(info.steps[1].status, StepStatus::Retrying { next_attempt_at: retry });
    world.clock.advance(Duration::from_secs(2));
    world.gates.arrived("time", 1).await;
    world.clock.advance(Duration::from_secs(5));
    world.gates.open("time");
    assert_eq!(run.await.unwrap(), Ok(7));

    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.id.as_str(), info.status, info.events), ("r", RunStatus::Completed, 7));
    assert_eq!((info.function.as_str(), info.version), ("admin_order", 3));
    assert_eq!((info.input.text(), info.result.unwrap().text()), ("[\"Ada\",1]".into(), "{\"Ok\":7}".into()));
    assert_eq!((info.halt, info.recoveries), (None, 0));
    assert_eq!((info.started_at, info.updated_at), (began, Timestamp(began.0 + 7_000)));
    let keys: Vec<_> = info.steps.iter().map(|step| (step.key.as_str(), step.attempts)).collect();
    assert_eq!(keys, [("note", 1), ("second_time", 2), ("takes_time", 1), ("refuses", 1)]);
    assert!(info.steps.iter().all(|step| step.site.contains("admin.rs:")), "{:?}", info.steps[0].site);
    let arguments: Vec<_> = info.steps.iter().map(|step| step.arguments.as_deref()).collect();
    assert_eq!(
        arguments,
        [Some("[1]"), Some("[\"Ada\"]"), None, None],
        "those of the step that was tried twice are in its first record"
    );
    let outputs: Vec<_> = info.steps.iter().map(|step| step.output.as_ref().unwrap().text()).collect();
    assert_eq!(outputs, ["1", "{\"Ok\":2}", "4", "{\"Err\":\"no\"}"]);
    let statuses: Vec<_> = info.steps.iter().map(|step| &step.status).collect();
    let completed = &StepStatus::Completed;
    assert_eq!(statuses, [completed, completed, completed, &StepStatus::Failed]);
    let failed = &info.steps[1].failed_attempts;
    assert_eq!((failed.len(), failed[0].attempt, failed[0].at), (1, 1, began));
    assert_eq!(failed[0].error, "{\"Err\":\"busy\"}");
    assert_eq!(info.steps[2].took, Some(Duration::from_secs(5)));
    assert_eq!(info.steps[1].updated_at, retry);
}

#[tokio::test]
async fn a_running_run_is_not_deleted_and_an_ended_one_is_with_its_id_free_again() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", admin_small, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    assert!(matches!(process.runtime.delete("r").await, Err(AdminError::Running { .. })));
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), 1);
    assert!(process.runtime.delete("r").await.unwrap());
    assert!(!process.runtime.delete("r").await.unwrap());
    assert_eq!(process.runtime.get("r").await.unwrap(), None);
    assert_eq!(process.runtime.start("r", admin_small, 2).await.unwrap().await.unwrap(), 2);
    assert_eq!(world.effects.count("r:gated"), 2);
}

static BROKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

#[durable]
async fn admin_halting(ctx: Context) -> u32 {
    let value = ctx.run(note, 1).await;
    assert!(!BROKEN.load(std::sync::atomic::Ordering::SeqCst), "not yet");
    value
}

#[tokio::test]
async fn a_halted_run_can_be_deleted_or_resumed_once() {
    let world = World::default();
    let process = world.open().await;
    for id in ["a", "b"] {
        process.runtime.start(id, admin_halting, ()).await.unwrap().await.unwrap_err();
    }
    let halted = process.runtime.list(&RunFilter::new().status(RunStatus::Halted), None, 10).await.unwrap().runs;
    assert_eq!(halted.len(), 2);
    let shown = &halted[0];
    assert_eq!((shown.function.as_deref(), shown.events), (Some("admin_halting"), 3));
    assert_eq!(shown.halt.as_ref().map(|halt| halt.reason), Some(HaltReason::Panic));
    assert_eq!((shown.started_at, shown.updated_at), (Some(world.clock.now()), Some(world.clock.now())));
    assert!(process.runtime.delete("a").await.unwrap());
    BROKEN.store(false, std::sync::atomic::Ordering::SeqCst);
    process.runtime.resume("b").await.unwrap();
    assert_eq!(process.runtime.attach("b", admin_halting).await.unwrap().await.unwrap(), 1);
    assert!(matches!(
        process.runtime.resume("b").await,
        Err(AdminError::Finished { status: RunStatus::Completed, .. })
    ));
    assert!(matches!(process.runtime.resume("a").await, Err(AdminError::Unknown { .. })));
}

#[tokio::test]
async fn what_can_not_be_resumed_says_why() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", admin_small, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    assert!(matches!(process.runtime.resume("r").await, Err(AdminError::Running { .. })));
    assert!(matches!(process.runtime.resume("x").await, Err(AdminError::Unknown { .. })));
    assert!(matches!(process.runtime.resume("").await, Err(AdminError::InvalidId(InvalidRunId::Empty))));
    world.gates.open("gated");
    run.await.unwrap();
}

#[tokio::test]
async fn of_many_concurrent_resumes_one_is_done() {
    let world = World::default();
    let process = world.open_failing(1, durable_tests::Loss::Whole).await;
    let run = process.runtime.start("r", admin_small, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    world.gates.open("gated");
    run.await.unwrap_err();
    process.handle.fail_after(usize::MAX, durable_tests::Loss::Whole);
    let resumes = (0..20).map(|_| process.runtime.resume("r"));
    let results = futures::future::join_all(resumes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(process.runtime.attach("r", admin_small).await.unwrap().await.unwrap(), 1);
    assert_eq!(world.effects.count("r:gated"), 2);
}
