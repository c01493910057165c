//! Schedules: each time once, over restarts and crashes, and what was missed or overlaps as the policies say.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{
    CatchUp, Context, Cron, Overlap, RunError, RunFilter, RunInfo, RunStatus, Runtime, Schedule, StartError,
    StepContext, Timestamp, durable,
};
use durable_tests::{Handle, Loss, World, is_left_out, patiently, yield_often};

const MINUTES: u64 = 60_000;

/// Every ten minutes; the world's clock begins at 00:16:40.
const EVERY_TEN: &str = "*/10 * * * *";

async fn works(step: StepContext, minute: u64) -> u64 {
    step.dependency::<durable_tests::Effects>().note(&step);
    step.dependency::<durable_tests::Gates>().pass(&minute.to_string()).await;
    minute
}

#[durable]
async fn scheduled_work(ctx: Context, minute: u64) -> u64 {
    ctx.run(works, minute).await
}

fn schedule(expression: &str) -> Schedule {
    let cron = Cron::new(expression).expect("it is one");
    Schedule::new("ten", cron, scheduled_work, |due| due.0 / MINUTES)
}

fn id(minute: u64) -> String {
    durable_runtime::schedule::run_id("ten", Timestamp(minute * MINUTES))
}

async fn open(world: &World, schedule: Schedule) -> (Runtime, Arc<Handle>) {
    let handle = world.disk.open();
    (world.builder().schedule(schedule).open_store(handle.clone()).await.unwrap(), handle)
}

async fn crash(runtime: Runtime, handle: Arc<Handle>) {
    handle.fail_after(0, Loss::Whole);
    runtime.shutdown(Duration::ZERO).await;
}

async fn find(runtime: &Runtime, minute: u64) -> Option<RunInfo> {
    runtime.get(id(minute)).await.unwrap()
}

/// Waits until the run of that minute is recorded, and waits for its time.
async fn is_next(world: &World, runtime: &Runtime, minute: u64) {
    patiently(format!("the run of minute {minute}"), async {
        while find(runtime, minute).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.asked_for(Timestamp(minute * MINUTES)).await;
    yield_often().await;
}

async fn ended(runtime: &Runtime, minute: u64) -> Result<u64, RunError> {
    patiently(format!("the run of minute {minute}"), async {
        while find(runtime, minute).await.is_none() {
            tokio::task::yield_now().await;
        }
        runtime.attach(id(minute), scheduled_work).await.unwrap().await
    })
    .await
}

#[track_caller]
fn left_out(result: Result<u64, RunError>, why: &str) {
    match result {
        Err(RunError::Cancelled { reason, .. }) => assert_eq!(reason, why),
        other => panic!("it was left out: {other:?}"),
    }
}

fn at(world: &World, minute: u64) {
    world.clock.set(Timestamp(minute * MINUTES));
}

#[tokio::test]
async fn each_time_has_one_run_and_the_next_one_is_recorded() {
    let world = World::default();
    let (runtime, _) = open(&world, schedule(EVERY_TEN)).await;
    for minute in [20, 30, 40] {
        is_next(&world, &runtime, minute).await;
        let info = find(&runtime, minute).await.unwrap();
        assert_eq!((info.status, info.began_at), (RunStatus::Suspended, None));
        assert_eq!(info.not_before, Some(Timestamp(minute * MINUTES)));
        world.clock.set(Timestamp(minute * MINUTES - 1));
        yield_often().await;
        assert_eq!(world.effects.count(&format!("{}:works", id(minute))), 0);
        world.gates.open(&minute.to_string());
        at(&world, minute);
        assert_eq!(ended(&runtime, minute).await.unwrap(), minute);
    }
    is_next(&world, &runtime, 50).await;
    assert_eq!(world.effects.keys().len(), 3);
    assert!(runtime.verify_store().await.unwrap().is_sound());
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_as_the_policy_says() {
    let missed = "left out: no process was there when it was due";
    for (policy, expected, first) in [
        (CatchUp::Skip, vec![], Err(missed)),
        (CatchUp::Latest, vec![50], Err(missed)),
        (CatchUp::All { at_most: 2 }, vec![40, 50], Err(missed)),
        (CatchUp::All { at_most: 9 }, vec![20, 30, 40, 50], Ok(20)),
    ] {
        let world = World::default();
        let daily = || schedule(EVERY_TEN).catch_up(policy).overlap(Overlap::Allow);
        let (runtime, handle) = open(&world, daily()).await;
        is_next(&world, &runtime, 20).await;
        crash(runtime, handle).await;
        at(&world, 55);
        for minute in [20, 30, 40, 50, 60] {
            world.gates.open(&minute.to_string());
        }
        let (runtime, _) = open(&world, daily()).await;
        is_next(&world, &runtime, 60).await;
        for minute in &expected {
            assert_eq!(ended(&runtime, *minute).await.unwrap(), *minute, "{policy:?}");
        }
        match first {
            Err(why) => left_out(ended(&runtime, 20).await, why),
            Ok(minute) => assert_eq!(ended(&runtime, 20).await.unwrap(), minute),
        }
        assert_eq!(world.effects.keys().len(), expected.len(), "{policy:?}");
        at(&world, 60);
        assert_eq!(ended(&runtime, 60).await.unwrap(), 60);
    }
}

#[tokio::test]
async fn a_run_that_is_due_before_the_one_before_has_ended_is_left_out_or_begins() {
    for (overlap, begins) in [(Overlap::Skip, false), (Overlap::Allow, true)] {
        let world = World::default();
        let (runtime, _) = open(&world, schedule(EVERY_TEN).overlap(overlap)).await;
        is_next(&world, &runtime, 20).await;
        at(&world, 20);
        world.gates.arrived("20", 1).await;
        is_next(&world, &runtime, 30).await;
        at(&world, 30);
        if begins {
            world.gates.arrived("30", 1).await;
            world.gates.open("30");
            assert_eq!(ended(&runtime, 30).await.unwrap(), 30);
        } else {
            left_out(ended(&runtime, 30).await, "left out: the run before it had not ended");
        }
        world.gates.open("20");
        assert_eq!(ended(&runtime, 20).await.unwrap(), 20);
        is_next(&world, &runtime, 40).await;
        world.gates.open("40");
        at(&world, 40);
        assert_eq!(ended(&runtime, 40).await.unwrap(), 40);
    }
}

#[tokio::test]
async fn a_run_waits_for_the_one_before_also_in_the_next_process_and_no_second_one_does() {
    let world = World::default();
    let waits = || schedule(EVERY_TEN).overlap(Overlap::Wait);
    let (runtime, handle) = open(&world, waits()).await;
    for minute in [20, 30, 40] {
        is_next(&world, &runtime, minute).await;
        at(&world, minute);
    }
    world.gates.arrived("20", 1).await;
    is_next(&world, &runtime, 50).await;
    left_out(ended(&runtime, 40).await, "left out: the run before it had not ended");
    assert_eq!(find(&runtime, 30).await.unwrap().began_at, None);
    crash(runtime, handle).await;
    let (runtime, _) = open(&world, waits()).await;
    world.gates.arrived("20", 2).await;
    yield_often().await;
    assert_eq!(find(&runtime, 30).await.unwrap().began_at, None);
    world.gates.open("20");
    world.gates.open("30");
    assert_eq!(ended(&runtime, 20).await.unwrap(), 20);
    assert_eq!(ended(&runtime, 30).await.unwrap(), 30);
}

#[tokio::test]
async fn the_one_before_is_cancelled_for_one_that_is_due() {
    let world = World::default();
    let (runtime, _) = open(&world, schedule(EVERY_TEN).overlap(Overlap::CancelPrevious)).await;
    for minute in [20, 30] {
        is_next(&world, &runtime, minute).await;
        at(&world, minute);
        world.gates.arrived(&minute.to_string(), 1).await;
    }
    left_out(ended(&runtime, 20).await, "ten@1970-01-01T00:30:00Z is due, and takes its place");
    world.gates.open("30");
    assert_eq!(ended(&runtime, 30).await.unwrap(), 30);
}

#[tokio::test]
async fn a_time_that_somebody_has_cancelled_is_left_out_and_no_other() {
    let world = World::default();
    let (runtime, handle) = open(&world, schedule(EVERY_TEN)).await;
    is_next(&world, &runtime, 20).await;
    runtime.cancel(id(20), "not today").await.unwrap();
    at(&world, 20);
    is_next(&world, &runtime, 30).await;
    left_out(ended(&runtime, 20).await, "not today");
    runtime.cancel(id(30), "nor this one").await.unwrap();
    crash(runtime, handle).await;
    let (runtime, _) = open(&world, schedule(EVERY_TEN)).await;
    at(&world, 30);
    is_next(&world, &runtime, 40).await;
    world.gates.open("40");
    at(&world, 40);
    assert_eq!(ended(&runtime, 40).await.unwrap(), 40);
    assert_eq!(world.effects.keys().len(), 1);
}

#[tokio::test]
async fn a_schedule_that_has_changed_leaves_out_the_old_time_and_one_that_is_gone_waits() {
    let world = World::default();
    let (runtime, handle) = open(&world, schedule(EVERY_TEN)).await;
    is_next(&world, &runtime, 20).await;
    crash(runtime, handle).await;
    let (runtime, handle) = open(&world, schedule("*/25 * * * *")).await;
    is_next(&world, &runtime, 25).await;
    left_out(ended(&runtime, 20).await, "left out: the schedule is another one now");
    crash(runtime, handle).await;
    let handle = world.disk.open();
    let runtime = world.builder().open_store(handle.clone()).await.unwrap();
    at(&world, 26);
    yield_often().await;
    assert_eq!(find(&runtime, 25).await.unwrap().began_at, None);
    let refused = runtime.start("x", scheduled_work, 1).queue("schedule ten").await.unwrap_err();
    assert!(matches!(refused, StartError::Queue { .. }), "{refused}");
    crash(runtime, handle).await;
    let (runtime, _) = open(&world, schedule("*/25 * * * *").catch_up(CatchUp::Latest)).await;
    world.gates.open("25");
    assert_eq!(ended(&runtime, 25).await.unwrap(), 25);
}

/// Whatever fails, each time has one run, and a run that is recorded is run once.
#[tokio::test]
async fn a_disk_that_fails_at_any_commit_leaves_each_time_its_one_run() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        for commits in 0..10 {
            let world = World::default();
            for minute in [20, 30, 40] {
                world.gates.open(&minute.to_string());
            }
            let handle = world.disk.open();
            handle.fail_after(commits, loss);
            let all = || schedule(EVERY_TEN).catch_up(CatchUp::All { at_most: 9 }).overlap(Overlap::Allow);
            let runtime = world.builder().schedule(all()).open_store(handle.clone()).await.unwrap();
            yield_often().await;
            for minute in [20, 30] {
                at(&world, minute);
                yield_often().await;
            }
            crash(runtime, handle).await;
            let (runtime, _) = open(&world, all()).await;
            is_next(&world, &runtime, 40).await;
            at(&world, 40);
            is_next(&world, &runtime, 50).await;
            assert_eq!(ended(&runtime, 40).await.unwrap(), 40, "{loss:?} {commits}");
            let page = runtime.list(&RunFilter::new(), None, 99).await.unwrap();
            let cancelled = page.runs.iter().filter(|run| run.status == RunStatus::Cancelled).count();
            assert_eq!(cancelled, 0, "{loss:?} {commits}: {:?}", page.runs);
            for run in page.runs.iter().filter(|run| run.status != RunStatus::Suspended) {
                let (_, due) = durable_runtime::schedule::due_of(run.id.as_str()).expect("it is a schedule's");
                assert_eq!(ended(&runtime, due.0 / MINUTES).await.unwrap(), due.0 / MINUTES);
            }
            assert!(runtime.verify_store().await.unwrap().is_sound());
        }
    }
}
