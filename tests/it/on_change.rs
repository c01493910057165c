//! `OnChange::Resume`: changed code goes on with what older code recorded, found by key (R9).

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::MemoryStore;
use durable_runtime::{
    Context, DELIVERY_FUNCTION, DurableFunction, Emission, HaltReason, RunError, RunFilter, Runtime, durable,
};
use durable_tests::{Kind, World, frames, journal, patch, patiently, write, yield_often};
use parking_lot::Mutex;

use crate::steps::{halted, note};

/// Which code is deployed, for each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Old,
    /// Steps inserted, removed and reordered, some of them now at the same time.
    New,
    /// A recorded step gets another argument.
    OtherArgument,
}

static CODES: Mutex<BTreeMap<String, Code>> = Mutex::new(BTreeMap::new());

fn deploy(run: &str, code: Code) {
    CODES.lock().insert(run.to_owned(), code);
}

#[durable]
async fn resuming_code(ctx: &Context) -> u32 {
    let code = CODES.lock()[ctx.run_id().as_str()];
    match code {
        Code::Old => {
            let first = ctx.run(note, 1).named("first").await;
            let removed = ctx.run(note, 2).named("removed").await;
            let second = ctx.run(note, 4).named("second").await;
            first + removed + second + ctx.run(note, 8).named("last").await
        }
        Code::New => {
            let (inserted, second) =
                tokio::join!(ctx.run(note, 16).named("inserted"), ctx.run(note, 4).named("second"));
            let first = ctx.run(note, 1).named("first").await;
            first + second + inserted + ctx.run(note, 8).named("last").await
        }
        Code::OtherArgument => ctx.run(note, 1_000).named("first").await,
    }
}

#[durable(name = "resuming", version = 2, on_change = "resume")]
async fn resuming_run(ctx: Context) -> u32 {
    resuming_code(&ctx).await
}

/// The same, without the option. Its name is as long as the other's.
#[durable(name = "halting_", version = 2)]
async fn halting_run(ctx: Context) -> u32 {
    resuming_code(&ctx).await
}

/// Where the version is in `Started`: behind the event's number, the length of the name, and the name.
const VERSION_AT: usize = 2 + resuming_run::NAME.len();

/// The disk of a process that crashed when the run had so many records, with `Started` as version 1 wrote it.
fn recorded_by_version_1(store: &MemoryStore, run: &str, length: usize) -> World {
    let mut frames = frames(store, run);
    frames.truncate(length);
    frames[0] = patch(&frames[0], |event| {
        assert_eq!(event[VERSION_AT], 2, "the version");
        event[VERSION_AT] = 1;
    });
    let copy = MemoryStore::default();
    write(&copy, run, frames);
    World::with(copy)
}

/// Starts the run with the old code, and lets it end.
async fn recorded<F: DurableFunction<Input = (), Output = u32>>(run: &str, function: F) -> World {
    deploy(run, Code::Old);
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start(run, function, ()).await.unwrap().await.unwrap(), 15);
    world
}

/// Lets the run go on; none of its recorded steps may run again.
async fn go_on<F: DurableFunction<Input = (), Output = u32>>(
    world: &World,
    run: &str,
    function: F,
) -> Result<u32, RunError> {
    let before = journal(&world.disk.memory, run);
    let process = world.open().await;
    let result = process.runtime.attach(run, function).await.unwrap().await;
    process.crash().await;
    for key in before.into_iter().filter_map(|entry| entry.key) {
        assert_eq!(world.effects.count(&format!("{run}:{key}")), 0, "{key} was recorded, and ran again");
    }
    result
}

#[tokio::test]
async fn changed_code_goes_on_by_key_after_a_crash_at_every_record_of_either() {
    let old = recorded("resumed", resuming_run).await;
    deploy("resumed", Code::New);
    for length in 1..journal(&old.disk.memory, "resumed").len() {
        let world = recorded_by_version_1(&old.disk.memory, "resumed", length);
        assert_eq!(go_on(&world, "resumed", resuming_run).await.unwrap(), 29, "after {length} records");
        for again in length..journal(&world.disk.memory, "resumed").len() {
            let frames = frames(&world.disk.memory, "resumed")[..again].to_vec();
            let copy = MemoryStore::default();
            write(&copy, "resumed", frames);
            let result = go_on(&World::with(copy), "resumed", resuming_run).await.unwrap();
            assert_eq!(result, 29, "after {length}, and then {again} records");
        }
    }
}

#[tokio::test]
async fn code_that_did_not_change_is_held_to_the_recorded_order() {
    let old = recorded("same version", resuming_run).await;
    deploy("same version", Code::New);
    let world = World::with(durable_tests::copy(&old.disk.memory, "same version", 3));
    let halt = halted(go_on(&world, "same version", resuming_run).await, HaltReason::Divergence);
    assert!(halt.message.contains("so it is not deterministic"), "{halt}");
}

/// Where the version of the code is in `Recovered`: behind the event's number, and that there is one.
const RECOVERED_VERSION_AT: usize = 2;

/// A run of the present version, with which newer code, here version 1, has gone on; that died after `length` records.
async fn gone_on_by_newer_code(run: &str, length: usize) -> World {
    let old = recorded(run, resuming_run).await;
    deploy(run, Code::New);
    let world = recorded_by_version_1(&old.disk.memory, run, 3);
    assert_eq!(go_on(&world, run, resuming_run).await.unwrap(), 29);
    let mut frames = frames(&world.disk.memory, run)[..length].to_vec();
    for frame in &mut frames {
        *frame = patch(frame, |event| match event[0] {
            0 => event[VERSION_AT] = 2,
            3 => event[RECOVERED_VERSION_AT] = 1,
            _ => {}
        });
    }
    deploy(run, Code::Old);
    let copy = MemoryStore::default();
    write(&copy, run, frames);
    World::with(copy)
}

#[tokio::test]
async fn code_that_started_a_run_goes_on_by_key_after_newer_code_has() {
    for length in 4..7 {
        let run = format!("there and back {length}");
        let world = gone_on_by_newer_code(&run, length).await;
        assert_eq!(go_on(&world, &run, resuming_run).await.unwrap(), 15, "after {length} records");
    }
}

#[tokio::test]
async fn a_recorded_step_with_another_argument_halts_though_the_code_is_to_resume() {
    let old = recorded("argument by key", resuming_run).await;
    deploy("argument by key", Code::OtherArgument);
    let world = recorded_by_version_1(&old.disk.memory, "argument by key", 3);
    let halt = halted(go_on(&world, "argument by key", resuming_run).await, HaltReason::Divergence);
    for words in ["other arguments to step `first`", "arguments[0]: 1 recorded, 1000 now", "version 1 then, 2 now"] {
        assert!(halt.message.contains(words), "{words:?} is missing in: {halt}");
    }
    assert!(!halt.message.contains("on_change ="), "it has that already: {halt}");
}

#[tokio::test]
async fn changed_code_that_is_not_to_resume_halts_and_is_told_that_it_could() {
    let old = recorded("halting", halting_run).await;
    deploy("halting", Code::New);
    let world = recorded_by_version_1(&old.disk.memory, "halting", 3);
    let halt = halted(go_on(&world, "halting", halting_run).await, HaltReason::Divergence);
    for words in ["step `inserted` where step `first`", "version 1 then, 2 now", "on_change = \"resume\""] {
        assert!(halt.message.contains(words), "{words:?} is missing in: {halt}");
    }
}

/// Its name is as long as the other ones.
#[durable(name = "emitting", version = 2, on_change = "resume")]
async fn emitting_run(ctx: Context) -> u32 {
    let code = CODES.lock()[ctx.run_id().as_str()];
    if code == Code::Old {
        ctx.emit("kept", &1);
        ctx.emit("removed", &2);
        let first = ctx.run(note, 1).named("first").await;
        ctx.emit("last", &3);
        return first + ctx.run(note, 14).named("last step").await;
    }
    let first = ctx.run(note, 1).named("first").await;
    ctx.emit("inserted", &4);
    ctx.emit("last", &if code == Code::OtherArgument { 5 } else { 3 });
    let last = ctx.run(note, 14).named("last step").await;
    ctx.emit("kept", &1);
    first + last
}

type Delivered = Arc<Mutex<BTreeMap<String, u32>>>;

/// Lets the run go on, and tells what became of it and all that was delivered in the end.
async fn go_on_delivering(world: &World, run: &str) -> (Result<u32, RunError>, BTreeMap<String, u32>) {
    let delivered = Delivered::default();
    let runtime = with_sinks(world, &delivered).await;
    let ended = patiently("the run", runtime.attach(run, emitting_run).await.unwrap().into_future()).await;
    patiently("its events", async {
        let undelivered = RunFilter::new().function(DELIVERY_FUNCTION);
        while !runtime.list(&undelivered, None, 1).await.unwrap().runs.is_empty() {
            yield_often().await;
        }
    })
    .await;
    runtime.shutdown(Duration::ZERO).await;
    let delivered = delivered.lock().clone();
    (ended, delivered)
}

async fn with_sinks(world: &World, delivered: &Delivered) -> Runtime {
    let builder = ["kept", "removed", "inserted", "last"].into_iter().fold(world.builder(), |builder, channel| {
        let delivered = Arc::clone(delivered);
        builder.sink(channel, move |event: Emission| {
            let is_new = event.decode().map(|value| delivered.lock().insert(event.id().to_owned(), value).is_none());
            async move {
                assert!(is_new?, "nobody has died since");
                Ok(())
            }
        })
    });
    builder.open_store(world.disk.open()).await.unwrap()
}

/// Starts the run with the old code, and lets it end.
async fn recorded_emitting(run: &str) -> World {
    deploy(run, Code::Old);
    let world = World::default();
    let runtime = with_sinks(&world, &Delivered::default()).await;
    assert_eq!(runtime.start(run, emitting_run, ()).await.unwrap().await.unwrap(), 15);
    runtime.shutdown(Duration::ZERO).await;
    world
}

/// What is recorded as emitted is delivered, also if the code has it elsewhere now or not at all; and what is new once it comes to that.
#[tokio::test]
async fn changed_code_goes_on_with_what_was_emitted() {
    let old = recorded_emitting("emitted").await;
    deploy("emitted", Code::New);
    let entries = journal(&old.disk.memory, "emitted");
    let values = BTreeMap::from([("kept", 1), ("removed", 2), ("last", 3), ("inserted", 4)]);
    for length in 1..entries.len() {
        let world = recorded_by_version_1(&old.disk.memory, "emitted", length);
        let (ended, delivered) = go_on_delivering(&world, "emitted").await;
        assert_eq!(ended.unwrap(), 15, "after {length} records");
        let of_kind = |kind: Kind| {
            let keys = entries[..length].iter().filter(move |entry| entry.kind == kind);
            keys.filter_map(|entry| entry.key.as_deref()).collect::<BTreeSet<_>>()
        };
        // For what was recorded as started, a run had been there that delivers it: it is not copied.
        let mut expected = &of_kind(Kind::Emitted) - &of_kind(Kind::ChildStarted);
        expected.extend(["inserted", "kept", "last"].into_iter().filter(|key| !of_kind(Kind::Emitted).contains(key)));
        let expected = expected.into_iter().map(|key| (format!("emitted:{key}"), values[key])).collect();
        assert_eq!(delivered, expected, "after {length} records");
    }
}

#[tokio::test]
async fn an_emitted_event_that_is_another_one_now_halts_though_the_code_is_to_resume() {
    let old = recorded_emitting("other event").await;
    deploy("other event", Code::OtherArgument);
    let entries = journal(&old.disk.memory, "other event");
    let emitted = entries.iter().position(|entry| entry.kind == Kind::Emitted && entry.key.as_deref() == Some("last"));
    let world = recorded_by_version_1(&old.disk.memory, "other event", emitted.unwrap() + 1);
    let (ended, delivered) = go_on_delivering(&world, "other event").await;
    let halt = halted(ended, HaltReason::Divergence);
    assert!(halt.to_string().contains("last"), "{halt}");
    assert_eq!(delivered.get("other event:last"), Some(&3), "what was recorded");
}
