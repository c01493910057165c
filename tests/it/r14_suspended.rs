//! R14 and R12 for runs that only wait: they are in the store, and in memory when there is something to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durable_runtime::store::{Append, MemoryStore, Store};
use durable_runtime::testing::{Call, Fault, LossyStore};
use durable_runtime::{
    AdminError, Clock, Context, Elapsed, Fence, HaltReason, Limits, Position, Retry, RunFilter, RunId, RunStatus,
    StartError, StepContext, Timestamp, durable,
};
use durable_tests::{
    Effects, Kind, Loss, Process, World, frames, is_left_out, journal, patch, patiently, suspended, write, yield_often,
};
use parking_lot::Mutex;

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);

/// How many of these are in memory.
static IN_MEMORY: AtomicUsize = AtomicUsize::new(0);

struct InMemory;

impl InMemory {
    fn new() -> Self {
        IN_MEMORY.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        IN_MEMORY.fetch_sub(1, Ordering::SeqCst);
    }
}

#[durable]
async fn sleeper(ctx: Context, value: u32) -> u32 {
    let _here = InMemory::new();
    let before = ctx.run(note, value).await;
    ctx.sleep(DAY).await;
    before + ctx.run(note, 10).await
}

#[tokio::test]
async fn r14_a_run_that_waits_leaves_memory_and_goes_on_for_those_who_wait_for_it() {
    if is_left_out("a run leaves memory, and comes back, before it leaves it for good") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", sleeper, 1).await.unwrap();
    suspended(&process.runtime, "r").await;
    patiently("a run that leaves memory", async {
        while IN_MEMORY.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let again = process.runtime.start("r", sleeper, 1).await.unwrap();
    let attached = process.runtime.attach("r", sleeper).await.unwrap();
    let other = process.runtime.start("r", sleeper, 2).await.unwrap_err();
    assert!(matches!(other, StartError::OtherInput { .. }), "{other}");
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().status, RunStatus::Suspended, "asking wakes nobody");
    assert_eq!(IN_MEMORY.load(Ordering::SeqCst), 0);
    world.clock.advance(DAY);
    assert_eq!((run.await.unwrap(), again.await.unwrap(), attached.await.unwrap()), (11, 11, 11));
    assert_eq!((world.effects.count("r:note"), world.effects.count("r:note#2")), (1, 1));
    assert_eq!(process.runtime.stats().steps_executed, 2);
}

#[durable]
async fn forgotten_sleeper(ctx: Context) -> u32 {
    ctx.sleep(DAY).await;
    7
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_found_again_suspended() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", forgotten_sleeper, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    yield_often().await;
    let asked = [
        process.runtime.start("r", forgotten_sleeper, ()).await.unwrap(),
        process.runtime.attach("r", forgotten_sleeper).await.unwrap(),
    ];
    process.runtime.shutdown(Duration::from_secs(1)).await;
    for run in asked {
        assert!(run.await.unwrap_err().to_string().starts_with("[D0130]"), "it goes on in another process");
    }

    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0, "there is nothing to do for it");
    let attached = process.runtime.attach("r", forgotten_sleeper).await.unwrap();
    let started = process.runtime.start("r", forgotten_sleeper, ()).await.unwrap();
    world.clock.advance(DAY);
    assert_eq!((attached.await.unwrap(), started.await.unwrap()), (7, 7));
    let kinds: Vec<_> = journal(&world.disk.memory, "r").iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::TimerSet, Kind::TimerFired, Kind::Finished]);
}

/// Of many runs that are due at once, as many are in memory as may be active.
#[tokio::test]
async fn r14_more_runs_are_due_than_may_be_active() {
    let world = World { limits: Limits { active_runs: 3, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    for number in 0..40 {
        // Those before have a place until they have left memory.
        while let Err(refused) = process.runtime.start(format!("r{number}"), sleeper_of_many, number).await {
            assert!(matches!(refused, StartError::TooManyActiveRuns { .. }), "{refused}");
            tokio::task::yield_now().await;
        }
    }
    for number in 0..40 {
        suspended(&process.runtime, &format!("r{number}")).await;
    }
    world.clock.advance(DAY);
    for number in 0..40 {
        let run = process.runtime.attach(format!("r{number}"), sleeper_of_many).await.unwrap();
        assert_eq!(run.await.unwrap(), number);
    }
    assert!(MOST.load(Ordering::SeqCst) <= 3, "{MOST:?}");
}

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

async fn crowded(value: u32) -> u32 {
    MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::task::yield_now().await;
    NOW.fetch_sub(1, Ordering::SeqCst);
    value
}

#[durable]
async fn sleeper_of_many(ctx: Context, value: u32) -> u32 {
    ctx.sleep(DAY).await;
    ctx.run(crowded, value).await
}

#[durable]
async fn sleeps_behind_a_timeout(ctx: Context) -> Result<u32, Elapsed> {
    let noted = ctx.timeout(2 * DAY, async { ctx.run(note, 1).await }).await?;
    ctx.sleep(YEAR).await;
    Ok(noted)
}

/// What nobody waits for any more wakes nobody, also if that was found out in an earlier life.
#[tokio::test]
async fn a_limit_that_was_not_needed_wakes_nobody() {
    let world = World::default();
    let began = world.clock.now();
    let process = world.open().await;
    process.runtime.start("r", sleeps_behind_a_timeout, ()).await.unwrap().id();
    for is_new in [true, false] {
        if is_new {
            suspended(&process.runtime, "r").await;
        }
        let dues = world.disk.memory.due(Timestamp(u64::MAX), 10).unwrap();
        assert_eq!(dues.iter().map(|timer| timer.due).collect::<Vec<_>>(), [began.after(YEAR)]);
        assert!(process.runtime.verify_store().await.unwrap().is_sound());
        world.clock.advance(3 * DAY);
        yield_often().await;
    }
    process.crash().await;
    world.clock.advance(YEAR);
    let process = world.open().await;
    let run = process.runtime.attach("r", sleeps_behind_a_timeout).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(1));
}

static WATCHED_DISK: Mutex<Option<MemoryStore>> = Mutex::new(None);
static SEEN: Mutex<Vec<(RunStatus, usize)>> = Mutex::new(Vec::new());

/// What a death right here would leave behind: the status, and how many recoveries are recorded.
fn look(ctx: &Context) {
    let disk = WATCHED_DISK.lock().clone().unwrap();
    let status = disk.head(ctx.run_id()).unwrap().unwrap().status;
    let entries = journal(&disk, ctx.run_id().as_str());
    SEEN.lock().push((status, entries.iter().filter(|entry| entry.kind == Kind::Recovered).count()));
}

#[durable]
async fn dies_behind_a_timeout(ctx: Context) -> Result<u32, Elapsed> {
    look(&ctx);
    let noted = ctx.timeout(YEAR, async { ctx.run(note, 1).await }).await?;
    look(&ctx);
    ctx.sleep(DAY).await;
    look(&ctx);
    Ok(noted + ctx.run(gated, 1).await)
}

/// Code that takes the process down between steps is counted, whatever it waits for, or has waited for.
#[tokio::test]
async fn r12_code_behind_a_timeout_and_behind_a_sleep_is_counted() {
    if is_left_out("it counts how often the code is polled") {
        return;
    }
    let world = World::default();
    *WATCHED_DISK.lock() = Some(world.disk.memory.clone());
    let process = world.open().await;
    process.runtime.start("r", dies_behind_a_timeout, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    world.clock.advance(DAY);
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let first = SEEN.lock().clone();
    assert!(first.len() >= 3 && first.iter().all(|(_, recovered)| *recovered == 0), "{first:?}");
    for life in 1..=3 {
        SEEN.lock().clear();
        let process = world.open().await;
        world.gates.arrived("gated", life + 1).await;
        process.crash().await;
        assert_eq!(*SEEN.lock(), [(RunStatus::Running, life); 3]);
    }
}

#[durable]
async fn naps(ctx: Context) -> u32 {
    ctx.sleep(Duration::from_millis(500)).await;
    1
}

/// R12: a wait that is too short to leave memory for is no work either.
#[tokio::test]
async fn r12_orderly_restarts_of_a_run_that_waits_a_little_are_no_crash_loop() {
    let world = World { limits: Limits { recoveries_without_progress: 2, ..Limits::default() }, ..World::default() };
    let due = world.clock.now().after(Duration::from_millis(500));
    for life in 0..6 {
        let process = world.open().await;
        if life == 0 {
            process.runtime.start("r", naps, ()).await.unwrap().id();
        }
        world.asked_for(due).await;
        yield_often().await;
        process.runtime.shutdown(Duration::from_secs(1)).await;
    }
    world.clock.advance(DAY);
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", naps).await.unwrap().await.unwrap(), 1);
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().recoveries, 0);
}

async fn busy_at_first(step: StepContext) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() < 3 { Err("busy".to_owned()) } else { Ok(step.attempt()) }
}

#[durable]
async fn tries_again_for_days(ctx: Context) -> Result<u32, String> {
    ctx.run(busy_at_first).retry(Retry::fixed(DAY)).await
}

#[tokio::test]
async fn r11_a_step_that_backs_off_for_days_is_in_the_store_meanwhile() {
    let world = World::default();
    let mut process = world.open().await;
    process.runtime.start("r", tries_again_for_days, ()).await.unwrap().id();
    for tried in 1..=2 {
        suspended(&process.runtime, "r").await;
        assert_eq!(world.effects.count("r:busy_at_first"), tried);
        process.crash().await;
        process = world.open().await;
        assert_eq!(process.runtime.recovery().resumed, 0);
        world.clock.advance(DAY);
        while world.effects.count("r:busy_at_first") == tried {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(process.runtime.attach("r", tries_again_for_days).await.unwrap().await.unwrap(), Ok(3));
}

async fn suspended_run() -> (World, Process) {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", forgotten_sleeper, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    yield_often().await;
    (world, process)
}

#[tokio::test]
async fn a_suspended_run_can_neither_be_resumed_nor_deleted() {
    let (world, process) = suspended_run().await;
    for _ in 0..2 {
        assert!(matches!(process.runtime.resume("r").await, Err(AdminError::Running { .. })));
        assert!(matches!(process.runtime.delete("r").await, Err(AdminError::Running { .. })));
    }
    let listed = process.runtime.list(&RunFilter::new().status(RunStatus::Suspended), None, 10).await.unwrap().runs;
    assert_eq!(listed.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r"]);
    process.crash().await;

    // Before anything was recovered, it stands still, can be looked at, goes on if it is asked for, and can be deleted.
    let later = || async { world.builder().recover_later().open_store(world.disk.open()).await.unwrap() };
    let runtime = later().await;
    world.clock.advance(DAY);
    let check = runtime.check().await.unwrap();
    assert_eq!((check.running, check.suspended, check.fits()), (0, 1, true));
    yield_often().await;
    assert_eq!(runtime.get("r").await.unwrap().unwrap().status, RunStatus::Suspended);
    runtime.shutdown(Duration::ZERO).await;
    let runtime = later().await;
    assert_eq!(runtime.attach("r", forgotten_sleeper).await.unwrap().await.unwrap(), 7);
    runtime.shutdown(Duration::ZERO).await;

    let (world, process) = suspended_run().await;
    process.crash().await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    assert!(runtime.delete("r").await.unwrap());
    runtime.recover().await.unwrap();
    assert_eq!(runtime.get("r").await.unwrap(), None);
}

/// Makes a run suspended that was written by hand.
fn suspend(store: &MemoryStore, run: &str) {
    let run = RunId::new(run).unwrap();
    let expected = store.head(&run).unwrap().unwrap().length;
    let append = Append {
        run,
        expected,
        fence: Fence(1),
        records: Vec::new(),
        replaces: false,
        clears: Vec::new(),
        status: RunStatus::Suspended,
    };
    store.commit(&[append]).unwrap()[0].unwrap();
}

fn write_suspended(world: &World, run: &str, started: Vec<u8>, due: Timestamp) {
    let store = &world.disk.memory;
    write(store, run, vec![started]);
    let run_id = RunId::new(run).unwrap();
    let frame = frames(store, "r")[1].clone();
    let append = Append {
        run: run_id,
        expected: Position(1),
        fence: Fence(1),
        records: vec![durable_runtime::store::Record { frame, due: Some(due) }],
        replaces: false,
        clears: Vec::new(),
        status: RunStatus::Running,
    };
    store.commit(&[append]).unwrap()[0].unwrap();
    suspend(store, run);
}

#[tokio::test]
async fn r12_a_due_run_whose_function_is_missing_is_kept_and_reported() {
    let (world, process) = suspended_run().await;
    process.crash().await;
    let name = b"forgotten_sleeper";
    let departed = patch(&frames(&world.disk.memory, "r")[0], |event| {
        let at = event.windows(name.len()).position(|window| window == name).unwrap();
        event[at..at + name.len()].copy_from_slice(b"departed__sleeper");
    });
    write_suspended(&world, "departed", departed, world.clock.now());
    let process = world.open().await;
    patiently("the missing function", async {
        while process.runtime.get("departed").await.unwrap().unwrap().halt.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let info = process.runtime.get("departed").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt.unwrap().reason), (RunStatus::Running, HaltReason::Unregistered));
    process.crash().await;
    let process = world.open().await;
    let skipped: Vec<_> =
        process.runtime.recovery().skipped.iter().map(|(run, halt)| (run.as_str(), halt.reason)).collect();
    assert_eq!(skipped, [("departed", HaltReason::Unregistered)]);
}

/// What is recorded behind a deploy tells by which code.
#[tokio::test]
async fn a_run_that_is_woken_by_other_code_records_that() {
    let (world, process) = suspended_run().await;
    process.crash().await;
    let other = patch(&frames(&world.disk.memory, "r")[0], |event| {
        // The version stands behind the name.
        let name = b"forgotten_sleeper";
        let at = event.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        assert_eq!(event[at], 1);
        event[at] = 0;
    });
    write_suspended(&world, "older", other, world.clock.now().after(DAY));
    world.clock.advance(DAY);
    let process = world.open().await;
    for (run, recoveries) in [("r", 0), ("older", 1)] {
        let outcome = process.runtime.attach(run, forgotten_sleeper).await.unwrap().await;
        assert_eq!(outcome.unwrap(), 7);
        assert_eq!(process.runtime.get(run).await.unwrap().unwrap().recoveries, recoveries, "{run}");
    }
}

#[durable]
async fn sleeps_and_panics(ctx: Context) -> u32 {
    ctx.sleep(DAY).await;
    panic!("behind the sleep")
}

#[tokio::test]
async fn those_who_wait_for_a_suspended_run_are_told_that_it_halted() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", sleeps_and_panics, ()).await.unwrap();
    suspended(&process.runtime, "r").await;
    world.clock.advance(DAY);
    halted(run.await, HaltReason::Panic);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!(info.status, RunStatus::Halted);
}

#[tokio::test]
async fn a_runtime_that_is_dropped_tells_those_who_wait_for_suspended_runs() {
    let world = World::default();
    let runtime = world.builder().open_store(Arc::new(world.disk.memory.clone())).await.unwrap();
    let run = runtime.start("r", forgotten_sleeper, ()).await.unwrap();
    suspended(&runtime, "r").await;
    yield_often().await;
    drop(runtime);
    assert!(run.await.unwrap_err().to_string().starts_with("[D0130]"));
}

/// A store that fails when a run is to be woken: that is told, and not tried over and over.
#[tokio::test]
async fn a_run_that_can_not_be_woken_is_told_and_goes_on_in_the_next_process() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    let world = World::default();
    // The start, and the timer; not that it goes on.
    let process = world.open_failing(2, Loss::Whole).await;
    let run = process.runtime.start("r", forgotten_sleeper, ()).await.unwrap();
    suspended(&process.runtime, "r").await;
    world.clock.advance(DAY);
    halted(run.await, HaltReason::Storage);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt.unwrap().reason), (RunStatus::Suspended, HaltReason::Storage));
    halted(process.runtime.attach("r", forgotten_sleeper).await.unwrap().await, HaltReason::Storage);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", forgotten_sleeper).await.unwrap().await.unwrap(), 7);
}

#[durable]
async fn sleeps_many_times_at_once(ctx: Context) -> usize {
    futures::future::join_all((0..300).map(|_| ctx.sleep(DAY))).await.len()
}

/// However many timers a run has that can't be woken: those behind it don't wait for it.
#[tokio::test]
async fn runs_behind_one_that_can_not_be_woken_are_woken() {
    if is_left_out("a run that leaves memory at every await is read at other times") {
        return;
    }
    let world = World::default();
    let store = LossyStore::default();
    let runtime = world.builder().open_store(Arc::new(store.clone())).await.unwrap();
    let stuck = runtime.start("stuck", sleeps_many_times_at_once, ()).await.unwrap();
    suspended(&runtime, "stuck").await;
    world.clock.advance(Duration::from_hours(1));
    let behind = runtime.start("behind", forgotten_sleeper, ()).await.unwrap();
    suspended(&runtime, "behind").await;
    store.on(Call::Head, store.calls(Call::Head) + 1, Fault::FailBefore);
    world.clock.advance(Duration::from_hours(23));
    halted(stuck.await, HaltReason::Storage);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(patiently("a run behind others", behind.into_future()).await.unwrap(), 7);
    runtime.resume("stuck").await.unwrap();
    let stuck = runtime.attach("stuck", sleeps_many_times_at_once).await.unwrap();
    assert_eq!(stuck.await.unwrap(), 300);
}

/// More than one append can hold.
async fn large(step: StepContext) -> String {
    gated(step, 0).await;
    "x".repeat(5 * 1_024 * 1_024)
}

#[durable]
async fn waits_for_much_within_a_day(ctx: Context) -> Result<usize, Elapsed> {
    let all = async {
        let (_, large, signal) = tokio::join!(ctx.run(gated, 1), ctx.run(large), ctx.signal::<usize>("number"));
        large.len() + signal
    };
    ctx.timeout(DAY, all).await
}

/// When what a run did needs several appends, its timer is cleared with the last: a crash in between does not forget it.
#[tokio::test]
async fn a_timer_is_not_forgotten_by_a_crash_between_two_appends() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    let limits = Limits { payload_bytes: 6 * 1_024 * 1_024, ..Limits::default() };
    let world = World { limits, ..World::default() };
    // The start, the timer, the first step, and the large one; then what the signal makes of it.
    let process = world.open_failing(4, Loss::Whole).await;
    let run = process.runtime.start("r", waits_for_much_within_a_day, ()).await.unwrap();
    world.gates.arrived("large", 1).await;
    patiently("the timer", async {
        while !journal(&world.disk.memory, "r").iter().any(|entry| entry.kind == Kind::TimerSet) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.handle.hold();
    world.gates.open("gated");
    process.handle.held().await;
    world.gates.open("large");
    let sent = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.signal("r", "number", &1_usize).await }
    });
    yield_often().await;
    process.handle.release();
    halted(run.await, HaltReason::Storage);
    assert!(sent.await.unwrap().is_err(), "it was not acknowledged");
    process.crash().await;
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::TimerSet, Kind::StepCompleted, Kind::StepCompleted]);

    let process = world.open().await;
    let run = process.runtime.attach("r", waits_for_much_within_a_day).await.unwrap();
    while process.runtime.get("r").await.unwrap().unwrap().status != RunStatus::Suspended {
        world.clock.advance(Duration::from_secs(1));
        yield_often().await;
    }
    world.clock.advance(DAY);
    assert_eq!(patiently("the timeout", run.into_future()).await.unwrap(), Err(Elapsed { after: DAY }));
}

/// Fails the first time, and waits at its gate the second time.
async fn flaky(step: StepContext) -> Result<u32, u32> {
    if step.attempt() == 1 { Err(1) } else { Ok(gated(step, 2).await) }
}

#[durable]
async fn does_much_and_sleeps(ctx: Context) -> u32 {
    let again = Retry::fixed(Duration::from_mins(1));
    let (_, _, flaky) = tokio::join!(ctx.run(gated, 1), ctx.run(large), ctx.run(flaky).retry(again));
    ctx.sleep(DAY).await;
    flaky.unwrap_or_default()
}

/// The mirror image: what ends the timer is in the first append, that it is cleared in the one that is lost. It wakes the run once
/// more, and not again and again.
#[tokio::test]
async fn a_timer_that_was_not_cleared_before_a_crash_wakes_the_run_once() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    let limits = Limits { payload_bytes: 6 * 1_024 * 1_024, ..Limits::default() };
    let world = World { limits, ..World::default() };
    // The start, the failed attempt, the first step, and then the two others; then the timer, and what it clears.
    let process = world.open_failing(4, Loss::Whole).await;
    let run = process.runtime.start("r", does_much_and_sleeps, ()).await.unwrap();
    world.gates.arrived("large", 1).await;
    world.gates.arrived("gated", 1).await;
    patiently("the failed attempt", async {
        while !journal(&world.disk.memory, "r").iter().any(|entry| entry.kind == Kind::AttemptFailed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.clock.advance(Duration::from_mins(1));
    world.gates.arrived("flaky", 1).await;
    process.handle.hold();
    world.gates.open("gated");
    process.handle.held().await;
    world.gates.open("flaky");
    yield_often().await;
    world.gates.open("large");
    yield_often().await;
    process.handle.release();
    halted(run.await, HaltReason::Storage);
    process.crash().await;
    assert_eq!(journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::StepCompleted).count(), 3);

    let began = world.clock.now();
    let process = world.open().await;
    patiently("a run that only sleeps", async {
        loop {
            let dues = world.disk.memory.due(Timestamp(u64::MAX), 10).unwrap();
            if dues.iter().map(|timer| timer.due).collect::<Vec<_>>() == [began.after(DAY)] {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let run = process.runtime.attach("r", does_much_and_sleeps).await.unwrap();
    world.clock.advance(DAY);
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), 2);
}
