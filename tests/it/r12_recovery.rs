//! R12: opening a store continues every unfinished run that it can, and keeps the others.

use std::time::Duration;

use durable_runtime::store::Store as _;
use durable_runtime::{
    AdminError, Context, HaltReason, Limits, Retry, RunFilter, RunStatus, StartError, StepContext, Verification,
    durable,
};
use durable_tests::{Kind, World, frames, is_left_out, journal, patch, write};
use futures::future::join_all;

use crate::steps::{gated, halted, note};

#[durable]
async fn recovered(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    first + ctx.run(gated, 100).await
}

#[tokio::test]
async fn every_unfinished_run_goes_on_and_no_recorded_step_runs_again() {
    const RUNS: u32 = 300;
    let world = World::default();
    let process = world.open().await;
    for value in 0..RUNS {
        process.runtime.start(format!("r{value}"), recovered, value).await.unwrap().id();
    }
    world.gates.arrived("gated", RUNS as usize).await;
    process.crash().await;
    let process = world.open().await;
    assert_eq!((process.runtime.recovery().resumed, process.runtime.recovery().skipped.len()), (RUNS as usize, 0));
    world.gates.open("gated");
    let results = join_all(
        (0..RUNS)
            .map(async |value| process.runtime.attach(format!("r{value}"), recovered).await.unwrap().await.unwrap()),
    )
    .await;
    assert!(results.into_iter().eq((0..RUNS).map(|value| value + 100)));
    for (key, count) in world.effects.counts() {
        assert!(count == 1 || key.ends_with(":gated"), "{key} ran {count} times");
    }
    let stats = process.runtime.stats();
    assert_eq!((stats.runs_recovered, stats.steps_replayed, stats.runs_finished), (300, 300, 300));
}

/// A run of a function that this program does not have.
fn unregistered(started: &[u8]) -> Vec<u8> {
    patch(started, |event| {
        let name = event.windows(9).position(|window| window == b"recovered").expect("the function's name");
        event[name..name + 9].copy_from_slice(b"forgotten");
    })
}

#[tokio::test]
async fn a_run_of_an_unknown_function_is_kept_and_reported_and_the_others_go_on() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("b", recovered, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let mut other = frames(&world.disk.memory, "b");
    other[0] = unregistered(&other[0]);
    write(&world.disk.memory, "a", other.clone());

    let process = world.open().await;
    let recovery = process.runtime.recovery().clone();
    assert_eq!(recovery.resumed, 1);
    assert_eq!(recovery.skipped.len(), 1);
    let (run, halt) = &recovery.skipped[0];
    assert_eq!((run.as_str(), halt.reason), ("a", HaltReason::Unregistered));
    assert!(halt.message.contains("forgotten"), "{halt}");
    world.gates.open("gated");
    assert_eq!(process.runtime.attach("b", recovered).await.unwrap().await.unwrap(), 101);

    let info = process.runtime.get("a").await.unwrap().unwrap();
    assert_eq!(
        (info.status, info.function.as_str(), info.halt.as_ref()),
        (RunStatus::Running, "forgotten", Some(halt))
    );
    let listed = process.runtime.list(&RunFilter::new().status(RunStatus::Running), None, 10).await.unwrap().runs;
    assert_eq!(listed[0].halt.as_ref(), Some(halt));
    assert!(matches!(process.runtime.resume("a").await, Err(AdminError::Stuck { .. })));
    let error = process.runtime.start("a", recovered, 1).await.unwrap_err();
    assert!(matches!(error, StartError::OtherFunction { .. }), "{error}");
    assert_eq!(frames(&world.disk.memory, "a"), other, "the run was not kept as it is");
    assert!(process.runtime.delete("a").await.unwrap());
}

type Corrupt = fn(&mut Vec<Vec<u8>>);

#[tokio::test]
async fn a_corrupt_run_is_halted_by_name_and_position_and_the_others_go_on() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("good", recovered, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let good = frames(&world.disk.memory, "good");
    let corruptions: [(&str, Corrupt); 4] = [
        ("flipped bit", |frames| *frames[1].last_mut().unwrap() ^= 1),
        ("cut", |frames| frames[1].truncate(3)),
        ("unknown version", |frames| frames[1][0] = 77),
        ("nonsense", |frames| frames[1] = patch(&frames[1], |event| *event = vec![0xff; 40])),
    ];
    for (id, corrupt) in corruptions {
        let mut frames = good.clone();
        corrupt(&mut frames);
        write(&world.disk.memory, id, frames);
    }
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 1);
    let mut skipped: Vec<_> = process.runtime.recovery().skipped.iter().map(|(run, _)| run.as_str()).collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["cut", "flipped bit", "nonsense", "unknown version"]);
    for (run, halt) in &process.runtime.recovery().skipped {
        assert_eq!(halt.reason, HaltReason::Corrupt);
        assert!(halt.message.contains(run.as_str()) && halt.message.contains("position 1"), "{halt}");
        let message = process.runtime.get(run.as_str()).await.unwrap_err().to_string();
        assert!(message.contains("D0206") && message.contains(run.as_str()), "{message}");
        process.runtime.resume(run.as_str()).await.unwrap_err();
        let attached = process.runtime.start(run.as_str(), recovered, 1).await;
        if let Ok(attached) = attached {
            halted(attached.await, HaltReason::Corrupt);
        }
    }
    let listed = process.runtime.list(&RunFilter::new().status(RunStatus::Running), None, 10).await.unwrap().runs;
    for run in &listed {
        let is_good = run.id.as_str() == "good";
        assert_eq!((run.function.is_some(), run.halt.is_none()), (is_good, is_good), "{run:?}");
    }
    assert_eq!(listed.len(), 5);
    world.gates.open("gated");
    assert_eq!(process.runtime.attach("good", recovered).await.unwrap().await.unwrap(), 101);
    for (id, _) in corruptions {
        assert!(process.runtime.delete(id).await.unwrap(), "{id} can't be deleted");
    }
}

#[tokio::test]
async fn records_in_an_order_that_no_run_has_halt_the_run() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("good", recovered, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let good = frames(&world.disk.memory, "good");
    for (id, order) in [("no start", vec![1]), ("two starts", vec![0, 0]), ("two outcomes", vec![0, 1, 1])] {
        write(&world.disk.memory, id, order.iter().map(|index: &usize| good[*index].clone()).collect());
    }
    let process = world.open().await;
    for id in ["no start", "two starts", "two outcomes"] {
        let reported = process.runtime.recovery().skipped.iter().any(|(run, _)| run.as_str() == id);
        if !reported {
            halted(process.runtime.attach(id, recovered).await.unwrap().await, HaltReason::Corrupt);
        }
    }
    assert_eq!(world.effects.count("two outcomes:gated"), 0);
}

#[tokio::test]
async fn a_run_that_takes_the_process_down_again_and_again_is_halted() {
    let world = World { limits: Limits { recoveries_without_progress: 3, ..Limits::default() }, ..World::default() };
    for life in 1..=4 {
        let process = world.open().await;
        if life == 1 {
            process.runtime.start("r", recovered, 1).await.unwrap().id();
        }
        world.gates.arrived("gated", life).await;
        process.crash().await;
    }
    let process = world.open().await;
    let halt = halted(process.runtime.attach("r", recovered).await.unwrap().await, HaltReason::CrashLoop);
    assert!(halt.message.contains("3 times in a row"), "{halt}");
    assert!(
        halt.message.contains("It had recorded last: StepCompleted of the step \"note\" (tests/it/r12_recovery.rs:"),
        "{halt}"
    );
    let verified = process.runtime.verify("r").await.unwrap();
    assert_eq!(verified, Verification::Continues { next: vec!["gated".to_owned()] });
    assert_eq!(world.effects.count("r:gated"), 4);
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().recoveries, 3);
    process.crash().await;
    world.gates.open("gated");
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0);
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", recovered).await.unwrap().await.unwrap(), 101);
}

async fn fails_and_hangs(step: StepContext, value: u32) -> Result<u32, String> {
    if step.attempt() == 1 {
        return Err("not yet".to_owned());
    }
    Ok(gated(step, value).await)
}

#[durable]
async fn recovered_at_its_second_attempt(ctx: Context) -> Result<u32, String> {
    let retry = Retry::fixed(Duration::ZERO).max_attempts(5);
    ctx.run(fails_and_hangs, 1).named("hangs").retry(retry).await
}

#[tokio::test]
async fn a_crash_loop_is_told_with_what_the_run_was_doing() {
    let world = World { limits: Limits { recoveries_without_progress: 2, ..Limits::default() }, ..World::default() };
    let mut process = world.open().await;
    process.runtime.start("r", recovered_at_its_second_attempt, ()).await.unwrap().id();
    for life in 1..=3 {
        world.gates.arrived("hangs", life).await;
        process.crash().await;
        process = world.open().await;
    }
    let run = process.runtime.attach("r", recovered_at_its_second_attempt).await.unwrap();
    let halt = halted(run.await, HaltReason::CrashLoop).message;
    let told = "It had recorded last: AttemptFailed of the step \"hangs\" (tests/it/r12_recovery.rs:";
    assert!(halt.contains(told) && halt.contains("; without an outcome: step \"hangs\""), "{halt}");
    assert!(halt.contains(", attempt 2 being due. `Runtime::verify` tells"), "{halt}");
}

#[durable]
async fn recovered_ten_steps(ctx: Context) -> u32 {
    let mut sum = 0;
    for index in 0..10 {
        sum += ctx.run(gated, 1).named(format!("step {index}")).await;
    }
    sum
}

#[tokio::test]
async fn a_run_that_gets_a_little_further_each_time_is_no_crash_loop() {
    let world = World { limits: Limits { recoveries_without_progress: 1, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    process.runtime.start("r", recovered_ten_steps, ()).await.unwrap().id();
    world.gates.arrived("step 0", 1).await;
    process.crash().await;
    for index in 0..9 {
        let process = world.open().await;
        world.gates.open(&format!("step {index}"));
        world.gates.arrived(&format!("step {}", index + 1), 1).await;
        process.crash().await;
    }
    world.gates.open("step 9");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", recovered_ten_steps).await.unwrap().await.unwrap(), 10);
    let recoveries = journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::Recovered).count();
    assert_eq!(recoveries, 10);
}

#[tokio::test]
async fn a_second_recovery_before_any_step_leaves_no_trace() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", recovered, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let before = journal(&world.disk.memory, "r");
    for _ in 0..3 {
        let handle = world.disk.open();
        handle.hold();
        let runtime = world.builder().open_store(handle.clone()).await.unwrap();
        handle.held().await;
        handle.fail_after(0, durable_tests::Loss::Whole);
        handle.release();
        runtime.shutdown(std::time::Duration::ZERO).await;
    }
    assert_eq!(journal(&world.disk.memory, "r"), before);
    assert_eq!(world.effects.count("r:gated"), 1, "a step began before its recovery was recorded");
    assert_eq!(world.disk.memory.list(Some(RunStatus::Running), None, 10).unwrap().len(), 1);
}

static OWN_DISK: std::sync::OnceLock<durable_runtime::store::MemoryStore> = std::sync::OnceLock::new();
static SEEN: std::sync::Mutex<Vec<Vec<Kind>>> = std::sync::Mutex::new(Vec::new());

#[durable]
async fn looks_at_its_own_journal(ctx: Context) -> u32 {
    let kinds = journal(OWN_DISK.get().unwrap(), ctx.run_id().as_str()).iter().map(|entry| entry.kind).collect();
    SEEN.lock().unwrap().push(kinds);
    ctx.run(gated, 1).await
}

/// Code between steps can take the process down as well as a step: what counts crash loops is durable before
/// either runs.
#[tokio::test]
async fn a_recovery_is_recorded_before_the_code_runs() {
    if is_left_out("it counts how often the code is polled") {
        return;
    }
    let world = World::default();
    OWN_DISK.set(world.disk.memory.clone()).unwrap();
    let process = world.open().await;
    process.runtime.start("r", looks_at_its_own_journal, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let process = world.open().await;
    world.gates.open("gated");
    assert_eq!(process.runtime.attach("r", looks_at_its_own_journal).await.unwrap().await.unwrap(), 1);
    assert_eq!(*SEEN.lock().unwrap(), [vec![Kind::Started], vec![Kind::Started, Kind::Recovered]]);
}
