//! `ctx.promise`, `Runtime::resolve` and `Runtime::reject`: settled once, by whoever is first.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{
    Context, HaltReason, Limits, PromiseError, PromiseFailure, PromiseId, PromiseInfo, PromiseState, RunStatus,
    Runtime, StartError, durable,
};
use durable_tests::{Effects, Kind, Loss, World, is_left_out, journal, patiently, yield_often};

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);

type Answered = Result<u32, PromiseFailure>;

/// The id is in the outcome of the step, as it would be in a letter.
#[durable]
async fn promise_by_letter(ctx: Context) -> Answered {
    let answer = ctx.promise::<u32>("answer");
    let id = answer.id();
    ctx.run("letter", async || id.clone()).await;
    let answered = answer.await;
    ctx.run(note, 1).await;
    answered
}

#[durable]
async fn promise_for_a_day(ctx: Context) -> Answered {
    let answer = ctx.promise::<u32>("answer").timeout(DAY);
    let id = answer.id();
    ctx.run("letter", async || id.clone()).await;
    answer.await
}

/// What is in the letter.
async fn letter(runtime: &Runtime, run: &str) -> PromiseId {
    patiently("the letter", async {
        loop {
            let info = runtime.get(run).await.unwrap().unwrap();
            if let Some(id) = info.steps.first().and_then(|step| step.output.as_ref()) {
                return id.decode().unwrap();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn promised(runtime: &Runtime) -> PromiseInfo {
    runtime.get("r").await.unwrap().unwrap().promises.remove(0)
}

/// It is suspended once it has rested for a while, which begins when it has come to rest.
async fn rests(world: &World, runtime: &Runtime) {
    loop {
        yield_often().await;
        if runtime.get("r").await.unwrap().unwrap().status == RunStatus::Suspended {
            return;
        }
        world.clock.advance(Duration::from_secs(1));
    }
}

fn state(settled: Result<(), PromiseError>) -> (PromiseState, bool) {
    match settled {
        Err(PromiseError::Settled { state, as_asked, .. }) => (state, as_asked),
        other => panic!("it was settled before: {other:?}"),
    }
}

#[tokio::test]
async fn the_first_who_settles_a_promise_wins_and_the_others_are_told() {
    for resolves in [true, false] {
        let world = World::default();
        let process = world.open().await;
        let run = process.runtime.start("r", promise_by_letter, ()).await.unwrap();
        let runtime = &process.runtime;
        let id = letter(runtime, "r").await;
        let (expected, told) = if resolves {
            runtime.resolve(&id, &7).await.unwrap();
            (Ok(7), (PromiseState::Resolved, true))
        } else {
            runtime.reject(&id, "no").await.unwrap();
            (Err(PromiseFailure::Rejected("no".to_owned())), (PromiseState::Rejected, true))
        };
        let late = (runtime.resolve(&id, &7).await, runtime.reject(&id, "no").await);
        assert_eq!(state(if resolves { late.0 } else { late.1 }), told);
        assert_eq!(state(runtime.resolve(&id, &8).await), (told.0, false));
        assert_eq!(state(runtime.reject(&id, "never").await), (told.0, false));
        assert_eq!(run.await.unwrap(), expected);
        assert_eq!(state(runtime.resolve(&id, &8).await), (told.0, false), "also when the run has ended");
        let error = runtime.resolve(id.to_string(), &8).await.unwrap_err().to_string();
        let how = if resolves { "resolved" } else { "rejected" };
        assert_eq!(error, format!("[D0163] the promise answer of run r is settled already: {how}. It stays so"));
        let info = promised(runtime).await;
        assert_eq!((info.key.as_str(), info.state, info.is_taken), ("answer", Some(told.0), true));
        assert_eq!(info.value.map(|value| value.text()), resolves.then(|| "7".to_owned()));
        assert_eq!(info.reason.as_deref(), (!resolves).then_some("no"));
        let settled =
            journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::PromiseSettled).count();
        assert_eq!(settled, 1);
    }
}

#[tokio::test]
async fn of_many_at_once_one_wins() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", promise_by_letter, ()).await.unwrap();
    let id = letter(&process.runtime, "r").await;
    let settling = (0..20).map(|number| process.runtime.resolve(&id, if number % 2 == 0 { &1 } else { &2 }));
    let settled = futures::future::join_all(settling).await;
    assert_eq!(settled.iter().filter(|settled| settled.is_ok()).count(), 1);
    let won = run.await.unwrap().unwrap();
    let as_asked = settled.into_iter().filter(Result::is_err).map(state).filter(|(_, as_asked)| *as_asked).count();
    assert!(won == 1 || won == 2);
    assert_eq!(as_asked, 9, "those who wanted the same");
}

/// The id is the same in every life, and no other run's.
#[tokio::test]
async fn the_id_of_a_promise_is_stable_and_its_own() {
    let world = World::default();
    let process = world.open().await;
    for run in ["r", "other", "with spaces / and ünicode \u{0}"] {
        process.runtime.start(run, promise_by_letter, ()).await.unwrap().id();
    }
    let id = letter(&process.runtime, "r").await;
    let other = letter(&process.runtime, "other").await;
    let odd = letter(&process.runtime, "with spaces / and ünicode \u{0}").await;
    assert_eq!([&id, &other, &odd].iter().filter(|known| ***known == id).count(), 1);
    for id in [&id, &odd] {
        assert!(id.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{id}");
        assert_eq!(id.to_string().parse::<PromiseId>().unwrap(), *id);
    }
    process.crash().await;
    let process = world.open().await;
    process.runtime.resolve(&odd, &1).await.unwrap();
    process.runtime.resolve(&id, &2).await.unwrap();
    let run = process.runtime.attach("r", promise_by_letter).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(2));
}

/// Acknowledged is durable; without an answer it can be tried again.
#[tokio::test]
async fn s02_a_promise_that_was_settled_stays_so_and_one_that_failed_can_be_settled_again() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        // The start, the letter, and then that it is resolved.
        let process = world.open_failing(2, loss).await;
        process.runtime.start("r", promise_by_letter, ()).await.unwrap().id();
        let id = letter(&process.runtime, "r").await;
        let settled = process.runtime.resolve(&id, &7).await;
        assert!(matches!(&settled, Err(PromiseError::Store { .. })), "{loss:?}: {settled:?}");
        process.crash().await;
        let process = world.open().await;
        let again = process.runtime.resolve(&id, &7).await;
        match loss {
            Loss::Whole => again.unwrap(),
            Loss::Acknowledgement => assert_eq!(state(again), (PromiseState::Resolved, true)),
        }
        process.crash().await;
        let process = world.open().await;
        let run = process.runtime.attach("r", promise_by_letter).await.unwrap();
        assert_eq!(run.await.unwrap(), Ok(7));
    }
}

#[tokio::test]
async fn r14_a_promise_wakes_a_suspended_run() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", promise_by_letter, ()).await.unwrap();
    let id = letter(&process.runtime, "r").await;
    rests(&world, &process.runtime).await;
    process.runtime.resolve(&id, &7).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(7));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

/// Nobody has the run in memory, and it learns of it when it is recovered.
#[tokio::test]
async fn a_promise_of_a_run_that_is_in_the_store_only_is_settled_there() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", promise_for_a_day, ()).await.unwrap().id();
    let id = letter(&process.runtime, "r").await;
    yield_often().await;
    process.runtime.shutdown(Duration::from_secs(1)).await;
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    runtime.resolve(&id, &7).await.unwrap();
    assert_eq!(state(runtime.reject(&id, "no").await), (PromiseState::Resolved, false));
    // Whoever is recorded first wins, also over a time that has passed while nobody looked.
    world.clock.advance(2 * DAY);
    runtime.recover().await.unwrap();
    let run = runtime.attach("r", promise_for_a_day).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(7));
    assert!(runtime.verify_store().await.unwrap().is_sound());
}

/// The time is one of those who may settle it: whoever comes later is told that it was too late.
#[tokio::test]
async fn a_promise_that_nobody_settles_in_time_is_timed_out_for_everybody() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", promise_for_a_day, ()).await.unwrap();
    let id = letter(&process.runtime, "r").await;
    rests(&world, &process.runtime).await;
    let began = process.runtime.get("r").await.unwrap().unwrap().started_at;
    assert_eq!(
        (promised(&process.runtime).await.state, promised(&process.runtime).await.due),
        (None, Some(began.after(DAY)))
    );
    world.clock.advance(DAY);
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Err(PromiseFailure::TimedOut));
    let late = process.runtime.resolve(&id, &7).await.unwrap_err();
    assert!(
        matches!(&late, PromiseError::Settled { state: PromiseState::TimedOut, at, .. } if *at == began.after(DAY)),
        "{late}"
    );
    let info = promised(&process.runtime).await;
    assert_eq!((info.state, info.is_taken), (Some(PromiseState::TimedOut), true));
}

/// `timeout` of the context ends the wait only.
#[durable]
async fn promise_given_up(ctx: Context) -> Answered {
    let answer = ctx.promise::<u32>("answer");
    let id = answer.id();
    ctx.run("letter", async || id.clone()).await;
    let first = ctx.timeout(DAY, answer).await;
    ctx.signal::<()>("on").await;
    first.unwrap_or(Ok(0))
}

#[tokio::test]
async fn a_promise_that_was_dropped_can_be_settled_and_is_told_to_nobody() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", promise_given_up, ()).await.unwrap();
    let id = letter(&process.runtime, "r").await;
    rests(&world, &process.runtime).await;
    world.clock.advance(DAY);
    patiently("the timeout", async {
        while !journal(&world.disk.memory, "r").iter().any(|entry| entry.kind == Kind::TimerFired) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.runtime.resolve(&id, &7).await.unwrap();
    process.runtime.signal("r", "on", &()).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(0));
    assert!(!promised(&process.runtime).await.is_taken);
}

#[tokio::test]
async fn a_promise_that_nobody_can_settle_is_refused() {
    let world = World { limits: Limits { payload_bytes: 100, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("r", promise_by_letter, ()).await.unwrap().id();
    let id = letter(runtime, "r").await;
    let cut = &id.as_str()[..id.as_str().len() / 3];
    for text in ["", "answer", "r:answer", cut, &"A".repeat(5_000)] {
        let refused = runtime.resolve(text, &1).await.unwrap_err();
        assert!(refused.to_string().starts_with("[D0160] this is not the id of a promise"), "{refused}");
    }
    // One that somebody has made up, or mistyped.
    let mut guessed = id.to_string();
    guessed.replace_range(..1, if guessed.starts_with('A') { "B" } else { "A" });
    let unknown = runtime.resolve(&guessed, &1).await.unwrap_err();
    assert!(unknown.to_string().starts_with("[D0161] there is no promise with this id"), "{unknown}");
    let large = runtime.resolve(&id, &"x".repeat(100)).await.unwrap_err();
    assert!(matches!(large, PromiseError::Value { .. }), "{large}");
    assert!(matches!(runtime.reject(&id, "x".repeat(100)).await, Err(PromiseError::Value { .. })));
    assert!(!journal(&world.disk.memory, "r").iter().any(|entry| entry.kind == Kind::PromiseSettled));

    runtime.resolve(&id, &1).await.unwrap();
    runtime.attach("r", promise_by_letter).await.unwrap().await.unwrap().unwrap();
    runtime.delete("r").await.unwrap();
    let deleted = runtime.resolve(&id, &1).await.unwrap_err();
    assert!(deleted.to_string().starts_with("[D0161] "), "{deleted}");
    // Another run under the same id does not know it.
    runtime.start("r", promise_by_letter, ()).await.unwrap().id();
    assert!(matches!(runtime.resolve(&id, &1).await, Err(PromiseError::Unknown { .. })));

    let run = runtime.start("drops", promise_unheeded, ()).await.unwrap();
    let unheeded = run.await.unwrap();
    let finished = runtime.resolve(&unheeded, &1).await.unwrap_err();
    assert_eq!(
        finished.to_string(),
        "[D0162] run drops has ended (completed), and nobody needs its promise answer any more"
    );
    let stopped = runtime.clone();
    process.crash().await;
    let late = stopped.resolve(&id, &1).await.unwrap_err();
    assert!(late.to_string().starts_with("[D0164] "), "{late}");
}

#[durable]
async fn promise_unheeded(ctx: Context) -> PromiseId {
    ctx.promise::<()>("answer").id()
}

#[tokio::test]
async fn r07_a_promise_of_another_type_halts_the_run_and_is_kept() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", promise_by_letter, ()).await.unwrap();
    let id = letter(&process.runtime, "r").await;
    process.runtime.resolve(&id, &"yes").await.unwrap();
    let halt = halted(run.await, HaltReason::Value);
    assert!(halt.message.contains(r#"the promise was resolved with "yes", which is no u32"#), "{halt}");
    assert_eq!(promised(&process.runtime).await.state, Some(PromiseState::Resolved));
}

#[durable]
async fn promises_that_race(ctx: Context) -> (Answered, Answered, Answered) {
    drop(ctx.promise::<u32>("answer"));
    let (second, third) = (ctx.promise::<u32>("answer"), ctx.promise::<u32>("answer").timeout(DAY));
    let (third, second) = tokio::join!(third, second);
    ctx.run(note, 1).await;
    (second, third, ctx.promise::<u32>("settled before").await)
}

#[test]
fn promises_are_explored() {
    for (hours, third) in [(1, Ok(3)), (60, Err(PromiseFailure::TimedOut))] {
        let explored = testing::explore(promises_that_race, ())
            .dependency_with(Effects::default)
            .resolve(Duration::ZERO, "settled before", 4)
            .resolve(Duration::from_hours(hours), "answer#3", 3)
            .reject(Duration::from_hours(hours + 1), "answer#2", "no")
            .worlds_max(1_500)
            .seeds(0..100)
            .check(move |world| {
                let second = Err(PromiseFailure::Rejected("no".to_owned()));
                assert_eq!(*world.output(), (second, third.clone(), Ok(4)));
            });
        assert!(explored.crashes > 600, "{explored}");
    }
}

#[test]
fn a_scripted_promise_is_settled_again_until_that_is_acknowledged() {
    let world = testing::explore(promise_for_a_day, ())
        .resolve(Duration::from_hours(1), "answer", 7)
        .crash(Crash::Unacknowledged, "PromiseSettled")
        .run();
    assert_eq!((world.output(), world.lives()), (&Ok(7), 2));
}

/// What comes while a step runs, during which the runtime is shut down: the run is not said to wait for it then.
#[durable]
async fn promise_behind_a_step(ctx: Context, has_time: bool) -> Answered {
    let mut answer = ctx.promise::<u32>("answer");
    if has_time {
        answer = answer.timeout(DAY);
    }
    let id = answer.id();
    ctx.run("letter", async || id.clone()).await;
    ctx.run(gated, 1).await;
    answer.await
}

#[durable]
async fn signal_behind_a_step(ctx: Context) -> u32 {
    ctx.run(gated, 1).await;
    ctx.signal::<u32>("number").await
}

/// A runtime that shuts down in order, while the gate opens.
async fn shuts_down(world: &World, runtime: &Runtime) {
    world.gates.arrived("gated", 1).await;
    let shutdown = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.shutdown(Duration::from_hours(1)).await }
    });
    yield_often().await;
    world.gates.open("gated");
    patiently("the shutdown", shutdown).await.unwrap();
}

#[tokio::test]
async fn r14_a_shutdown_does_not_forget_what_was_there_for_the_code() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", promise_behind_a_step, false).await.unwrap().id();
    let id = letter(&process.runtime, "r").await;
    world.gates.arrived("gated", 1).await;
    process.runtime.resolve(&id, &7).await.unwrap();
    shuts_down(&world, &process.runtime).await;
    let process = world.open().await;
    let run = process.runtime.attach("r", promise_behind_a_step).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(7));

    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", signal_behind_a_step, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.runtime.signal("r", "number", &7_u32).await.unwrap();
    shuts_down(&world, &process.runtime).await;
    let process = world.open().await;
    let run = process.runtime.attach("r", signal_behind_a_step).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), 7);
}

#[tokio::test]
async fn r14_a_shutdown_does_not_forget_the_time_of_a_promise() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", promise_behind_a_step, true).await.unwrap().id();
    shuts_down(&world, &process.runtime).await;
    let process = world.open().await;
    let run = process.runtime.attach("r", promise_behind_a_step).await.unwrap();
    patiently("the time", async {
        while process.runtime.get("r").await.unwrap().unwrap().promises.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.clock.advance(DAY);
    rests_or_ends(&world, &process.runtime).await;
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Err(PromiseFailure::TimedOut));
}

async fn rests_or_ends(world: &World, runtime: &Runtime) {
    while runtime.get("r").await.unwrap().unwrap().status == RunStatus::Running {
        world.clock.advance(Duration::from_secs(1));
        yield_often().await;
    }
}

/// R1, also while somebody settles a promise of a run that nobody else has in memory.
#[tokio::test]
async fn r01_a_run_whose_promise_is_being_settled_is_the_same_run() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", promise_behind_a_step, false).await.unwrap().id();
    world.gates.open("gated");
    let id = letter(&process.runtime, "r").await;
    rests(&world, &process.runtime).await;
    process.handle.hold();
    let resolving = tokio::spawn({
        let (runtime, id) = (process.runtime.clone(), id.clone());
        async move { runtime.resolve(&id, &7).await }
    });
    process.handle.held().await;
    let started = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.start("r", promise_behind_a_step, true).await.map(drop) }
    });
    yield_often().await;
    process.handle.release();
    resolving.await.unwrap().unwrap();
    let refused = started.await.unwrap().unwrap_err();
    assert!(matches!(refused, StartError::OtherInput { .. }), "{refused}");
}
