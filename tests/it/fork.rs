//! `Runtime::fork`: a run that goes on from the middle of another one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::{
    AdminError, Clock as _, Context, FORK_KEYS_MAX, Failure, HaltReason, InvalidRunId, Journal, Payload,
    PromiseFailure, PromiseId, Retry, RunInfo, RunStatus, Runtime, StepContext, Timestamp, durable,
};
use durable_tests::{Effects, Kind, Loss, World, contents, journal, patiently, suspended, unsealed, yield_often};

use crate::steps::{gated, note};

const DAY: Duration = Duration::from_hours(24);

async fn second_time(step: StepContext) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() == 1 { Err("busy".to_owned()) } else { Ok(2) }
}

async fn once(step: StepContext, value: u32) -> Result<u32, Failure> {
    step.dependency::<Effects>().note(&step);
    Ok(value)
}

/// Has an operation of each kind, and tells them apart by what they are worth.
#[durable]
pub(crate) async fn of_all_kinds(ctx: Context, value: u32) -> Result<u32, String> {
    let first = ctx.run(note, value).await;
    ctx.sleep(Duration::from_secs(5)).await;
    let second = ctx.run(second_time).retry(Retry::fixed(Duration::from_secs(2))).await?;
    let third: u32 = ctx.signal("go").await;
    let ask = ctx.promise::<u32>("ask").timeout(DAY);
    let id = ask.id();
    ctx.run("letter", async || id.clone()).await;
    let fourth = ask.await.unwrap_or(0);
    let (fifth, sixth) = tokio::join!(ctx.run(note, 10), ctx.run(note, 20));
    let once = ctx.run(once, 100).at_most_once().await.unwrap_or(0);
    Ok(first + second + third + fourth + fifth + sixth + once)
}

/// Gives the run what it waits for, until it has ended.
pub(crate) async fn lead_to_its_end(world: &World, runtime: &Runtime, id: &str) -> RunInfo {
    patiently("the end of a run", async {
        loop {
            yield_often().await;
            let info = runtime.get(id).await.unwrap().unwrap();
            if !info.status.is_unfinished() {
                return info;
            }
            if !info.signals.iter().any(|signal| signal.name == "go") {
                runtime.signal(id, "go", &3_u32).await.unwrap();
            }
            world.clock.advance(Duration::from_secs(1));
            if let Some(letter) = info.steps.iter().find(|step| step.key == "letter") {
                let link: PromiseId = letter.output.as_ref().unwrap().decode().unwrap();
                let is_settled = runtime.resolve(&link, &4_u32).await.is_err();
                let open = info.promises.iter().find(|promise| promise.state.is_none());
                // The link is another run's: nobody can settle this one.
                if let Some(due) = open.and_then(|promise| promise.due).filter(|_| is_settled) {
                    world.clock.set(due);
                }
            }
        }
    })
    .await
}

/// Waits until the run is suspended, which one that others may send something to is only when it has rested for a while.
pub(crate) async fn rests(world: &World, runtime: &Runtime, id: &str) {
    patiently("a run that rests", async {
        while runtime.get(id).await.unwrap().unwrap().status != RunStatus::Suspended {
            world.clock.advance(Duration::from_secs(1));
            yield_often().await;
        }
    })
    .await;
}

fn result(info: &RunInfo) -> String {
    info.result.as_ref().map(Payload::text).unwrap_or_default()
}

/// The keys of the steps of a run that were executed, with how often.
fn executed(world: &World, id: &str) -> BTreeMap<String, usize> {
    let counts = world.effects.counts().into_iter();
    counts.filter_map(|(key, count)| Some((key.strip_prefix(&format!("{id}:"))?.to_owned(), count))).collect()
}

/// The keys of a journal's operations, in the order of their first records.
fn keys(journal: &Journal) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for line in journal.to_lines().lines() {
        if let Some((_, rest)) = line.split_once("\"key\":\"")
            && let Some((key, _)) = rest.split_once('"')
            && !line.starts_with("{\"PromiseSettled\"")
            && !keys.iter().any(|known| known == key)
        {
            keys.push(key.to_owned());
        }
    }
    keys
}

#[tokio::test]
async fn from_each_operation_a_fork_repeats_nothing_before_it_and_has_all_behind_it_once() {
    let temporary = tempfile::tempdir().unwrap();
    let world = World::default();
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    runtime.start("r", of_all_kinds, 1).await.unwrap().id();
    let original = lead_to_its_end(&world, &runtime, "r").await;
    assert_eq!(result(&original), "{\"Ok\":140}");
    let recorded = runtime.journal("r").await.unwrap().unwrap();
    let keys = keys(&recorded);
    assert_eq!(keys, ["note", "sleep", "second_time", "go", "letter", "ask", "note#2", "note#3", "once"]);
    let all = executed(&world, "r");

    let mut ends = Vec::new();
    for (number, from) in keys.iter().enumerate() {
        let id = format!("from {from}");
        world.clock.advance(DAY);
        runtime.fork("r", from, &id).await.unwrap();
        let info = lead_to_its_end(&world, &runtime, &id).await;
        // Nobody was sent the id of a promise that the fork had not asked for before it was handed out.
        assert_eq!(result(&info), if from == "ask" { "{\"Ok\":136}" } else { "{\"Ok\":140}" }, "{from}");
        let origin = info.forked_from.clone().unwrap();
        assert_eq!((origin.run.as_str(), &origin.from), ("r", from));
        let behind: BTreeMap<_, _> = all.clone().into_iter().filter(|(key, _)| !keys[..number].contains(key)).collect();
        assert_eq!(executed(&world, &id), behind, "{from}");
        assert!(info.started_at >= original.updated_at && info.updated_at >= info.started_at, "{from}");
        assert!(runtime.verify(&id).await.unwrap().fits(), "{from}");
        ends.push((id, info));
    }
    assert_eq!(runtime.journal("r").await.unwrap().unwrap(), recorded, "the run itself stays as it is");
    assert_eq!(executed(&world, "r"), all);
    assert!(runtime.verify_store().await.unwrap().is_sound());

    runtime.shutdown(Duration::ZERO).await;
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    for (id, info) in ends {
        assert_eq!(runtime.get(&id).await.unwrap().unwrap(), info, "{id}");
        assert!(runtime.verify(&id).await.unwrap().fits(), "{id}");
    }
    runtime.shutdown(Duration::ZERO).await;
}

/// Tells what it knows of itself to steps, before and behind each place where it could be forked.
#[durable]
async fn knows_itself(ctx: Context) -> Vec<String> {
    let mut known = Vec::new();
    for name in ["one", "two", "three"] {
        let promise = ctx.promise::<u32>("answer");
        let told = format!("{} {} {} {}", ctx.run_id(), ctx.uuid(), ctx.now().0, promise.id());
        let result = ctx.run(telling, &told).named(name).await;
        known.push(result);
    }
    known
}

async fn telling(step: StepContext, told: &str) -> String {
    step.dependency::<Effects>().note(&step);
    told.to_owned()
}

fn words(told: &str) -> Vec<&str> {
    told.split(' ').collect()
}

#[tokio::test]
async fn the_code_is_told_again_what_it_was_and_from_there_what_it_is() {
    let world = World::default();
    let process = world.open().await;
    let told = process.runtime.start("r", knows_itself, ()).await.unwrap().await.unwrap();
    world.clock.advance(DAY);
    process.runtime.fork("r", "two", "f").await.unwrap();
    let of_fork = process.runtime.attach("f", knows_itself).await.unwrap().await.unwrap();
    world.clock.advance(DAY);
    process.runtime.fork("f", "three", "g").await.unwrap();
    let of_next = process.runtime.attach("g", knows_itself).await.unwrap().await.unwrap();
    process.runtime.fork("g", "two", "h").await.unwrap();
    let of_last = process.runtime.attach("h", knows_itself).await.unwrap().await.unwrap();
    for all in [&of_fork, &of_next, &of_last] {
        assert_eq!(all[0], told[0]);
    }
    assert_eq!(of_next[1], of_fork[1]);
    for (told, run) in [(&of_fork[1], "f"), (&of_fork[2], "f"), (&of_next[2], "g"), (&of_last[1], "h")] {
        assert_eq!(words(told)[0], run);
    }
    // Its chance is another one from there on: two runs that hand out one id would be taken for one.
    for place in 1..3 {
        for (one, other) in [(&told, &of_fork), (&told, &of_last), (&of_fork, &of_last)] {
            assert_ne!(words(&one[place])[1], words(&other[place])[1], "{place}");
            assert_ne!(words(&one[place])[3], words(&other[place])[3], "{place}");
        }
    }
    assert_ne!(words(&of_next[2])[1], words(&of_fork[2])[1]);
    let forked_from = process.runtime.get("h").await.unwrap().unwrap().forked_from.unwrap();
    assert_eq!((forked_from.run.as_str(), forked_from.from.as_str(), forked_from.events), ("g", "two", 2));
    // The next lives are told the same: nothing is executed again.
    let executed = world.effects.keys().len();
    process.crash().await;
    let process = world.open().await;
    for id in ["f", "g", "h"] {
        assert!(process.runtime.verify(id).await.unwrap().fits(), "{id}");
    }
    assert_eq!(world.effects.keys().len(), executed);
}

async fn tells_again(step: StepContext, told: &str) -> Result<String, String> {
    if step.attempt() == 1 { Err(told.to_owned()) } else { Ok(told.to_owned()) }
}

#[durable]
async fn tries_beside(ctx: Context) -> Result<String, String> {
    let told = format!("{} {}", ctx.run_id(), ctx.uuid());
    let retry = Retry::fixed(Duration::from_secs(2));
    tokio::join!(ctx.run(tells_again, &told).retry(retry), ctx.run(gated, 1)).0
}

#[tokio::test]
async fn a_step_that_was_tried_before_the_place_is_tried_on_with_what_it_was_told() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let run = runtime.start("r", tries_beside, ()).await.unwrap();
    patiently("a failed attempt", async {
        while runtime.get("r").await.unwrap().unwrap().steps.is_empty() {
            yield_often().await;
        }
    })
    .await;
    world.gates.open("gated");
    world.clock.advance(Duration::from_secs(2));
    let told = run.await.unwrap().unwrap();
    runtime.fork("r", "gated", "f").await.unwrap();
    assert_eq!(runtime.attach("f", tries_beside).await.unwrap().await.unwrap(), Ok(told));
    let step = &runtime.get("f").await.unwrap().unwrap().steps[0];
    assert_eq!((step.key.as_str(), step.attempts), ("tells_again", 2));
}

#[durable]
async fn asks_for_more(ctx: Context) -> Vec<u32> {
    ctx.run(gated, 0).await;
    let mut given = vec![ctx.signal("item").await];
    ctx.run(note, 1).await;
    given.push(ctx.signal("item").await);
    ctx.run(note, 2).await;
    given.push(ctx.signal("item").await);
    given
}

#[tokio::test]
async fn a_fork_keeps_what_was_sent_before_but_for_what_is_asked_for_anew() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let run = runtime.start("r", asks_for_more, ()).await.unwrap();
    for (item, id) in [(1, "a"), (2, "b"), (3, "c")] {
        runtime.signal("r", "item", &item).id(id).await.unwrap();
    }
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), [1, 2, 3]);
    // The second was given to the second wait; the third one had been sent, and is still there.
    runtime.fork("r", "item#2", "f").await.unwrap();
    let forked = runtime.attach("f", asks_for_more).await.unwrap();
    let given = |kind: Kind| journal(&world.disk.memory, "f").into_iter().filter(|entry| entry.kind == kind).count();
    runtime.signal("f", "item", &9).id("d").await.unwrap();
    assert_eq!(forked.await.unwrap(), [1, 3, 9]);
    assert_eq!((given(Kind::SignalReceived), given(Kind::SignalTaken)), (3, 3));
    // One that was sent with the same id is a new one for the fork.
    runtime.fork("r", "item#2", "g").await.unwrap();
    let forked = runtime.attach("g", asks_for_more).await.unwrap();
    runtime.signal("g", "item", &8).id("b").await.unwrap();
    assert_eq!(forked.await.unwrap(), [1, 3, 8]);
    assert_eq!(world.effects.count("f:note"), 0);
    assert_eq!(world.effects.count("f:note#2"), 1);
}

#[durable]
async fn asks_somebody(ctx: Context) -> Result<u32, PromiseFailure> {
    let answer = ctx.promise::<u32>("answer").timeout(DAY);
    let id = answer.id();
    ctx.run("letter", async || id.clone()).await;
    answer.await
}

#[tokio::test]
async fn who_holds_the_link_of_a_run_does_not_settle_the_promise_of_its_fork() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let id = async |run: &str| -> PromiseId {
        rests(&world, runtime, run).await;
        let info = runtime.get(run).await.unwrap().unwrap();
        info.steps[0].output.as_ref().unwrap().decode().unwrap()
    };
    let run = runtime.start("r", asks_somebody, ()).await.unwrap();
    let link = id("r").await;
    runtime.resolve(&link, &1).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(1));

    runtime.fork("r", "letter", "f").await.unwrap();
    let link_of_fork = id("f").await;
    assert_ne!(link, link_of_fork);
    runtime.resolve(&link, &2).await.unwrap_err();
    runtime.resolve(&link_of_fork, &3).await.unwrap();
    assert_eq!(runtime.attach("f", asks_somebody).await.unwrap().await.unwrap(), Ok(3));

    // Behind the letter, the fork waits for somebody who has no link to it.
    runtime.fork("r", "answer", "g").await.unwrap();
    rests(&world, runtime, "g").await;
    world.clock.advance(DAY);
    assert_eq!(runtime.attach("g", asks_somebody).await.unwrap().await.unwrap(), Err(PromiseFailure::TimedOut));
}

#[durable]
async fn waits_at_a_gate(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    let second = ctx.run(gated, 10).await;
    first + second + ctx.run(note, 5).await
}

#[tokio::test]
async fn a_run_is_forked_in_whatever_state_it_is() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let run = runtime.start("r", waits_at_a_gate, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    assert!(matches!(runtime.fork("r", "gated", "f").await, Err(AdminError::NoSuchOperation { .. })));
    runtime.fork("r", "note", "running").await.unwrap();
    world.gates.arrived("gated", 2).await;
    runtime.cancel("r", "enough").await.unwrap();
    run.await.unwrap_err();
    runtime.fork("r", "note", "cancelled").await.unwrap();
    runtime.fork("running", "note", "fork of a fork").await.unwrap();
    world.gates.open("gated");
    for id in ["running", "cancelled", "fork of a fork"] {
        assert_eq!(runtime.attach(id, waits_at_a_gate).await.unwrap().await.unwrap(), 16, "{id}");
        assert_eq!(world.effects.count(&format!("{id}:note")), 1);
    }
}

#[tokio::test]
async fn a_death_before_the_place_does_not_count_for_the_fork() {
    let mut world = World::default();
    world.limits.recoveries_without_progress = 3;
    let process = world.open().await;
    process.runtime.start("r", waits_at_a_gate, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    let mut process = process;
    for life in 2..4 {
        process.crash().await;
        process = world.open().await;
        world.gates.arrived("gated", life).await;
    }
    world.gates.open("gated");
    process.runtime.attach("r", waits_at_a_gate).await.unwrap().await.unwrap();
    process.runtime.fork("r", "gated", "f").await.unwrap();
    assert_eq!(process.runtime.attach("f", waits_at_a_gate).await.unwrap().await.unwrap(), 16);
    let kinds: Vec<_> = journal(&world.disk.memory, "f").into_iter().map(|entry| entry.kind).collect();
    let step = Kind::StepCompleted;
    assert_eq!(kinds, [Kind::Started, step, Kind::Recovered, step, step, Kind::Finished]);
}

static IS_CHANGED: AtomicBool = AtomicBool::new(false);

/// Stands for code that was deployed in between.
#[durable]
async fn changed_meanwhile(ctx: Context) -> u32 {
    let name = if IS_CHANGED.load(Ordering::Acquire) { "new" } else { "old" };
    let first = ctx.run(note, 1).named(name).await;
    first + ctx.run(note, 2).named("second").await
}

#[durable]
async fn has_many(ctx: Context, count: u32) -> u32 {
    for value in 0..count {
        ctx.run(note, value).await;
    }
    count
}

#[tokio::test]
async fn a_fork_that_cannot_be_is_refused_with_its_reason_and_nothing_changes() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    world.gates.open("gated");
    for (id, count) in [("none", 0), ("few", 2), ("many", 30)] {
        runtime.start(id, has_many, count).await.unwrap().await.unwrap();
    }
    runtime.start("old", changed_meanwhile, ()).await.unwrap().await.unwrap();
    let lines = runtime.journal("few").await.unwrap().unwrap().to_lines();
    let foreign = unsealed(&lines).replace("\"few\"", "\"foreign\"").replace("\"has_many\"", "\"nobody_has_this\"");
    runtime.import(&Journal::from_lines(&foreign).unwrap()).await.unwrap();
    IS_CHANGED.store(true, Ordering::Release);
    let before = contents(&world.disk.memory);

    let refused = async |id: &str, from: &str, fork: &str| runtime.fork(id, from, fork).await.unwrap_err();
    assert!(matches!(refused("", "note", "f").await, AdminError::InvalidId(InvalidRunId::Empty)));
    assert!(matches!(refused("few", "note", "").await, AdminError::InvalidId(InvalidRunId::Empty)));
    assert_eq!(
        refused("missing", "note", "f").await.to_string(),
        "[D0140] there is no run missing: look for it with `Runtime::list`"
    );
    assert_eq!(
        refused("few", "charge", "f").await.to_string(),
        "[D0181] run few can't be forked from \"charge\", of which it has recorded nothing: take one of \"note\", \"note#2\""
    );
    assert!(refused("none", "note", "f").await.to_string().ends_with(": it has recorded no operation at all"));
    match refused("many", "note#31", "f").await {
        AdminError::NoSuchOperation { run, from, keys, more } => {
            assert_eq!((run.as_str(), from.as_str(), keys.len(), more), ("many", "note#31", FORK_KEYS_MAX, 10));
        }
        other => panic!("{other}"),
    }
    assert!(refused("many", "", "f").await.to_string().ends_with("note#20\" … and 10 more"));
    for taken in ["many", "few", "none"] {
        let error = refused("few", "note", taken).await;
        assert!(error.to_string().starts_with(&format!("[D0180] there is a run {taken} already")), "{error}");
    }
    match refused("old", "second", "f").await {
        AdminError::Unforkable { run, fork, halt } => {
            assert_eq!((run.as_str(), fork.as_str(), halt.reason), ("old", "f", HaltReason::Divergence));
        }
        other => panic!("{other}"),
    }
    match refused("foreign", "note", "f").await {
        AdminError::Unforkable { halt, .. } => assert_eq!(halt.reason, HaltReason::Unregistered),
        other => panic!("{other}"),
    }
    assert_eq!(contents(&world.disk.memory), before);
    // From the first operation on, the changed code may do as it likes.
    runtime.fork("old", "old", "f").await.unwrap();
    assert_eq!(runtime.attach("f", changed_meanwhile).await.unwrap().await.unwrap(), 3);
    assert_eq!(world.effects.count("f:new"), 1);
}

#[tokio::test]
async fn the_same_fork_again_is_the_same_run_and_another_one_is_told() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("r", has_many, 3).await.unwrap().await.unwrap();
    let forks = (0..20).map(|_| runtime.fork("r", "note#2", "f"));
    assert!(futures::future::join_all(forks).await.iter().all(Result::is_ok));
    assert_eq!(runtime.attach("f", has_many).await.unwrap().await.unwrap(), 3);
    runtime.fork("r", "note#2", "f").await.unwrap();
    assert_eq!(executed(&world, "f"), [("note#2".to_owned(), 1), ("note#3".to_owned(), 1)].into());
    assert!(matches!(runtime.fork("r", "note#3", "f").await, Err(AdminError::Taken { run }) if run.as_str() == "f"));
    assert!(matches!(runtime.fork("f", "note#2", "f").await, Err(AdminError::Taken { .. })));
    assert!(runtime.delete("r").await.unwrap());
    runtime.fork("r", "note#2", "f").await.unwrap();
    assert!(matches!(runtime.fork("r", "note#2", "g").await, Err(AdminError::Unknown { .. })));
}

#[tokio::test]
async fn a_fork_that_the_store_fails_is_there_whole_or_not_at_all_and_can_be_repeated() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        let process = world.open().await;
        process.runtime.start("r", has_many, 3).await.unwrap().await.unwrap();
        process.crash().await;
        let process = world.open_failing(0, loss).await;
        let error = process.runtime.fork("r", "note#3", "f").await.unwrap_err();
        assert!(matches!(error, AdminError::Store(_)), "{error}");
        process.crash().await;
        let process = world.open().await;
        assert_eq!(process.runtime.recovery().resumed, usize::from(loss == Loss::Acknowledgement));
        process.runtime.fork("r", "note#3", "f").await.unwrap();
        assert_eq!(process.runtime.attach("f", has_many).await.unwrap().await.unwrap(), 3);
        assert_eq!(executed(&world, "f"), [("note#3".to_owned(), 1)].into(), "{loss:?}");
        let clone = process.runtime.clone();
        process.runtime.shutdown(Duration::ZERO).await;
        assert!(clone.fork("r", "note#2", "g").await.is_err());
    }
}

#[durable]
async fn sleeps_beside(ctx: Context) -> u64 {
    let sleeps = async {
        ctx.sleep(DAY).await;
        ctx.now().0
    };
    let (woke_at, _) = tokio::join!(sleeps, ctx.run(note, 1));
    ctx.run(note, 2).await;
    woke_at
}

#[tokio::test]
async fn a_timer_that_is_set_keeps_its_time_in_the_fork() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let began: Timestamp = world.clock.now();
    runtime.start("r", sleeps_beside, ()).await.unwrap().id();
    suspended(runtime, "r").await;
    world.clock.advance(DAY / 2);
    let recorded = runtime.journal("r").await.unwrap().unwrap().to_lines();
    let (timer, step) = (recorded.find("\"TimerSet\""), recorded.find("\"StepCompleted\""));
    runtime.fork("r", if timer < step { "note" } else { "sleep" }, "f").await.unwrap();
    suspended(runtime, "f").await;
    assert_eq!(runtime.get("f").await.unwrap().unwrap().status, RunStatus::Suspended);
    world.clock.advance(DAY / 2);
    let expected = began.after(if timer < step { DAY } else { DAY + DAY / 2 });
    world.clock.set(expected);
    let woke_at = runtime.attach("f", sleeps_beside).await.unwrap().await.unwrap();
    assert_eq!(woke_at, expected.0);
}
