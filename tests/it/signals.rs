//! `ctx.signal` and `Runtime::signal`: what others send is kept, given out in order, and once.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::store::Store as _;
use durable_runtime::testing;
use durable_runtime::{
    Clock as _, Context, Elapsed, HaltReason, Limits, RunStatus, SIGNAL_ID_BYTES_MAX, SignalError, SignalSent,
    StepContext, Timestamp, durable,
};
use durable_tests::{Effects, Kind, Loss, Process, World, is_left_out, journal, patiently, suspended, yield_often};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Decision {
    by: String,
    approved: bool,
}

fn decision(by: &str) -> Decision {
    Decision { by: by.to_owned(), approved: true }
}

#[durable]
async fn signal_approval(ctx: Context) -> String {
    let first = ctx.signal::<Decision>("decision").await;
    ctx.run(note, 1).await;
    let second = ctx.signal::<Decision>("decision").await;
    format!("{} and {}", first.by, second.by)
}

async fn starts(world: &World) -> durable_tests::Process {
    let process = world.open().await;
    process.runtime.start("r", signal_approval, ()).await.unwrap().id();
    process
}

#[tokio::test]
async fn signals_are_buffered_and_given_out_in_order() {
    for waits in [false, true] {
        let world = World::default();
        let process = starts(&world).await;
        if waits {
            yield_often().await;
        }
        for by in ["Ada", "Grace", "Alan"] {
            let sent = process.runtime.signal("r", "decision", &decision(by)).await;
            assert!(matches!(sent, Ok(SignalSent::Recorded)), "{sent:?}");
            if by == "Grace" {
                break;
            }
        }
        let run = process.runtime.attach("r", signal_approval).await.unwrap();
        assert_eq!(run.await.unwrap(), "Ada and Grace");
        let info = process.runtime.get("r").await.unwrap().unwrap();
        let told: Vec<_> = info.signals.iter().map(|signal| (&*signal.name, signal.taken_by.as_deref())).collect();
        assert_eq!(told, [("decision", Some("decision")), ("decision", Some("decision#2"))]);
        assert_eq!(info.signals[0].value.text(), r#"{"by":"Ada","approved":true}"#);
    }
}

/// Peers' corner case: receive on replay does not consume another message.
#[tokio::test]
async fn a_replay_takes_no_other_signal() {
    let world = World::default();
    let process = starts(&world).await;
    process.runtime.signal("r", "decision", &decision("Ada")).await.unwrap();
    patiently("the step's outcome", async {
        while !journal(&world.disk.memory, "r").iter().any(|entry| entry.kind == Kind::StepCompleted) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.crash().await;
    for _ in 0..3 {
        let process = world.open().await;
        yield_often().await;
        process.crash().await;
    }
    let process = world.open().await;
    process.runtime.signal("r", "decision", &decision("Grace")).await.unwrap();
    let run = process.runtime.attach("r", signal_approval).await.unwrap();
    assert_eq!(run.await.unwrap(), "Ada and Grace");
    assert_eq!(world.effects.count("r:note"), 1);
    let taken = journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::SignalTaken).count();
    assert_eq!(taken, 2);
}

#[tokio::test]
async fn a_signal_with_an_id_is_recorded_once() {
    let world = World::default();
    let process = starts(&world).await;
    let send = |by: &'static str, id: &'static str| {
        let runtime = process.runtime.clone();
        async move { runtime.signal("r", "decision", &decision(by)).id(id).await }
    };
    assert_eq!(send("Ada", "one").await.unwrap(), SignalSent::Recorded);
    let both = futures::join!(send("Ada", "one"), send("Ada", "one"));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (SignalSent::Duplicate, SignalSent::Duplicate));
    let other = send("Grace", "one").await.unwrap_err();
    assert!(matches!(&other, SignalError::Conflict { id, .. } if id == "one"), "{other}");
    assert!(other.to_string().starts_with("[D0153] run r has received another signal under the id \"one\""), "{other}");
    let other_name = process.runtime.signal("r", "other", &decision("Ada")).id("one").await;
    assert!(matches!(other_name, Err(SignalError::Conflict { .. })));
    assert_eq!(send("Grace", "two").await.unwrap(), SignalSent::Recorded);
    let run = process.runtime.attach("r", signal_approval).await.unwrap();
    assert_eq!(run.await.unwrap(), "Ada and Grace");
    assert_eq!(send("Ada", "one").await.unwrap(), SignalSent::Duplicate, "also when the run has ended");
    assert!(matches!(send("Grace", "one").await, Err(SignalError::Finished { .. })));
    let received = journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::SignalReceived).count();
    assert_eq!(received, 2);
}

/// Acknowledged is durable: a crash right behind the answer loses nothing; without an answer it can be sent again.
#[tokio::test]
async fn s02_an_acknowledged_signal_survives_and_one_that_failed_can_be_sent_again() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        // The start, then the signal.
        let process = world.open_failing(1, loss).await;
        process.runtime.start("r", signal_approval, ()).await.unwrap().id();
        let sent = process.runtime.signal("r", "decision", &decision("Ada")).id("one").await;
        assert!(matches!(&sent, Err(SignalError::Store { .. })), "{loss:?}: {sent:?}");
        process.crash().await;
        let process = world.open().await;
        let sent = process.runtime.signal("r", "decision", &decision("Ada")).id("one").await.unwrap();
        let expected = if matches!(loss, Loss::Whole) { SignalSent::Recorded } else { SignalSent::Duplicate };
        assert_eq!(sent, expected);
        process.crash().await;
        let process = world.open().await;
        process.runtime.signal("r", "decision", &decision("Grace")).await.unwrap();
        let run = process.runtime.attach("r", signal_approval).await.unwrap();
        assert_eq!(run.await.unwrap(), "Ada and Grace");
    }
}

/// R14: a run that waits for signals leaves memory after a while, and is woken by one.
#[tokio::test]
async fn r14_a_signal_wakes_a_suspended_run() {
    let world = World::default();
    let process = starts(&world).await;
    let run = process.runtime.attach("r", signal_approval).await.unwrap();
    for (by, noted) in [("Ada", 0), ("Grace", 1)] {
        assert_eq!(world.effects.count("r:note"), noted);
        // It has to have come to rest before the time counts.
        loop {
            yield_often().await;
            if process.runtime.get("r").await.unwrap().unwrap().status == RunStatus::Suspended {
                break;
            }
            world.clock.advance(Duration::from_secs(1));
        }
        process.runtime.signal("r", "decision", &decision(by)).await.unwrap();
        while by == "Ada" && world.effects.count("r:note") == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(run.await.unwrap(), "Ada and Grace");
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().recoveries, 0);
}

/// Also after a restart, and also if the signal comes before anything of the run is in memory.
#[tokio::test]
async fn a_signal_to_a_run_that_is_in_the_store_only_is_recorded_there() {
    let world = World::default();
    let process = starts(&world).await;
    yield_often().await;
    process.runtime.shutdown(Duration::from_secs(1)).await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    assert_eq!(runtime.get("r").await.unwrap().unwrap().status, RunStatus::Suspended, "it only waits");
    runtime.signal("r", "decision", &decision("Ada")).id("one").await.unwrap();
    assert_eq!(runtime.signal("r", "decision", &decision("Ada")).id("one").await.unwrap(), SignalSent::Duplicate);
    yield_often().await;
    assert_eq!(world.effects.count("r:note"), 0, "it was not recovered yet");
    runtime.recover().await.unwrap();
    runtime.signal("r", "decision", &decision("Grace")).await.unwrap();
    let run = runtime.attach("r", signal_approval).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), "Ada and Grace");
    assert!(runtime.verify_store().await.unwrap().is_sound());
}

#[durable]
async fn signal_panics_once(ctx: Context) -> u32 {
    assert!(*MENDED.lock(), "not yet");
    ctx.signal::<u32>("number").await
}

static MENDED: Mutex<bool> = Mutex::new(false);

#[tokio::test]
async fn a_halted_run_gets_its_signals_when_it_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", signal_panics_once, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    process.runtime.signal("r", "number", &7).await.unwrap();
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt.unwrap().reason), (RunStatus::Halted, HaltReason::Panic));
    halted(process.runtime.attach("r", signal_panics_once).await.unwrap().await, HaltReason::Panic);
    *MENDED.lock() = true;
    process.runtime.resume("r").await.unwrap();
    assert_eq!(process.runtime.attach("r", signal_panics_once).await.unwrap().await.unwrap(), 7);
}

#[tokio::test]
async fn a_signal_that_nobody_can_receive_is_refused() {
    let world = World { limits: Limits { signals: 3, payload_bytes: 100, ..Limits::default() }, ..World::default() };
    let process = starts(&world).await;
    let runtime = &process.runtime;
    let unknown = runtime.signal("nobody", "decision", &1).await.unwrap_err();
    assert!(unknown.to_string().starts_with("[D0151] there is no run nobody"), "{unknown}");
    assert!(matches!(runtime.signal("", "decision", &1).await, Err(SignalError::InvalidId(_))));
    for name in ["", "a#2", &"x".repeat(1_025)] {
        let refused = runtime.signal("r", name, &1).await.unwrap_err();
        assert!(refused.to_string().starts_with("[D0150] "), "{refused}");
    }
    for id in [String::new(), "x".repeat(SIGNAL_ID_BYTES_MAX + 1)] {
        let refused = runtime.signal("r", "decision", &1).id(id).await.unwrap_err();
        assert!(refused.to_string().starts_with("[D0150] "), "{refused}");
    }
    let large = runtime.signal("r", "decision", &"x".repeat(100)).await.unwrap_err();
    assert!(matches!(large, SignalError::Value { .. }), "{large}");
    assert_eq!(journal(&world.disk.memory, "r").len(), 1, "nothing was changed");

    runtime.signal("r", "unasked", &1).await.unwrap();
    for by in ["Ada", "Grace"] {
        runtime.signal("r", "decision", &decision(by)).await.unwrap();
    }
    assert_eq!(runtime.attach("r", signal_approval).await.unwrap().await.unwrap(), "Ada and Grace");
    let finished = runtime.signal("r", "decision", &1).await.unwrap_err();
    assert_eq!(
        finished.to_string(),
        "[D0152] run r has ended (completed), and receives no signals any more: tell the sender that this one came too late"
    );
    let unasked = runtime.get("r").await.unwrap().unwrap().signals.remove(0);
    assert_eq!((unasked.name.as_str(), unasked.taken_by), ("unasked", None));

    runtime.start("full", signal_approval, ()).await.unwrap().id();
    for _ in 0..3 {
        runtime.signal("full", "unasked", &1).await.unwrap();
    }
    let full = runtime.signal("full", "unasked", &1).await.unwrap_err();
    assert!(full.to_string().starts_with("[D0154] run full has received 3 signals"), "{full}");
    let stopped = runtime.clone();
    process.crash().await;
    let late = stopped.signal("full", "unasked", &1).await.unwrap_err();
    assert!(late.to_string().starts_with("[D0155] "), "{late}");
}

#[tokio::test]
async fn r07_a_signal_of_another_type_halts_the_run_and_is_kept() {
    let world = World::default();
    let process = starts(&world).await;
    process.runtime.signal("r", "decision", &"yes").await.unwrap();
    let run = process.runtime.attach("r", signal_approval).await.unwrap();
    let halt = halted(run.await, HaltReason::Value);
    assert!(halt.message.contains(r#"the signal "decision" says "yes", which is no"#), "{halt}");
    assert!(halt.message.contains("Decision"), "{halt}");
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().signals.len(), 1);
}

#[durable]
async fn signal_misnamed(ctx: Context) -> u32 {
    ctx.signal("a#2").await
}

#[tokio::test]
async fn r10_a_name_that_no_signal_can_have_halts_the_run() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", signal_misnamed, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Misuse);
    assert!(halt.message.contains("`#` is kept for counting"), "{halt}");
}

/// Two waits for one name: who asked first is served first. A dropped wait takes nothing.
#[durable]
async fn signal_races(ctx: Context) -> (u32, u32, u32) {
    drop(ctx.signal::<u32>("number"));
    let (first, second) = (ctx.signal::<u32>("number"), ctx.signal::<u32>("number"));
    // Polled the other way round.
    let (second, first) = tokio::join!(second, first);
    // Mostly too late, and then it is given to the next one.
    match ctx.timeout(Duration::ZERO, ctx.signal::<u32>("number")).await {
        Ok(third) => (first, second, third),
        Err(_) => (first, second, ctx.signal::<u32>("number").await),
    }
}

#[test]
fn each_signal_is_given_once_to_who_asked_first() {
    let explored = testing::explore(signal_races, ())
        .signal("number", 1)
        .signal("number", 2)
        .signal_after(Duration::from_mins(1), "number", 3)
        .worlds_max(1_500)
        .seeds(0..100)
        .check(|world| assert_eq!(*world.output(), (1, 2, 3)));
    assert!(explored.crashes > 1_000, "{explored}");
}

async fn remind(step: StepContext) {
    step.dependency::<Effects>().note(&step);
}

/// What a human does, and does not.
#[durable]
async fn signal_or_time(ctx: Context) -> Result<u32, Elapsed> {
    let mut reminders = 0;
    loop {
        match ctx.timeout(DAY, ctx.signal::<u32>("answer")).await {
            Ok(answer) => return Ok(answer + reminders),
            Err(elapsed) if reminders == 2 => return Err(elapsed),
            Err(_) => {
                ctx.run(remind).await;
                reminders += 100;
            }
        }
        if reminders == 200 {
            return ctx.timeout(DAY, ctx.signal::<u32>("answer")).await;
        }
    }
}

#[test]
fn a_race_between_a_signal_and_the_time_is_explored() {
    for (hours, expected) in [(1, Ok(7)), (30, Ok(107)), (60, Ok(7)), (90, Err(Elapsed { after: DAY }))] {
        let explored = testing::explore(signal_or_time, ())
            .dependency_with(Effects::default)
            .signal_after(Duration::from_hours(hours), "answer", 7)
            .worlds_max(300)
            .seeds(0..50)
            // Clocks are set by an hour at the most, which decides no race.
            .check(move |world| assert_eq!(world.output(), &expected, "after {hours} hours"));
        assert!(explored.crashes > 300, "{explored}");
    }
}

#[test]
fn a_scripted_signal_is_sent_again_until_it_is_acknowledged() {
    let world = testing::explore(signal_approval, ())
        .dependency_with(Effects::default)
        .signal("decision", decision("Ada"))
        .signal("decision", decision("Grace"))
        .crash(testing::Crash::Unacknowledged, "SignalReceived")
        .run();
    assert_eq!((world.output().as_str(), world.lives()), ("Ada and Grace", 2));
}

#[durable]
async fn signal_and_steps(ctx: Context) -> u32 {
    let (value, stepped) = tokio::join!(ctx.signal::<u32>("number"), ctx.run(gated, 10));
    value + stepped
}

#[tokio::test]
async fn a_run_with_a_step_at_work_stays_in_memory() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", signal_and_steps, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    for _ in 0..5 {
        world.clock.advance(DAY);
        yield_often().await;
    }
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().status, RunStatus::Running);
    process.runtime.signal("r", "number", &1).await.unwrap();
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), 11);
}

#[durable]
async fn signal_sleeper(ctx: Context) -> u32 {
    ctx.sleep(DAY).await;
    ctx.signal::<u32>("number").await
}

/// Waits until the one run is suspended, and nothing but this time is to wake it.
async fn waits_only_until(world: &World, due: Timestamp) {
    patiently("a run that is suspended again", async {
        loop {
            let dues = world.disk.memory.due(Timestamp(u64::MAX), 10).unwrap();
            if dues.iter().map(|timer| timer.due).collect::<Vec<_>>() == [due] {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A process in which the one run was never in memory: it sleeps since an earlier one.
async fn sleeping_in_the_store(world: &World) -> Process {
    let earlier = world.open().await;
    drop(earlier.runtime.start("r", signal_sleeper, ()).await.unwrap());
    suspended(&earlier.runtime, "r").await;
    earlier.crash().await;
    world.open().await
}

/// One that comes before it is asked for wakes the run once, and not again.
#[tokio::test]
async fn a_signal_that_is_not_asked_for_yet_wakes_the_run_once() {
    let world = World::default();
    let began = world.clock.now();
    let process = sleeping_in_the_store(&world).await;
    process.runtime.signal("r", "number", &7).await.unwrap();
    waits_only_until(&world, began.after(DAY)).await;
    let commits = process.runtime.stats().commits;
    yield_often().await;
    assert_eq!(process.runtime.stats().commits, commits, "it is woken again and again");
    world.clock.advance(DAY);
    assert_eq!(process.runtime.start("r", signal_sleeper, ()).await.unwrap().await.unwrap(), 7);
}

/// Nor does it when the store was asked what is due before the run had seen the signal, and answers after.
#[tokio::test]
async fn an_answer_that_is_late_wakes_no_run_that_has_seen_its_signal() {
    let world = World::default();
    let began = world.clock.now();
    let process = sleeping_in_the_store(&world).await;
    process.handle.asked_for_next().await;
    process.handle.answer_dues(0);
    process.runtime.signal("r", "number", &7).await.unwrap();
    process.handle.held_dues().await;
    // The first answer wakes it, the second one is from before that was written.
    process.handle.hold();
    process.handle.answer_dues(1);
    process.handle.held().await;
    process.handle.held_dues().await;
    process.handle.release();
    waits_only_until(&world, began.after(DAY)).await;
    yield_often().await;
    let commits = process.runtime.stats().commits;
    process.handle.answer_dues(usize::MAX);
    yield_often().await;
    assert_eq!(process.runtime.stats().commits, commits, "it is woken by what it has seen");
    world.clock.advance(DAY);
    assert_eq!(process.runtime.start("r", signal_sleeper, ()).await.unwrap().await.unwrap(), 7);
}

/// What came in time, and what came behind it.
#[durable]
async fn signal_or_nothing(ctx: Context) -> (Option<u32>, u32) {
    let in_time = ctx.timeout(DAY, ctx.signal::<u32>("number")).await.ok();
    ctx.run(gated, 1).await;
    (in_time, ctx.signal::<u32>("number").await)
}

/// Peers' corner case: timeout-to-nothing replays as nothing.
#[tokio::test]
async fn a_timeout_to_nothing_replays_as_nothing_though_the_signal_has_come_since() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", signal_or_nothing, ()).await.unwrap().id();
    let due = world.clock.now().after(DAY);
    world.asked_for(world.clock.now().after(Duration::from_secs(1))).await;
    world.clock.set(due);
    world.gates.arrived("gated", 1).await;
    process.runtime.signal("r", "number", &7).await.unwrap();
    process.crash().await;
    for lives in 2..4 {
        process_again(&world, lives).await;
    }
    world.gates.open("gated");
    let process = world.open().await;
    let run = process.runtime.attach("r", signal_or_nothing).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), (None, 7));
}

/// A process that comes to the gate again, and dies there.
async fn process_again(world: &World, lives: usize) {
    let process = world.open().await;
    world.gates.arrived("gated", lives).await;
    process.crash().await;
}
