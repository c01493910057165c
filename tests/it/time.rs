//! `ctx.now`, `ctx.sleep`, `ctx.sleep_until`, `ctx.timeout`: R11 for timers.

use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{Clock, Context, Elapsed, Failure, Halt, HaltReason, RunError, Timestamp, durable};
use durable_tests::{Effects, Gates, Kind, World, is_left_out, journal, patiently, suspended, yield_often};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(24 * 30);

async fn note(step: durable_runtime::StepContext, what: &str) -> String {
    step.dependency::<Effects>().note(&step);
    what.to_owned()
}

#[durable]
async fn reminder(ctx: Context) -> String {
    ctx.sleep(MONTH).await;
    ctx.run(note, "remember").await
}

/// Peers' corner case: sleep keeps its wake time over restarts.
#[tokio::test]
async fn r11_a_sleep_keeps_its_time_over_restarts() {
    let world = World::default();
    let process = world.open().await;
    let due = world.clock.now().after(MONTH);
    process.runtime.start("r", reminder, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;

    world.clock.advance(20 * DAY);
    let process = world.open().await;
    world.asked_for(due).await;
    world.clock.advance(9 * DAY + Duration::from_millis(86_399_999));
    yield_often().await;
    assert_eq!(world.effects.count("r:note"), 0, "the sleep was shortened");
    world.clock.advance(Duration::from_millis(1));
    let result = process.runtime.attach("r", reminder).await.unwrap().await.unwrap();
    assert_eq!((result.as_str(), world.effects.count("r:note")), ("remember", 1));
    let info = process.runtime.get("r").await.unwrap().unwrap();
    let timer = &info.timers[0];
    assert_eq!((timer.key.as_str(), timer.due, timer.fired_at), ("sleep", due, Some(due)));
    assert!(timer.site.contains("time.rs:"), "{}", timer.site);
    assert_eq!(info.steps.len(), 1, "a timer is no step");
}

/// While nobody ran.
#[tokio::test]
async fn r11_a_sleep_that_is_overdue_ends_at_once() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", reminder, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;
    world.clock.advance(2 * MONTH);
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", reminder).await.unwrap().await.unwrap(), "remember");
}

#[durable]
async fn race_of_two_sleeps(ctx: Context) -> String {
    tokio::select! {
        () = ctx.sleep(2 * DAY) => "the longer one".to_owned(),
        () = ctx.sleep(DAY) => "the shorter one".to_owned(),
    }
}

/// Both are overdue, and the branch of the longer one is polled first.
#[tokio::test]
async fn of_several_overdue_timers_the_one_that_was_due_first_fires_first() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", race_of_two_sleeps, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;
    world.clock.advance(MONTH);
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", race_of_two_sleeps).await.unwrap().await.unwrap(), "the shorter one");
}

/// A clock that is set back makes the wait longer, and one that is set forward makes it shorter; neither loses nor doubles
/// it.
#[tokio::test]
async fn a_clock_that_is_set_neither_loses_nor_doubles_a_timer() {
    for jump in [0, 5_000, 5_000_000] {
        let world = World::default();
        let process = world.open().await;
        let begin = world.clock.now();
        let run = process.runtime.start("r", reminder, ()).await.unwrap();
        world.asked_for(begin.after(MONTH)).await;
        world.clock.set(Timestamp(jump));
        yield_often().await;
        world.clock.set(begin.after(MONTH));
        assert_eq!(run.await.unwrap(), "remember");
        let fired = journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::TimerFired).count();
        assert_eq!((fired, world.effects.count("r:note")), (1, 1));
    }
}

#[durable]
async fn looks_at_the_time(ctx: Context) -> Vec<u64> {
    let mut seen = vec![ctx.now().0];
    ctx.run(note, "a").await;
    seen.push(ctx.now().0);
    ctx.sleep(DAY).await;
    seen.push(ctx.now().0);
    ctx.sleep_until(Timestamp(5)).await;
    seen.push(ctx.now().0);
    seen
}

/// Also R2: the time is a function of the journal.
#[tokio::test]
async fn now_is_the_same_on_replay_and_never_goes_back() {
    let world = World::default();
    let process = world.open().await;
    let begin = world.clock.now();
    process.runtime.start("r", looks_at_the_time, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;
    world.clock.set(Timestamp(begin.0 + 7));
    let process = world.open().await;
    world.asked_for(begin.after(DAY)).await;
    world.clock.set(begin.after(2 * DAY));
    let seen = process.runtime.attach("r", looks_at_the_time).await.unwrap().await.unwrap();
    let woken = begin.after(2 * DAY).0;
    assert_eq!(seen, [begin.0, begin.0, woken, woken], "sleep_until a time that is past takes no time");
}

async fn at_gate(step: durable_runtime::StepContext, gate: &str) -> String {
    step.dependency::<Gates>().pass(gate).await;
    gate.to_owned()
}

#[durable]
async fn with_a_limit(ctx: Context) -> Result<String, Elapsed> {
    let both = async {
        let first = ctx.run(at_gate, "one").await;
        first + &ctx.run(at_gate, "two").await
    };
    ctx.timeout(DAY, both).await
}

#[tokio::test]
async fn a_timeout_yields_what_was_fast_enough_and_drops_what_was_not() {
    let fast = World::default();
    let process = fast.open().await;
    fast.gates.open("one");
    fast.gates.open("two");
    let result = process.runtime.start("r", with_a_limit, ()).await.unwrap().await.unwrap();
    assert_eq!(result, Ok("onetwo".to_owned()));

    let slow = World::default();
    let process = slow.open().await;
    let run = process.runtime.start("r", with_a_limit, ()).await.unwrap();
    slow.gates.open("one");
    slow.gates.arrived("two", 1).await;
    slow.clock.advance(DAY);
    assert_eq!(run.await.unwrap(), Err(Elapsed { after: DAY }));
    // Asked again, from the journal alone.
    process.crash().await;
    slow.gates.open("two");
    let process = slow.open().await;
    let again = process.runtime.attach("r", with_a_limit).await.unwrap().await.unwrap();
    assert_eq!(again, Err(Elapsed { after: DAY }));
}

#[durable]
async fn joined_with_steps(ctx: Context) -> String {
    let slept = async {
        ctx.sleep(DAY).named("nap").await;
        "slept"
    };
    let (slept, noted) = tokio::join!(slept, ctx.run(note, "noted"));
    let mut all: FuturesUnordered<_> = [3_u32, 1, 2]
        .into_iter()
        .map(|days| {
            let ctx = &ctx;
            async move {
                ctx.sleep(days * DAY).await;
                days
            }
        })
        .collect();
    let mut order = String::new();
    while let Some(days) = all.next().await {
        order.push_str(&days.to_string());
    }
    format!("{slept} {noted} {order}")
}

#[test]
fn timers_are_explored() {
    let explored = testing::explore(joined_with_steps, ()).dependency_with(Effects::default).check(|world| {
        assert_eq!(world.output(), "slept noted 123");
        assert!(world.executions("note") >= 1);
    });
    assert!(explored.crashes > 300, "{explored}");
    let explored = testing::explore(reminder, ()).dependency_with(Effects::default).check(|world| {
        assert_eq!(world.output(), "remember");
    });
    assert!(explored.crashes > 100, "{explored}");
}

async fn takes_a_while() -> Result<u32, Failure> {
    Ok(7)
}

#[durable]
async fn step_against_time(ctx: Context) -> (Option<u32>, Timestamp) {
    let fetched = ctx.timeout(Duration::from_millis(30), ctx.run(takes_a_while)).await;
    (fetched.ok().and_then(Result::ok), ctx.now())
}

/// Whoever wins, and whatever the time is: it can be had without a crash, too.
#[test]
fn a_race_between_a_step_and_the_time_is_explored() {
    let (mut won, mut lost) = (0, 0);
    let explored = testing::explore(step_against_time, ()).check(|world| match world.output().0 {
        Some(_) => won += 1,
        None => lost += 1,
    });
    assert!(won > 100 && lost > 10, "won {won}, lost {lost}: {explored}");
}

#[test]
fn a_crash_between_a_timer_and_what_follows_is_scripted() {
    let world = testing::explore(reminder, ()).dependency_with(Effects::default).crash(Crash::Unsynced, "sleep").run();
    assert_eq!(
        world.journal().outline(),
        "started reminder null\nsleep [\"2592000s\"]: set\nrecovered\nsleep has fired\nnote [\"remember\"] = \"remember\"\nfinished \"remember\"\n"
    );
    assert_eq!((world.lives(), world.executions("note")), (2, 1));
}

/// R9: the length of a sleep is an argument.
#[durable]
async fn sleeps_otherwise_each_time(ctx: Context) {
    ctx.sleep(Duration::from_secs(NEXT.with(|next| next.replace(next.get() + 1)))).await;
}

thread_local! {
    static NEXT: std::cell::Cell<u64> = const { std::cell::Cell::new(1) };
}

#[tokio::test]
async fn r09_a_sleep_of_another_length_diverges() {
    if is_left_out("code that differs each time diverges before the crash") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", sleeps_otherwise_each_time, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;
    world.clock.advance(Duration::from_secs(1));
    let process = world.open().await;
    let error = process.runtime.attach("r", sleeps_otherwise_each_time).await.unwrap().await.unwrap_err();
    let RunError::Halted { halt: Halt { reason, message, .. }, .. } = error else { panic!("{error}") };
    assert_eq!(reason, HaltReason::Divergence);
    assert!(
        message.contains("timer `sleep`") && message.contains("[\"1s\"]") && message.contains("[\"2s\"]"),
        "{message}"
    );
}

/// R12: waiting for a time through many restarts is no crash loop.
#[tokio::test]
async fn r12_many_restarts_while_a_run_sleeps_are_no_crash_loop() {
    let mut world = World::default();
    world.limits.recoveries_without_progress = 3;
    let process = world.open().await;
    let due = world.clock.now().after(MONTH);
    process.runtime.start("r", reminder, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    process.crash().await;
    for _ in 0..10 {
        let process = world.open().await;
        world.asked_for(due).await;
        process.crash().await;
    }
    world.clock.advance(MONTH);
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", reminder).await.unwrap().await.unwrap(), "remember");
    let recoveries = process.runtime.get("r").await.unwrap().unwrap().recoveries;
    assert_eq!(recoveries, 0, "it was not in memory");
}

/// R5: a timer that is set shares the sync of the checkpoint before it.
#[durable]
async fn step_then_sleep(ctx: Context) -> String {
    let noted = ctx.run(note, "noted").await;
    ctx.sleep(DAY).await;
    noted
}

#[tokio::test]
async fn r05_a_timer_shares_the_sync_of_the_checkpoint_before_it() {
    if is_left_out("it counts commits") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", step_then_sleep, ()).await.unwrap();
    suspended(&process.runtime, "r").await;
    let commits = |count| {
        let runtime = process.runtime.clone();
        patiently("a commit", async move {
            while runtime.stats().commits < count {
                tokio::task::yield_now().await;
            }
            yield_often().await;
            runtime.stats().commits
        })
    };
    assert_eq!(commits(2).await, 2, "the start; the step's outcome with the timer");
    world.clock.advance(DAY);
    assert_eq!(run.await.unwrap(), "noted");
    assert_eq!(commits(4).await, 4, "that it goes on; the timer's end with the result");
}

#[durable]
async fn draws(ctx: Context) -> (Vec<u64>, String, String) {
    use rand::RngExt as _;
    let mut rng = ctx.rng();
    let mut drawn = vec![rng.random(), rng.random(), ctx.rng().random()];
    let id = ctx.uuid().to_string();
    ctx.run(at_gate, "drawn").await;
    drawn.push(rng.random());
    (drawn, id, ctx.uuid().to_string())
}

/// Also R2.
#[tokio::test]
async fn chance_is_the_same_on_replay_and_different_in_every_run() {
    let world = World::default();
    let process = world.open().await;
    for id in ["r", "s"] {
        process.runtime.start(id, draws, ()).await.unwrap().id();
    }
    world.gates.arrived("drawn", 2).await;
    process.crash().await;
    world.gates.open("drawn");
    let process = world.open().await;
    let mut all = std::collections::BTreeSet::new();
    for id in ["r", "s"] {
        let (drawn, first, second) = process.runtime.attach(id, draws).await.unwrap().await.unwrap();
        assert_eq!(process.runtime.verify(id).await.unwrap(), durable_runtime::Verification::Same);
        assert_eq!((first.len(), first.as_bytes()[14]), (36, b'4'), "version 4");
        all.extend(drawn.iter().map(u64::to_string));
        all.extend([first, second]);
    }
    assert_eq!(all.len(), 12, "nothing is drawn twice");
}
