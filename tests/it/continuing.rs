//! `ctx.continue_as_new`: one run for ever, with a journal that begins anew, and nothing lost in between.

use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{
    Context, HaltReason, Limits, PromiseError, Queue, RunError, RunFilter, RunInfo, RunStatus, Runtime, SignalSent,
    StartError, Verification, durable,
};
use durable_tests::{Effects, Kind, Loss, World, is_left_out, journal, patiently, suspended, yield_often};
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::steps::{gated, halted, note};

const HOUR: Duration = Duration::from_hours(1);

/// Adds up what it is sent, two at a time, until it is sent nothing.
#[durable]
async fn adds_up(ctx: Context, mut total: u32) -> u32 {
    for _ in 0..2 {
        let number = ctx.signal::<u32>("number").await;
        if number == 0 {
            return total;
        }
        total += ctx.run(note, number).await;
    }
    ctx.publish("total", &total);
    ctx.continue_as_new(total).await
}

async fn info(runtime: &Runtime, run: &str) -> RunInfo {
    runtime.get(run).await.unwrap().expect("it was started")
}

/// Waits until the run has continued as new so often.
async fn has_continued(runtime: &Runtime, run: &str, times: u64) {
    patiently("the next part", async {
        while info(runtime, run).await.continued < times {
            yield_often().await;
        }
    })
    .await;
}

async fn send(runtime: &Runtime, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        runtime.signal("r", "number", &number).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_goes_on_with_another_input_and_its_journal_begins_anew() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", adds_up, 0).tag("of", "ada").await.unwrap();
    send(&process.runtime, [1, 2, 3, 4, 5, 0]).await;
    assert_eq!(patiently("the run", run).await.unwrap(), 15);
    assert_eq!(world.effects.keys(), ["r:note", "r:note#2", "r:note@2", "r:note#2@2", "r:note@3"]);
    let info = info(&process.runtime, "r").await;
    assert_eq!((info.continued, info.input.text(), info.status), (2, "10".to_owned(), RunStatus::Completed));
    assert_eq!((info.tags["of"].as_str(), info.steps.len(), info.signals.len()), ("ada", 1, 2));
    assert_eq!((info.published[0].number, info.published[0].value.text()), (1, "10".to_owned()));
    let found = process.runtime.list(&RunFilter::default().tag("of", "ada"), None, 9).await.unwrap();
    assert_eq!(found.runs.len(), 1);
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    assert_eq!(process.runtime.verify("r").await.unwrap(), Verification::Same);
    let outline = process.runtime.journal("r").await.unwrap().unwrap().outline();
    assert!(outline.starts_with("continued as new adds_up 10\ntotal had published 10\nsignal number 5\n"), "{outline}");
}

#[tokio::test]
async fn it_goes_on_where_it_was_after_a_restart_and_leaves_memory_meanwhile() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", adds_up, 0).await.unwrap().id();
    let mut process = process;
    for round in 1..=6 {
        send(&process.runtime, [1]).await;
        patiently("the step's outcome", async {
            loop {
                let info = info(&process.runtime, "r").await;
                if info.continued * 2 + info.steps.len() as u64 == round {
                    break;
                }
                yield_often().await;
            }
        })
        .await;
        process.crash().await;
        process = world.open().await;
    }
    let run = process.runtime.attach("r", adds_up).await.unwrap();
    has_continued(&process.runtime, "r", 3).await;
    send(&process.runtime, [0]).await;
    assert_eq!(patiently("the run", run).await.unwrap(), 6);
    assert_eq!(world.effects.keys().len(), 6);
}

#[tokio::test]
async fn r01_started_again_with_its_first_input_it_is_found() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", adds_up, 7).await.unwrap().id();
    send(&process.runtime, [1, 2]).await;
    has_continued(&process.runtime, "r", 1).await;
    let mut process = process;
    for _ in 0..2 {
        process.runtime.start("r", adds_up, 7).await.unwrap().id();
        let other = process.runtime.start("r", adds_up, 10).await.unwrap_err();
        assert!(
            matches!(&other, StartError::OtherInput { recorded, given, .. } if recorded == "7" && given == "10"),
            "{other}"
        );
        process.crash().await;
        process = world.open().await;
    }
}

/// Peers' corner case: continue-as-new ignores old completions.
#[durable]
async fn continues_beside_a_step(ctx: Context, part: u32) -> u32 {
    if part == 2 {
        return ctx.run(note, part).named("gated").await;
    }
    let (number, ()) = tokio::join!(ctx.run(gated, part), async {
        ctx.run(note, part).await;
        ctx.continue_as_new(part + 1).await;
    });
    number
}

#[tokio::test]
async fn continue_as_new_ignores_old_completions() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continues_beside_a_step, 1).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 2, "it does not wait for what else it waited for");
    world.gates.open("gated");
    yield_often().await;
    assert_eq!(world.effects.keys(), ["r:gated", "r:note", "r:gated@2"]);
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::StepCompleted, Kind::Finished]);
}

#[tokio::test]
async fn a_signal_that_is_sent_again_is_known_in_the_parts_behind() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", adds_up, 0).await.unwrap();
    let signal = async |id: &str, number: u32| process.runtime.signal("r", "number", &number).id(id).await;
    for (id, number) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
        assert_eq!(signal(id, number).await.unwrap(), SignalSent::Recorded);
    }
    for (id, number) in [("a", 1), ("d", 4), ("e", 5)] {
        assert_eq!(signal(id, number).await.unwrap(), SignalSent::Duplicate, "{id}");
    }
    signal("a", 2).await.unwrap_err();
    signal("f", 0).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 15);
}

#[tokio::test]
async fn who_follows_it_is_told_all_and_the_numbers_go_on() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", adds_up, 0).await.unwrap();
    let mut follow = process.runtime.follow::<u32>("r", "total", 0);
    for (number, total) in [(0, 2), (1, 4), (2, 6)] {
        send(&process.runtime, [1, 1]).await;
        assert_eq!(patiently("a value", follow.next()).await.unwrap().unwrap(), (number, total));
    }
    // In between nobody looks.
    send(&process.runtime, [1; 5]).await;
    send(&process.runtime, [0]).await;
    assert_eq!(patiently("the run", run).await.unwrap(), 11);
    assert_eq!(follow.collect::<Vec<_>>().await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [(4, 10)]);
    assert_eq!(process.runtime.published::<u32>("r", "total").await.unwrap(), Some(10));
    let from =
        async |from| process.runtime.follow::<u32>("r", "total", from).map(Result::unwrap).collect::<Vec<_>>().await;
    assert_eq!((from(0).await, from(4).await, from(5).await), (vec![(4, 10)], vec![(4, 10)], vec![]));
}

#[tokio::test]
async fn a_fork_of_a_later_part_is_in_that_part() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", adds_up, 0).await.unwrap();
    send(&process.runtime, [1, 2, 3, 4, 5, 0]).await;
    assert_eq!(patiently("the run", run).await.unwrap(), 15);
    process.runtime.fork("r", "note", "f").await.unwrap();
    process.runtime.signal("f", "number", &0).await.unwrap();
    let fork = process.runtime.attach("f", adds_up).await.unwrap();
    assert_eq!(patiently("the fork", fork).await.unwrap(), 15);
    assert_eq!(world.effects.keys()[5..], ["f:note@3"]);
    let info = info(&process.runtime, "f").await;
    assert_eq!((info.continued, info.input.text(), info.published[0].number), (2, "10".to_owned(), 1));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

/// What was read before it has continued is not told again.
#[tokio::test]
async fn who_has_read_a_value_is_not_told_it_again_by_the_next_part() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continues_and_publishes, 1).await.unwrap();
    let mut follow = process.runtime.follow::<u32>("r", "part", 0);
    for part in 1..=3 {
        let read = patiently("a value", follow.next()).await.unwrap().unwrap();
        assert_eq!(read, (u64::from(part) - 1, part));
        process.runtime.signal("r", "go", &part).await.unwrap();
    }
    assert_eq!(patiently("the run", run).await.unwrap(), 6);
    assert!(follow.next().await.is_none());
}

#[durable]
async fn continues_with_promise(ctx: Context, before: Option<String>) -> String {
    let promise = ctx.promise::<u32>("approval");
    let id = promise.id().to_string();
    if let Some(before) = before {
        return format!("{before} {}", promise.await.unwrap());
    }
    ctx.continue_as_new(Some(id)).await
}

#[tokio::test]
async fn a_promise_of_before_is_none_of_the_run_any_more() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", continues_with_promise, None).await.unwrap().id();
    has_continued(&process.runtime, "r", 1).await;
    let before: String = info(&process.runtime, "r").await.input.decode().unwrap();
    let refused = process.runtime.resolve(&before, &1).await.unwrap_err();
    assert!(matches!(refused, PromiseError::Unknown { .. }), "{refused}");
}

#[durable]
async fn continues_with_undo(ctx: Context, part: u32) -> Result<u32, String> {
    ctx.run(note, part).await;
    ctx.undo(note, part).named("undo");
    if part == 1 {
        ctx.run(gated, part).await;
        ctx.continue_as_new(2).await;
    }
    Err("enough".to_owned())
}

#[tokio::test]
async fn what_was_to_be_undone_is_settled_by_the_part_that_planned_it() {
    let world = World::default();
    world.gates.open("gated");
    let process = world.open().await;
    let run = process.runtime.start("r", continues_with_undo, 1).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), Err("enough".to_owned()));
    assert_eq!(world.effects.keys(), ["r:note", "r:gated", "r:note@2", "r:undo@2"]);
}

/// Peers' corner case: a race between cancel and completion never overwrites the winner, of an end that is none.
#[tokio::test]
async fn a_run_that_is_to_be_cancelled_does_not_continue() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continues_with_undo, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r", "enough").await.unwrap();
    world.gates.open("gated");
    assert!(matches!(patiently("the run", run).await, Err(RunError::Cancelled { .. })));
    assert_eq!(world.effects.keys(), ["r:note", "r:gated", "r:undo"]);
    assert_eq!(info(&process.runtime, "r").await.continued, 0);
}

#[durable]
async fn continuing_child(ctx: Context, part: u32) -> u32 {
    let number = ctx.run(note, part).await;
    if part < 3 { ctx.continue_as_new(part + 1).await } else { number }
}

#[durable]
async fn continuing_parent(ctx: Context, sum: u32) -> u32 {
    let sum = sum + ctx.run(continuing_child, 1).await.unwrap();
    if sum < 6 { ctx.continue_as_new(sum).await } else { sum }
}

#[tokio::test]
async fn children_of_each_part_are_others_and_one_that_continues_is_waited_for() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continuing_parent, 0).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 6);
    for child in ["r:continuing_child", "r:continuing_child@2"] {
        let info = info(&process.runtime, child).await;
        assert_eq!(
            (info.status, info.continued, info.parent.as_deref()),
            (RunStatus::Completed, 2, Some("r")),
            "{child}"
        );
    }
    assert_eq!(world.effects.keys().len(), 6);
    assert_eq!(world.effects.keys()[5], "r:continuing_child@2:note@3");
}

#[durable]
async fn continues_for_ever(ctx: Context, part: u32) -> u32 {
    ctx.sleep(HOUR).await;
    ctx.continue_as_new(part + 1).await
}

#[tokio::test]
async fn its_time_goes_on_and_is_up_at_last() {
    let world = World::default();
    let mut process = world.open().await;
    process.runtime.start("r", continues_for_ever, 1).timeout(HOUR * 5 / 2).await.unwrap().id();
    let deadline = info(&process.runtime, "r").await.deadline.unwrap();
    for part in 0..2 {
        suspended(&process.runtime, "r").await;
        assert_eq!(
            (info(&process.runtime, "r").await.continued, info(&process.runtime, "r").await.deadline),
            (part, Some(deadline))
        );
        process.crash().await;
        process = world.open().await;
        world.clock.advance(HOUR);
        has_continued(&process.runtime, "r", part + 1).await;
    }
    suspended(&process.runtime, "r").await;
    let run = process.runtime.attach("r", continues_for_ever).await.unwrap();
    world.clock.advance(HOUR);
    assert!(matches!(patiently("the run", run).await, Err(RunError::Cancelled { .. })));
    assert_eq!(info(&process.runtime, "r").await.continued, 2);
}

#[tokio::test]
async fn its_place_in_a_queue_stays_its_own() {
    let world = World::default();
    let handle = world.disk.open();
    let builder = || world.builder().queue(Queue::new("one").concurrency(1));
    let runtime = builder().open_store(handle.clone()).await.unwrap();
    let first = runtime.start("r", adds_up, 0).queue("one").await.unwrap();
    let second = runtime.start("s", adds_up, 100).queue("one").await.unwrap();
    send(&runtime, [1, 1, 1, 1]).await;
    has_continued(&runtime, "r", 2).await;
    assert_eq!(info(&runtime, "s").await.began_at, None);
    drop((first, second));
    handle.fail_after(0, Loss::Whole);
    runtime.shutdown(Duration::ZERO).await;
    let runtime = builder().open_store(world.disk.open()).await.unwrap();
    yield_often().await;
    assert_eq!(
        (info(&runtime, "s").await.began_at, info(&runtime, "r").await.queue.unwrap().name),
        (None, "one".to_owned())
    );
    send(&runtime, [0]).await;
    let first = runtime.attach("r", adds_up).await.unwrap();
    assert_eq!(patiently("the first", first).await.unwrap(), 4);
    patiently("the second", async {
        while info(&runtime, "s").await.began_at.is_none() {
            yield_often().await;
        }
    })
    .await;
}

#[durable]
async fn helps_to_continue(ctx: &Context, (text, part): (String, u32)) -> u32 {
    ctx.run(note, part).await;
    ctx.continue_as_new::<continues_with_help>((text + "x", part + 1)).await
}

#[durable]
async fn continues_with_help(ctx: Context, text: String, part: u32) -> u32 {
    if part == 3 {
        return u32::try_from(text.len()).unwrap();
    }
    helps_to_continue(&ctx, (text, part)).await
}

#[durable]
async fn continues_as_another(ctx: Context) -> u32 {
    helps_to_continue(&ctx, (String::new(), 1)).await
}

#[tokio::test]
async fn a_helper_names_the_function_which_must_be_that_of_the_run() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continues_with_help, (String::new(), 1)).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 2);
    let other = process.runtime.start("s", continues_as_another, ()).await.unwrap();
    let halt = halted(patiently("the run", other).await, HaltReason::Misuse).to_string();
    assert!(
        halt.contains("names the function continues_with_help, and the run is one of continues_as_another"),
        "{halt}"
    );
}

/// Reads back what is small only.
#[derive(Debug, Clone, Serialize)]
struct Small(u32);

impl<'de> Deserialize<'de> for Small {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        if number < 3 { Ok(Self(number)) } else { Err(D::Error::custom("too large")) }
    }
}

#[durable]
async fn continues_with_what_is_small(ctx: Context, Small(number): Small) -> u32 {
    ctx.run(note, number).await;
    ctx.continue_as_new(Small(number + 1)).await
}

#[tokio::test]
async fn r07_an_input_that_can_not_be_read_back_halts_the_run_before_anything_is_gone() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", continues_with_what_is_small, Small(0)).await.unwrap();
    let halt = halted(patiently("the run", run).await, HaltReason::Value).to_string();
    assert!(halt.contains("the input of `ctx.continue_as_new(…)` at tests/it/continuing.rs:"), "{halt}");
    assert!(halt.contains("can't be recorded: ") && halt.contains("too large"), "{halt}");
    let info = info(&process.runtime, "r").await;
    assert_eq!((info.continued, info.input.text(), info.steps.len()), (2, "2".to_owned(), 1));
}

#[durable]
async fn continues_with_much(ctx: Context, part: u32) -> u32 {
    ctx.run(gated, part).await;
    if part == 1 {
        ctx.continue_as_new(2).await;
    }
    while ctx.signal::<String>("much").await.len() > 1 {}
    part
}

/// R14: nothing is lost, and the run is to be told to take them.
#[tokio::test]
async fn what_is_too_much_to_be_taken_along_halts_the_run() {
    const MUCH: usize = 8_000_000;
    let limits = Limits { payload_bytes: MUCH + 2, ..Limits::default() };
    let world = World { limits, ..World::default() };
    let process = world.open().await;
    let run = process.runtime.start("r", continues_with_much, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let much = "x".repeat(MUCH);
    for _ in 0..9 {
        process.runtime.signal("r", "much", &much).await.unwrap();
    }
    world.gates.open("gated");
    let halt = halted(patiently("the run", run).await, HaltReason::Limit).to_string();
    assert!(halt.contains("can't continue as new with 10 records of 720"), "{halt}");
    assert_eq!(info(&process.runtime, "r").await.signals.len(), 9);
}

#[tokio::test]
async fn it_survives_a_failure_at_every_commit() {
    if is_left_out("a suspended run commits more often") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let mut failures = 0;
        for commits in 0.. {
            let world = World::default();
            let mut process = world.open_failing(commits, loss).await;
            let mut has_failed = false;
            for (id, number) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 0)] {
                // As a sender does who was not answered.
                loop {
                    if let Ok(_started) = process.runtime.start("r", adds_up, 0).await
                        && process.runtime.signal("r", "number", &number).id(id).await.is_ok()
                    {
                        break;
                    }
                    has_failed = true;
                    process.crash().await;
                    process = world.open().await;
                }
            }
            let ended = patiently("the run", async { process.runtime.attach("r", adds_up).await.unwrap().await }).await;
            if ended.is_err() {
                has_failed = true;
                process.crash().await;
                process = world.open().await;
                let run = process.runtime.attach("r", adds_up).await.unwrap();
                assert_eq!(patiently("the run", run).await.unwrap(), 10, "{loss:?} {commits}");
            }
            let info = info(&process.runtime, "r").await;
            assert_eq!((info.continued, info.result.unwrap().text()), (2, "10".to_owned()), "{loss:?} {commits}");
            assert!(process.runtime.verify_store().await.unwrap().is_sound(), "{loss:?} {commits}");
            if !has_failed && process.handle.is_well() {
                break;
            }
            failures += 1;
        }
        // How many commits there are depends on what shares one.
        assert!(failures > 5, "{failures}");
    }
}

#[durable]
async fn continues_and_publishes(ctx: Context, part: u32) -> u32 {
    let number = ctx.run(note, part).await;
    ctx.publish("part", &number);
    let got = ctx.signal::<u32>("go").await;
    ctx.publish("got", &got);
    if part < 3 { ctx.continue_as_new(part + 1).await } else { ctx.run(continuing_child, 2).await.unwrap() + got }
}

#[test]
fn continuing_is_explored() {
    let explored = testing::explore(continues_and_publishes, 1)
        .dependency_with(Effects::default)
        .signal("go", 10)
        .signal("go", 20)
        .signal("go", 30)
        .worlds_max(1_500)
        .seeds(0..60)
        .check(|world| {
            assert_eq!(*world.output(), 33);
            assert_eq!(world.published::<u32>("part"), [1, 2, 3]);
            assert_eq!(world.published::<u32>("got"), [10, 20, 30]);
            for step in ["note", "note@2", "note@3", "continuing_child@3:note", "continuing_child@3:note@2"] {
                assert!(world.executions(step) >= 1, "{step}");
            }
        });
    println!("{explored}");
    assert!(explored.crashes > 400, "{explored}");
}

#[test]
fn a_crash_while_it_continues_leaves_one_part_or_the_other() {
    for crash in [Crash::BeforeWrite, Crash::Unsynced, Crash::Unacknowledged] {
        let world = testing::explore(continuing_child, 1)
            .dependency_with(Effects::default)
            .crash(crash, "note@2")
            .crash(crash, "note@3")
            .run();
        assert_eq!((world.output(), world.lives()), (&3, 3), "{crash:?}\n{}", world.timeline());
        let outline = world.journal().outline();
        assert!(outline.starts_with("continued as new continuing_child 3\n"), "{crash:?} {outline}");
    }
}
