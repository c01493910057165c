//! `ctx.publish`: values that are seen outside while the run goes on, each recorded once, none before it is durable.

use std::collections::BTreeMap;
use std::time::Duration;

use durable_runtime::store::MemoryStore;
use durable_runtime::{
    Context, Durability, DurableFunction as _, HaltReason, Journal, Limits, PublishedError, RunStatus, Runtime,
    Verification, durable,
};
use durable_tests::{Kind, Loss, World, frames, is_left_out, journal, patch, patiently, suspended, write, yield_often};
use futures::TryStreamExt as _;
use parking_lot::Mutex;

use crate::steps::{gated, halted, note};

/// All that is published under the name, with its numbers, of a run that has ended.
async fn all(runtime: &Runtime, run: &str, name: &str) -> Vec<(u64, String)> {
    let followed = runtime.follow(run, name, 0).try_collect();
    patiently("the end of what is followed", followed).await.unwrap()
}

/// What is published under the name, in order; the numbers have no gap.
async fn values(runtime: &Runtime, run: &str, name: &str) -> Vec<String> {
    let all = all(runtime, run, name).await;
    all.into_iter()
        .zip(0..)
        .map(|((number, value), expected)| {
            assert_eq!(number, expected);
            value
        })
        .collect()
}

async fn latest(runtime: &Runtime, run: &str, name: &str) -> Option<String> {
    runtime.published(run, name).await.unwrap()
}

#[durable]
async fn publishing_between(ctx: Context) -> u32 {
    ctx.publish("stage", "begun");
    let one = ctx.run(gated, 1).named("one").await;
    ctx.publish("stage", "between");
    ctx.publish("sum", &one);
    let two = ctx.run(gated, 2).named("two").await;
    ctx.publish("stage", "done");
    one + two
}

#[tokio::test]
async fn values_are_seen_while_the_run_goes_on_and_after_it() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let run = runtime.start("r", publishing_between, ()).await.unwrap();
    world.gates.arrived("one", 1).await;
    assert_eq!(latest(runtime, "r", "stage").await.as_deref(), Some("begun"));
    assert_eq!(latest(runtime, "r", "sum").await, None);
    world.gates.open("one");
    world.gates.arrived("two", 1).await;
    assert_eq!(latest(runtime, "r", "stage").await.as_deref(), Some("between"));
    assert_eq!(runtime.published::<u32>("r", "sum").await.unwrap(), Some(1));
    world.gates.open("two");
    assert_eq!(run.await.unwrap(), 3);
    assert_eq!(values(runtime, "r", "stage").await, ["begun", "between", "done"]);
    let info = runtime.get("r").await.unwrap().unwrap();
    let told: Vec<_> = info.published.iter().map(|one| (one.name.as_str(), one.number, one.value.text())).collect();
    assert_eq!(told, [("stage", 2, "\"done\"".to_owned()), ("sum", 0, "1".to_owned())]);
    assert_eq!(info.published[0].published_at, info.updated_at);
}

/// R5: of what was published nothing is seen before it is durable, and no later step begins.
#[tokio::test]
async fn r05_a_value_is_seen_when_it_is_durable_and_no_later_step_begins_before() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", publishing_between, ()).await.unwrap();
    world.gates.arrived("one", 1).await;
    process.handle.hold();
    world.gates.open("one");
    process.handle.held().await;
    yield_often().await;
    assert_eq!(latest(&process.runtime, "r", "stage").await.as_deref(), Some("begun"));
    assert_eq!(world.effects.keys(), ["r:one"]);
    process.handle.release();
    world.gates.open("two");
    run.await.unwrap();
}

#[durable]
async fn publishing_first(ctx: Context) -> u32 {
    ctx.publish("stage", "begun");
    ctx.run(gated, 1).await
}

#[tokio::test]
async fn r05_a_step_waits_for_what_was_published_before_it() {
    let world = World::default();
    let process = world.open().await;
    process.handle.hold();
    let runtime = process.runtime.clone();
    let starting = tokio::spawn(async move { runtime.start("r", publishing_first, ()).await.unwrap().await });
    process.handle.held().await;
    process.handle.release();
    // Started is durable; the next one is held as soon as it comes.
    process.handle.hold();
    process.handle.held().await;
    yield_often().await;
    assert_eq!(world.effects.keys(), Vec::<String>::new());
    process.handle.release();
    world.gates.open("gated");
    assert_eq!(starting.await.unwrap().unwrap(), 1);
}

#[durable]
async fn publishing_and_waiting(ctx: Context) -> u32 {
    ctx.publish("stage", "waiting");
    let number = ctx.signal::<u32>("number").await;
    ctx.publish("stage", "answered");
    number
}

#[tokio::test]
async fn a_value_needs_no_other_operation_to_be_seen() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", publishing_and_waiting, ()).await.unwrap();
    let mut stages = process.runtime.follow::<String>("r", "stage", 0);
    let first = patiently("the first stage", stages.try_next()).await.unwrap();
    assert_eq!(first, Some((0, "waiting".to_owned())));
    process.runtime.signal("r", "number", &7).await.unwrap();
    assert_eq!(stages.try_next().await.unwrap(), Some((1, "answered".to_owned())));
    assert_eq!(stages.try_next().await.unwrap(), None);
    assert_eq!(stages.try_next().await.unwrap(), None, "it stays at its end");
    assert_eq!(run.await.unwrap(), 7);
}

/// A helper publishes as the function does.
#[durable]
async fn publishing_helper(ctx: &Context, branch: &str, value: u32) -> u32 {
    ctx.publish("branches", &format!("{branch} asks"));
    let value = ctx.run(note, value).named(branch.to_owned()).await;
    ctx.publish("branches", &format!("{branch} has {value}"));
    value
}

#[durable]
async fn publishing_everywhere(ctx: Context) -> u32 {
    ctx.publish("stage", "begun");
    ctx.publish("stage", &1);
    let (left, right) = tokio::join!(publishing_helper(&ctx, "left", 1), async {
        let value = publishing_helper(&ctx, "right", 2).await;
        ctx.publish("branches", "right is over");
        value
    });
    let faster = tokio::select! {
        value = publishing_helper(&ctx, "raced", 4) => value,
        () = async {
            ctx.publish("branches", "the loser begins");
            ctx.sleep(Duration::from_hours(24)).await;
            ctx.publish("branches", "never");
        } => 0,
    };
    ctx.publish("stage", "ending");
    left + right + faster
}

/// What it publishes wherever it is not interrupted: `left` and `right` end in the order in which they are asked for.
const EVERYWHERE: [&str; 8] = [
    "\"left asks\"",
    "\"right asks\"",
    "\"left has 1\"",
    "\"right has 2\"",
    "\"right is over\"",
    "\"raced asks\"",
    "\"the loser begins\"",
    "\"raced has 4\"",
];

async fn texts(runtime: &Runtime, run: &str, name: &str) -> Vec<String> {
    let followed = runtime.follow::<serde_json::Value>(run, name, 0).try_collect::<Vec<_>>();
    let followed = patiently("the end of what is followed", followed).await.unwrap();
    let expected = followed.len() as u64;
    assert!(followed.iter().map(|(number, _)| *number).eq(0..expected));
    followed.into_iter().map(|(_, value)| value.to_string()).collect()
}

#[tokio::test]
async fn branches_publish_in_the_order_of_their_turns() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", publishing_everywhere, ()).await.unwrap().await.unwrap(), 7);
    assert_eq!(texts(&process.runtime, "r", "branches").await, EVERYWHERE);
    assert_eq!(texts(&process.runtime, "r", "stage").await, ["\"begun\"", "1", "\"ending\""]);
}

/// From every prefix of its journal the run publishes what is missing, once, under the numbers that follow.
#[tokio::test]
async fn a_crash_at_any_record_loses_and_repeats_nothing() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", publishing_everywhere, ()).await.unwrap().await.unwrap();
    let whole = frames(&world.disk.memory, "r");
    for length in 1..whole.len() {
        let memory = MemoryStore::default();
        write(&memory, "r", whole[..length].to_vec());
        let published =
            |memory: &MemoryStore| journal(memory, "r").iter().filter(|entry| entry.kind == Kind::Published).count();
        let before = published(&memory);
        let world = World::with(memory);
        let process = world.open().await;
        assert_eq!(process.runtime.attach("r", publishing_everywhere).await.unwrap().await.unwrap(), 7);
        assert_eq!(texts(&process.runtime, "r", "branches").await, EVERYWHERE, "after {length} records");
        assert_eq!(texts(&process.runtime, "r", "stage").await, ["\"begun\"", "1", "\"ending\""]);
        assert_eq!(published(&world.disk.memory), 11, "{before} of them after {length} records");
        assert_eq!(process.runtime.verify("r").await.unwrap(), Verification::Same);
    }
}

/// R5: what a reader has seen before a crash is there after it, and nothing of it changes.
#[tokio::test]
async fn what_was_seen_before_a_crash_is_never_taken_back() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        for commits in 1..6 {
            let world = World::default();
            let process = world.open_failing(commits, loss).await;
            let Ok(run) = process.runtime.start("r", publishing_everywhere, ()).await else { continue };
            let mut followed = process.runtime.follow::<serde_json::Value>("r", "branches", 0);
            let mut seen = Vec::new();
            let end = loop {
                match patiently("the next value", followed.try_next()).await {
                    Ok(Some((number, value))) => {
                        assert_eq!(number, seen.len() as u64);
                        seen.push(value.to_string());
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if let Some(end) = end {
                assert!(matches!(end, PublishedError::Halted { .. }), "{end}");
                halted(run.await, HaltReason::Storage);
            }
            process.crash().await;
            let process = world.open().await;
            process.runtime.attach("r", publishing_everywhere).await.unwrap().await.unwrap();
            let rest = process.runtime.follow::<serde_json::Value>("r", "branches", seen.len() as u64);
            let rest: Vec<_> = rest.try_collect().await.unwrap();
            assert!(rest.iter().map(|(number, _)| *number).eq(seen.len() as u64..8));
            seen.extend(rest.into_iter().map(|(_, value)| value.to_string()));
            assert_eq!(seen, EVERYWHERE, "{commits} commits, {loss:?}");
        }
    }
}

#[durable]
async fn publishing_beside_steps(ctx: Context, count: u32) {
    for number in 0..count {
        ctx.run(note, number).await;
        ctx.publish("progress", &number);
    }
}

#[durable]
async fn publishing_before_steps(ctx: Context, count: u32) {
    for number in 0..count {
        ctx.publish("progress", &number);
        ctx.run(note, number).await;
    }
}

/// Recorded with the checkpoint beside it: of a value that is published between two steps nobody waits for the disk.
#[tokio::test]
async fn a_value_beside_a_step_costs_no_commit() {
    if is_left_out("it counts commits") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    let commits = |before| process.runtime.stats().commits - before;
    process.runtime.start("behind", publishing_beside_steps, 20).await.unwrap().await.unwrap();
    assert_eq!(commits(0), 21, "Started, and one for each step with what is published behind it, and the result");
    process.runtime.start("before", publishing_before_steps, 20).await.unwrap().await.unwrap();
    assert_eq!(commits(21), 22, "and one for what is published before the first step");
}

/// Which code is deployed, for each run.
static CODES: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());

fn deploy(run: &str, code: &'static str) {
    CODES.lock().insert(run.to_owned(), code);
}

fn deployed(ctx: &Context) -> &'static str {
    CODES.lock()[ctx.run_id().as_str()]
}

#[durable]
async fn publishing_code(ctx: &Context) -> u32 {
    let code = deployed(ctx);
    ctx.publish("stage", if code == "other value" { "other" } else { "first" });
    if code == "inserted" {
        ctx.publish("inserted", "new");
    }
    match code {
        "removed" => {}
        "another name" => ctx.publish("phase", "second"),
        "a step" => drop(ctx.run(note, 7).named("stage")),
        _ => ctx.publish("stage", "second"),
    }
    if code == "panics" {
        ctx.publish("stage", "about to panic");
        panic!("the test wants it");
    }
    let value = match code {
        "returns" => return 7,
        _ => ctx.run(gated, 1).await,
    };
    ctx.publish("stage", "third");
    if code == "more at the end" {
        ctx.publish("stage", "fourth");
    }
    value
}

#[durable]
async fn publishing_strictly(ctx: Context) -> u32 {
    publishing_code(&ctx).await
}

#[durable(version = 2, on_change = "resume")]
async fn publishing_by_key(ctx: Context) -> u32 {
    publishing_code(&ctx).await
}

/// R9: what is published is compared on replay as every operation is.
#[tokio::test]
async fn r09_a_value_that_differs_on_replay_halts_the_run() {
    for (code, expected) in [
        ("other value", "passes other arguments to publication `stage`"),
        ("inserted", "asks for publication `inserted` where publication `stage#2` is recorded"),
        ("removed", "asks for step `gated` where publication `stage#2` is recorded"),
        ("another name", "asks for publication `phase` where publication `stage#2` is recorded"),
        ("a step", "asks for step `stage#2`, which is recorded as publication `stage#2`"),
        ("returns", "goes on"),
    ] {
        let world = World::default();
        deploy(code, "first");
        let process = world.open().await;
        process.runtime.start(code, publishing_strictly, ()).await.unwrap().id();
        world.gates.arrived("gated", 1).await;
        process.crash().await;
        deploy(code, code);
        let before = journal(&world.disk.memory, code).len();
        let process = world.open().await;
        let ended = process.runtime.attach(code, publishing_strictly).await.unwrap().await;
        if code == "returns" {
            // Nothing is recorded of the step.
            assert_eq!(ended.unwrap(), 7);
            continue;
        }
        let halt = halted(ended, HaltReason::Divergence);
        assert!(halt.message.contains(expected), "{halt}");
        assert!(halt.message.contains("publish.rs:"), "{halt}");
        let published = journal(&world.disk.memory, code)[before..].iter().any(|entry| entry.kind == Kind::Published);
        assert!(!published, "code that does not fit has published something");
        if code == "other value" {
            assert!(halt.message.contains(r#"arguments: ["first"]"#), "{halt}");
            assert!(halt.message.contains(r#"arguments: ["other"]"#), "{halt}");
        }
    }
}

/// The journal has what the code does not ask for any more, or not any more before it returns.
#[tokio::test]
async fn r09_a_run_that_has_ended_is_verified_with_what_it_published() {
    let world = World::default();
    world.gates.open("gated");
    deploy("ended", "first");
    let process = world.open().await;
    process.runtime.start("ended", publishing_strictly, ()).await.unwrap().await.unwrap();
    assert_eq!(process.runtime.verify("ended").await.unwrap(), Verification::Same);
    deploy("ended", "more at the end");
    let Verification::Differs { halt } = process.runtime.verify("ended").await.unwrap() else {
        panic!("it publishes more");
    };
    assert!(halt.message.contains("publishes `stage#4`"), "{halt}");
    assert_eq!(values(&process.runtime, "ended", "stage").await, ["first", "second", "third"]);
}

#[tokio::test]
async fn by_key_what_is_published_stays_and_what_is_new_follows() {
    let world = World::default();
    deploy("by key", "first");
    let process = world.open().await;
    process.runtime.start("by key", publishing_by_key, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    // As version 1 wrote it: where the version is in `Started`, behind the event's number, the length of the name, and the name.
    let version_at = 2 + publishing_by_key::NAME.len();
    let mut frames = frames(&world.disk.memory, "by key");
    frames[0] = patch(&frames[0], |event| {
        assert_eq!(event[version_at], 2, "the version");
        event[version_at] = 1;
    });
    let memory = MemoryStore::default();
    write(&memory, "by key", frames);
    deploy("by key", "inserted");
    let world = World::with(memory);
    world.gates.open("gated");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("by key", publishing_by_key).await.unwrap().await.unwrap(), 1);
    assert_eq!(values(&process.runtime, "by key", "stage").await, ["first", "second", "third"]);
    assert_eq!(values(&process.runtime, "by key", "inserted").await, ["new"]);
    let journal = journal(&world.disk.memory, "by key");
    let published = journal.iter().filter(|entry| entry.kind == Kind::Published);
    let keys: Vec<_> = published.filter_map(|entry| entry.key.as_deref()).collect();
    assert_eq!(keys, ["stage", "stage#2", "inserted", "stage#3"]);
}

/// What is published before a panic is published when the code has come to rest: it may be mended, and publish something
/// else.
#[tokio::test]
async fn what_was_published_in_the_stretch_of_a_panic_is_published_when_the_run_is_resumed() {
    let world = World::default();
    world.gates.open("gated");
    deploy("panics", "panics");
    let process = world.open().await;
    let run = process.runtime.start("panics", publishing_strictly, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    assert_eq!(latest(&process.runtime, "panics", "stage").await, None);
    deploy("panics", "first");
    process.runtime.resume("panics").await.unwrap();
    process.runtime.attach("panics", publishing_strictly).await.unwrap().await.unwrap();
    assert_eq!(values(&process.runtime, "panics", "stage").await, ["first", "second", "third"]);
}

/// Publishes when it is dropped.
struct Farewell(Context);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.publish("farewells", "dropped");
    }
}

#[durable]
async fn publishing_in_destructors(ctx: Context) {
    let _first = Farewell(ctx.clone());
    let _second = Farewell(ctx.clone());
    tokio::select! {
        _ = ctx.run(note, 1) => {}
        () = async {
            let _loser = Farewell(ctx.clone());
            ctx.sleep(Duration::from_hours(1)).await;
        } => {}
    }
    ctx.sleep(Duration::from_hours(24)).await;
}

/// R10: what the code drops is its own doing, and published; that it is dropped because the run leaves memory is not, and does
/// no harm.
#[tokio::test]
async fn r10_in_destructors_only_the_code_publishes_not_the_engine() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", publishing_in_destructors, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().published[0].number, 0, "that of the loser");
    process.runtime.shutdown(Duration::from_secs(1)).await;
    let process = world.open().await;
    let run = process.runtime.attach("r", publishing_in_destructors).await.unwrap();
    world.clock.advance(Duration::from_hours(25));
    run.await.unwrap();
    assert_eq!(values(&process.runtime, "r", "farewells").await, ["dropped"; 3]);
}

#[durable]
async fn smuggling_publisher(ctx: &Context) {
    ctx.publish("smuggled", &1);
}

#[durable]
async fn publishing_inside_a_step(ctx: Context) {
    let smuggled = ctx.clone();
    ctx.run("outer", async || smuggling_publisher(&smuggled).await).await;
}

async fn publish_elsewhere(ctx: Context) -> String {
    let task = tokio::spawn(async move { ctx.publish("elsewhere", &1) });
    let panic = task.await.unwrap_err().into_panic();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[durable]
async fn publishing_elsewhere(ctx: Context) -> String {
    let smuggled = ctx.clone();
    ctx.run("spawning", async || publish_elsewhere(smuggled.clone()).await).await
}

#[tokio::test]
async fn r10_a_publication_outside_the_code_of_the_run_is_refused() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("inside", publishing_inside_a_step, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Misuse);
    assert!(halt.message.contains("`ctx.publish(\"smuggled\", …)` at"), "{halt}");
    assert!(halt.message.contains("inside the body of a step"), "{halt}");
    let refused = process.runtime.start("elsewhere", publishing_elsewhere, ()).await.unwrap().await.unwrap();
    assert!(refused.contains("[D0404]") && refused.contains("spawned task"), "{refused}");
    for run in ["inside", "elsewhere"] {
        assert_eq!(process.runtime.get(run).await.unwrap().unwrap().published, []);
    }
}

struct Unspeakable;

impl serde::Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[durable]
async fn publishing_badly(ctx: Context, how: String) {
    match how.as_str() {
        "too large" => ctx.publish("stage", &"x".repeat(2_000)),
        "unspeakable" => ctx.publish("stage", &Unspeakable),
        "without a name" => ctx.publish("", &1),
        "counted name" => ctx.publish("stage#2", &1),
        "long name" => ctx.publish("n".repeat(1_025), &1),
        _ => (0..5).for_each(|number| ctx.publish("stage", &number)),
    }
    ctx.run(note, 1).await;
}

#[tokio::test]
async fn r14_what_can_not_be_recorded_halts_the_run_before_the_next_step() {
    let limits = Limits { payload_bytes: 1_000, operations: 4, ..Limits::default() };
    let world = World { limits, ..World::default() };
    let process = world.open().await;
    for (how, reason, told) in [
        ("too large", HaltReason::Value, "[D0304]"),
        ("unspeakable", HaltReason::Value, "not today"),
        ("without a name", HaltReason::Misuse, "can't be the name of an operation"),
        ("counted name", HaltReason::Misuse, "can't be the name of an operation"),
        ("long name", HaltReason::Misuse, "1025 bytes"),
        ("too many", HaltReason::Limit, "the run has 4 operations"),
    ] {
        let halt = halted(process.runtime.start(how, publishing_badly, how.to_owned()).await.unwrap().await, reason);
        assert!(halt.message.contains(told), "{how}: {halt}");
        assert_eq!(world.effects.count(&format!("{how}:note")), 0);
        assert_eq!(process.runtime.get(how).await.unwrap().unwrap().status, RunStatus::Halted);
    }
}

/// What is published survives a process that ends, on a disk.
#[tokio::test]
async fn what_is_published_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Runtime::builder().durability(Durability::Buffered).open(folder.path().join("runs.durable"));
    let runtime = open().await.unwrap();
    runtime.start("r", publishing_and_waiting, ()).await.unwrap().id();
    let mut stages = runtime.follow::<String>("r", "stage", 0);
    assert_eq!(patiently("a stage", stages.try_next()).await.unwrap(), Some((0, "waiting".to_owned())));
    runtime.shutdown(Duration::ZERO).await;
    let end = patiently("an end", stages.try_next()).await.unwrap_err();
    assert!(matches!(end, PublishedError::ShuttingDown { .. }), "{end}");
    let runtime = open().await.unwrap();
    assert_eq!(latest(&runtime, "r", "stage").await.as_deref(), Some("waiting"));
    let mut stages = runtime.follow::<String>("r", "stage", 1);
    runtime.signal("r", "number", &1).await.unwrap();
    assert_eq!(patiently("a stage", stages.try_next()).await.unwrap(), Some((1, "answered".to_owned())));
    assert_eq!(patiently("an end", stages.try_next()).await.unwrap(), None);
}

#[tokio::test]
async fn the_journal_of_a_run_that_publishes_is_kept_as_text() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", publishing_beside_steps, 2).await.unwrap().await.unwrap();
    let recorded = process.runtime.journal("r").await.unwrap().unwrap();
    let outline = "started publishing_beside_steps 2\n\
                   note [0] = 0\n\
                   progress published 0\n\
                   note#2 [1] = 1\n\
                   progress#2 published 1\n\
                   finished null\n";
    assert_eq!(recorded.outline(), outline);
    let lines = recorded.to_lines();
    assert!(
        lines.contains(r#"{"Published":{"operation":{"claim":1,"key":"progress","kind":"publication","#),
        "{lines}"
    );
    assert_eq!(Journal::from_lines(&lines).unwrap(), recorded);
}
