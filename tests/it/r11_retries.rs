//! R11: attempts made, and the time of the next one, survive restarts.

use std::time::Duration;

use durable_runtime::{Clock, Context, Failure, Retry, StepContext, StepStatus, TimedOut, durable};
use durable_tests::{Effects, Gates, Kind, World, journal, yield_often};

async fn failing(step: StepContext) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    Err(format!("attempt {}", step.attempt()))
}

#[durable]
async fn retry_three_times(ctx: Context) -> Result<u32, String> {
    ctx.run(failing).retry(Retry::fixed(Duration::from_mins(1)).max_attempts(3)).await
}

#[tokio::test]
async fn three_attempts_over_two_processes_with_the_whole_backoff() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", retry_three_times, ()).await.unwrap().id();
    let second = world.clock.now().after(Duration::from_mins(1));
    world.asked_for(second).await;
    world.clock.advance(Duration::from_secs(20));
    process.crash().await;

    world.clock.advance(Duration::from_secs(20));
    let process = world.open().await;
    yield_often().await;
    let step = &process.runtime.get("r").await.unwrap().unwrap().steps[0];
    assert_eq!(step.status, StepStatus::Retrying { next_attempt_at: second });
    assert_eq!((step.attempts, step.failed_attempts[0].error.as_str()), (1, "{\"Err\":\"attempt 1\"}"));
    world.clock.advance(Duration::from_secs(19));
    yield_often().await;
    assert_eq!(world.effects.count("r:failing"), 1, "the wait was shortened by the restart");
    world.clock.advance(Duration::from_secs(1));
    let third = second.after(Duration::from_mins(1));
    world.asked_for(third).await;
    assert_eq!(world.effects.count("r:failing"), 2, "the wait was begun anew by the restart");
    world.clock.advance(Duration::from_mins(1));
    let result = process.runtime.attach("r", retry_three_times).await.unwrap().await.unwrap();
    assert_eq!(result, Err("attempt 3".to_owned()));
    let attempts: Vec<_> = world.effects.executions().into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[tokio::test]
async fn an_attempt_whose_time_has_passed_while_nobody_ran_begins_at_once() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", retry_three_times, ()).await.unwrap().id();
    let second = world.clock.now().after(Duration::from_mins(1));
    world.asked_for(second).await;
    process.crash().await;
    world.clock.advance(Duration::from_hours(1));
    let process = world.open().await;
    world.asked_for(world.clock.now().after(Duration::from_mins(1))).await;
    assert_eq!(world.effects.count("r:failing"), 2);
    process.crash().await;
}

/// Also R12.
#[tokio::test]
async fn waiting_for_the_next_attempt_through_many_restarts_is_no_crash_loop() {
    let mut world = World::default();
    world.limits.recoveries_without_progress = 3;
    let process = world.open().await;
    process.runtime.start("r", retry_three_times, ()).await.unwrap().id();
    let second = world.clock.now().after(Duration::from_mins(1));
    world.asked_for(second).await;
    process.crash().await;
    for _ in 0..10 {
        let process = world.open().await;
        yield_often().await;
        process.runtime.shutdown(Duration::from_secs(1)).await;
    }
    world.clock.advance(Duration::from_mins(1));
    let process = world.open().await;
    world.asked_for(second.after(Duration::from_mins(1))).await;
    world.clock.advance(Duration::from_mins(1));
    let result = process.runtime.attach("r", retry_three_times).await.unwrap().await.unwrap();
    assert_eq!(result, Err("attempt 3".to_owned()));
}

async fn failing_at_gate(step: StepContext) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() == 2 {
        step.dependency::<Gates>().pass("attempt 2").await;
    }
    Err(format!("attempt {}", step.attempt()))
}

#[durable]
async fn retry_with_gate(ctx: Context) -> Result<u32, String> {
    ctx.run(failing_at_gate).retry(Retry::fixed(Duration::ZERO).max_attempts(3)).await
}

#[tokio::test]
async fn an_attempt_that_a_crash_interrupted_is_the_same_attempt_again() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", retry_with_gate, ()).await.unwrap().id();
    world.gates.arrived("attempt 2", 1).await;
    process.crash().await;
    world.gates.open("attempt 2");
    let process = world.open().await;
    let result = process.runtime.attach("r", retry_with_gate).await.unwrap().await.unwrap();
    assert_eq!(result, Err("attempt 3".to_owned()));
    let attempts: Vec<_> = world.effects.executions().into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts, [1, 2, 2, 3]);
    let failed = journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::AttemptFailed).count();
    assert_eq!(failed, 2);
}

async fn permanent(step: StepContext) -> Result<u32, Failure> {
    step.dependency::<Effects>().note(&step);
    let failure = Failure::new("declined");
    if step.attempt() == 2 { Err(failure.permanent()) } else { Err(failure) }
}

#[durable]
async fn retry_permanent(ctx: Context) -> Result<u32, Failure> {
    ctx.run(permanent).retry(Retry::fixed(Duration::ZERO)).await
}

#[durable]
async fn retry_unless(ctx: Context) -> Result<u32, String> {
    let patient = Retry::fixed(Duration::ZERO).unless(|error: &String| error == "attempt 4");
    ctx.run(failing).retry(patient).await
}

#[durable]
async fn retry_by_default(ctx: Context) -> (Result<u32, String>, Result<u32, String>) {
    let never = ctx.run(failing).named("never").await;
    let often = ctx.run(failing).named("often").retry(Retry::exponential(Duration::ZERO)).await;
    (never, often)
}

#[tokio::test]
async fn what_a_further_attempt_can_not_mend_is_not_tried_again() {
    let world = World::default();
    let process = world.open().await;
    let failure = process.runtime.start("r", retry_permanent, ()).await.unwrap().await.unwrap().unwrap_err();
    assert!(failure.is_permanent());
    assert_eq!(world.effects.count("r:permanent"), 2);
    let error = process.runtime.start("s", retry_unless, ()).await.unwrap().await.unwrap().unwrap_err();
    assert_eq!(error, "attempt 4");
}

#[tokio::test]
async fn a_step_is_tried_once_and_one_with_a_policy_ten_times() {
    let world = World::default();
    let process = world.open().await;
    let results = process.runtime.start("r", retry_by_default, ()).await.unwrap().await.unwrap();
    assert_eq!(results, (Err("attempt 1".to_owned()), Err("attempt 10".to_owned())));
}

#[durable]
async fn retry_exponentially(ctx: Context) -> Result<u32, String> {
    let policy = Retry::exponential(Duration::from_secs(1)).max_delay(Duration::from_secs(3)).max_attempts(5);
    ctx.run(failing).retry(policy).await
}

#[tokio::test]
async fn the_waits_grow_up_to_their_limit() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", retry_exponentially, ()).await.unwrap();
    for seconds in [1, 2, 3, 3] {
        let delay = Duration::from_secs(seconds);
        world.asked_for(world.clock.now().after(delay)).await;
        world.clock.advance(delay);
    }
    assert_eq!(run.await.unwrap(), Err("attempt 5".to_owned()));
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum SlowError {
    TimedOut(TimedOut),
}

impl From<TimedOut> for SlowError {
    fn from(timed_out: TimedOut) -> Self {
        Self::TimedOut(timed_out)
    }
}

async fn slow(step: StepContext, quick_from: u32) -> Result<u32, SlowError> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() < quick_from {
        step.dependency::<Gates>().pass("never").await;
    }
    Ok(step.attempt())
}

#[durable]
async fn retry_timeout(ctx: Context, quick_from: u32) -> Result<u32, SlowError> {
    let policy = Retry::fixed(Duration::from_secs(10)).max_attempts(2);
    ctx.run(slow, quick_from).timeout(Duration::from_secs(5)).retry(policy).await
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped_and_tried_again() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", retry_timeout, 2).await.unwrap();
    world.gates.arrived("never", 1).await;
    world.clock.advance(Duration::from_secs(5));
    world.asked_for(world.clock.now().after(Duration::from_secs(10))).await;
    let step = &process.runtime.get("r").await.unwrap().unwrap().steps[0];
    assert_eq!(step.failed_attempts[0].error, "took too long");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(run.await.unwrap(), Ok(2));
}

#[tokio::test]
async fn the_last_timeout_is_the_outcome_and_the_time_runs_anew_after_a_restart() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", retry_timeout, 9).await.unwrap().id();
    world.gates.arrived("never", 1).await;
    world.clock.advance(Duration::from_secs(4));
    process.crash().await;
    let process = world.open().await;
    world.gates.arrived("never", 2).await;
    world.clock.advance(Duration::from_secs(4));
    yield_often().await;
    assert!(process.runtime.get("r").await.unwrap().unwrap().steps.is_empty(), "stopped before its time");
    world.clock.advance(Duration::from_secs(1));
    world.asked_for(world.clock.now().after(Duration::from_secs(10))).await;
    world.clock.advance(Duration::from_secs(10));
    world.gates.arrived("never", 3).await;
    world.clock.advance(Duration::from_secs(5));
    let result = process.runtime.attach("r", retry_timeout).await.unwrap().await.unwrap();
    let timed_out = TimedOut { step: "slow".to_owned(), attempt: 2, after: Duration::from_secs(5) };
    assert_eq!(result, Err(SlowError::TimedOut(timed_out)));
}
