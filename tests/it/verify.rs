//! Verifying: would the present code go on with a recorded run? Asked without running a step or writing a byte (R9).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::task::Poll;

use durable_runtime::store::StoredRun;
use durable_runtime::{
    AdminError, CHECK_LIST_MAX, Codec, Context, Halt, HaltReason, InvalidRunId, Limits, Runtime, Stats, StepContext,
    Verification, durable,
};
use durable_tests::{Effects, Process, World, contents, copy, frames, journal, patch, write};
use parking_lot::Mutex;

use crate::steps::{gated, note};

/// How the code of a run was changed by a deploy; without an entry it was not.
static CHANGES: Mutex<BTreeSet<(String, &'static str)>> = Mutex::new(BTreeSet::new());

/// What no durable function may do: look at something outside its run. Here it stands for a deploy.
fn is(ctx: &Context, change: &'static str) -> bool {
    CHANGES.lock().contains(&(ctx.run_id().as_str().to_owned(), change))
}

fn deploy(run: &str, change: &'static str) {
    CHANGES.lock().insert((run.to_owned(), change));
}

fn undo(run: &str, change: &'static str) {
    CHANGES.lock().remove(&(run.to_owned(), change));
}

#[durable]
async fn verified(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).named("first").await;
    assert!(!is(&ctx, "panics"), "the new code is not finished");
    if is(&ctx, "returns early") {
        return first;
    }
    if is(&ctx, "spins") {
        #[durable(unchecked = "what the verifier must survive")]
        poll_fn(|task| {
            task.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
    }
    if is(&ctx, "misnamed") {
        drop(ctx.run(note, 1).named(String::from("no#good")));
    }
    let name = if is(&ctx, "renamed") { "renamed" } else { "second" };
    let second = ctx.run(note, first + 1).named(name).await;
    let (third, fourth) = tokio::join!(ctx.run(gated, 3).named("third"), ctx.run(gated, 4).named("fourth"));
    let sum = first + second + third + fourth;
    if is(&ctx, "goes on") {
        return sum + ctx.run(note, 5).named("fifth").await;
    }
    if is(&ctx, "other result") { sum + 1 } else { sum }
}

/// What a verification must leave as it was.
#[derive(Debug, PartialEq)]
struct Untouched {
    store: Vec<StoredRun>,
    effects: Vec<String>,
    stats: Stats,
}

fn untouched(world: &World, process: &Process) -> Untouched {
    Untouched { store: contents(&world.disk.memory), effects: world.effects.keys(), stats: process.runtime.stats() }
}

/// What verifying a run answers; it leaves no trace.
async fn verify(world: &World, process: &Process, run: &str) -> Verification {
    let before = untouched(world, process);
    let verification = process.runtime.verify(run).await.unwrap();
    assert_eq!(untouched(world, process), before, "verifying {run} left a trace");
    verification
}

/// The halt of a run that does not fit.
#[track_caller]
fn differs(verification: Verification, expected: HaltReason, words: &[&str]) -> Halt {
    let Verification::Differs { halt } = verification else { panic!("it fits: {verification}") };
    assert_eq!(halt.reason, expected, "{halt}");
    for word in words {
        assert!(halt.to_string().contains(word), "{word:?} is missing in: {halt}");
    }
    halt
}

#[track_caller]
fn continues(verification: &Verification, expected: &[&str]) {
    let Verification::Continues { next } = verification else { panic!("it does not continue: {verification}") };
    assert_eq!(next, expected);
}

/// A run that has recorded two steps and waits in two more.
async fn in_flight(world: &World, run: &str) -> Process {
    let process = world.open().await;
    process.runtime.start(run, verified, 1).await.unwrap().id();
    world.gates.arrived("third", 1).await;
    world.gates.arrived("fourth", 1).await;
    process
}

/// A run that has ended.
async fn ended(world: &World, run: &str) -> Process {
    world.gates.open("third");
    world.gates.open("fourth");
    let process = world.open().await;
    assert_eq!(process.runtime.start(run, verified, 1).await.unwrap().await.unwrap(), 10);
    process
}

#[tokio::test]
async fn an_ended_run_that_the_code_would_repeat_is_the_same() {
    let world = World::default();
    let process = ended(&world, "same").await;
    assert_eq!(verify(&world, &process, "same").await, Verification::Same);
}

#[tokio::test]
async fn an_active_run_continues_with_the_steps_it_would_begin() {
    let world = World::default();
    let process = in_flight(&world, "active").await;
    continues(&verify(&world, &process, "active").await, &["third", "fourth"]);
    world.gates.open("fourth");
    let info = || async { process.runtime.get("active").await.unwrap().unwrap() };
    while info().await.steps.len() < 3 {
        tokio::task::yield_now().await;
    }
    continues(&verify(&world, &process, "active").await, &["third"]);
    world.gates.open("third");
    assert_eq!(process.runtime.attach("active", verified).await.unwrap().await.unwrap(), 10);
    assert_eq!(world.effects.keys().len(), 4, "verifying ran a step");
}

#[tokio::test]
async fn every_prefix_of_a_run_continues() {
    let world = World::default();
    let process = ended(&world, "prefix").await;
    let length = journal(&world.disk.memory, "prefix").len();
    let mut told = Vec::new();
    for length in 1..length {
        let then = World::with(copy(&world.disk.memory, "prefix", length));
        let runtime = then.builder().recover_later().open_store(then.disk.open()).await.unwrap();
        let Verification::Continues { next } = runtime.verify("prefix").await.unwrap() else { panic!() };
        told.push(next.join(" "));
    }
    // The order in which the two that run at the same time are recorded is not fixed.
    told[3] = told[3].replace("third", "one").replace("fourth", "one");
    assert_eq!(told, ["first", "second", "third fourth", "one", ""]);
    drop(process);
}

#[tokio::test]
async fn changed_code_differs_as_a_replay_would() {
    let world = World::default();
    let process = in_flight(&world, "changed").await;
    let divergence = HaltReason::Divergence;
    for (change, reason, words) in [
        ("renamed", divergence, ["recorded: step `second` at", "current:  step `renamed` at"]),
        (
            "returns early",
            divergence,
            ["its code returned, and never asked for step `second`", "recorded: step `second`"],
        ),
        ("panics", HaltReason::Panic, ["the function panicked", "not finished"]),
        ("spins", divergence, ["wakes itself", "move what it waits for into a step"]),
        ("misnamed", HaltReason::Misuse, ["no#good", "can't be the name of an operation"]),
    ] {
        deploy("changed", change);
        differs(verify(&world, &process, "changed").await, reason, &words);
        undo("changed", change);
    }
    for behind in ["goes on", "other result"] {
        deploy("changed", behind);
        continues(&verify(&world, &process, "changed").await, &["third", "fourth"]);
        undo("changed", behind);
    }
    world.gates.open("third");
    world.gates.open("fourth");
    assert_eq!(process.runtime.attach("changed", verified).await.unwrap().await.unwrap(), 10);
}

#[tokio::test]
async fn of_an_ended_run_the_result_is_compared_too() {
    let world = World::default();
    let process = ended(&world, "ended").await;
    let changes: [(_, &[&str]); 3] = [
        ("other result", &["another result", "recorded: 10\n", "current:  11\n", "journal:  6 records"]),
        ("goes on", &["goes on where the function had returned", "recorded: the result 10", "goes on with fifth"]),
        ("returns early", &["its code returned, and never asked for step `second`", "recorded: step `second`"]),
    ];
    for (change, words) in changes {
        deploy("ended", change);
        differs(verify(&world, &process, "ended").await, HaltReason::Divergence, words);
        undo("ended", change);
    }
}

#[tokio::test]
async fn a_halted_run_is_verified_as_if_it_were_resumed() {
    let world = World::default();
    world.gates.open("third");
    world.gates.open("fourth");
    deploy("halted", "panics");
    let process = world.open().await;
    process.runtime.start("halted", verified, 1).await.unwrap().await.unwrap_err();
    differs(verify(&world, &process, "halted").await, HaltReason::Panic, &["not finished"]);
    undo("halted", "panics");
    continues(&verify(&world, &process, "halted").await, &["second"]);
    process.runtime.resume("halted").await.unwrap();
    assert_eq!(process.runtime.attach("halted", verified).await.unwrap().await.unwrap(), 10);
    assert_eq!(verify(&world, &process, "halted").await, Verification::Same);
}

#[durable]
async fn verified_lazy(ctx: Context) -> u32 {
    let not_polled = ctx.run(note, 1).named("not polled");
    drop(ctx.run(note, 1).named("dropped"));
    ctx.run(gated, 2).named("first").await + not_polled.await
}

#[tokio::test]
async fn only_the_steps_that_are_awaited_come_next() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("lazy", verified_lazy, ()).await.unwrap();
    world.gates.arrived("first", 1).await;
    continues(&verify(&world, &process, "lazy").await, &["first"]);
    world.gates.open("first");
    assert_eq!(run.await.unwrap(), 3);
}

#[tokio::test]
async fn a_crash_loop_is_told_until_the_run_is_halted_and_then_the_code_fits() {
    let limits = Limits { recoveries_without_progress: 2, ..Limits::default() };
    let world = World { limits, ..World::default() };
    in_flight(&world, "loop").await.crash().await;
    for life in 2..=3 {
        let process = world.open().await;
        world.gates.arrived("third", life).await;
        process.crash().await;
    }
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    differs(runtime.verify("loop").await.unwrap(), HaltReason::CrashLoop, &["2 times in a row"]);
    runtime.recover().await.unwrap();
    runtime.attach("loop", verified).await.unwrap().await.unwrap_err();
    // Resuming it starts the count anew.
    continues(&runtime.verify("loop").await.unwrap(), &["third", "fourth"]);
}

#[durable]
async fn verified_bincode(ctx: Context) -> BTreeMap<(u8, u8), u8> {
    ctx.run("values", async || ()).await;
    BTreeMap::from([((1, 2), 3)])
}

#[tokio::test]
async fn a_result_is_compared_in_the_codec_it_is_recorded_in() {
    let world = World::default();
    let runtime = world.builder().codec(Codec::Bincode).open_store(world.disk.open()).await.unwrap();
    runtime.start("bincode", verified_bincode, ()).await.unwrap().await.unwrap();
    // In JSON there are no such keys.
    let other = world.builder().open_store(world.disk.open()).await.unwrap();
    assert_eq!(other.verify("bincode").await.unwrap(), Verification::Same);
}

#[durable]
async fn verified_map(ctx: Context) -> Result<HashMap<String, u32>, String> {
    let values = (0..50).map(|value| (format!("key {value}"), value)).collect();
    ctx.run("values", async || ()).await;
    Ok(values)
}

#[tokio::test]
async fn the_order_of_a_map_is_no_other_result() {
    for codec in [Codec::Json, Codec::Bincode] {
        let world = World::default();
        let runtime = world.builder().codec(codec).open_store(world.disk.open()).await.unwrap();
        runtime.start("map", verified_map, ()).await.unwrap().await.unwrap().unwrap();
        // Each map has an order of its own.
        for _ in 0..5 {
            assert_eq!(runtime.verify("map").await.unwrap(), Verification::Same, "{codec}");
        }
        // A runtime that writes another codec compares, too.
        let other = world.builder().open_store(world.disk.open()).await.unwrap();
        assert_eq!(other.verify("map").await.unwrap(), Verification::Same);
    }
}

#[tokio::test]
async fn a_run_without_its_function_or_with_a_journal_that_can_not_be_read_is_told_apart() {
    let world = World::default();
    let process = ended(&world, "whole").await;
    let whole = frames(&world.disk.memory, "whole");
    let with = |index: usize, change: fn(&mut Vec<u8>)| {
        let mut frames = whole.clone();
        change(&mut frames[index]);
        frames
    };
    let forgotten = |started: &mut Vec<u8>| {
        *started = patch(started, |event| {
            let name = event.windows(8).position(|window| window == b"verified").unwrap();
            event[name..name + 8].copy_from_slice(b"departed");
        });
    };
    // `write` says that a run has not ended.
    let unfinished = |index: usize, change: fn(&mut Vec<u8>)| {
        let mut frames = with(index, change);
        frames.pop();
        frames
    };
    write(&world.disk.memory, "forgotten", unfinished(0, forgotten));
    write(&world.disk.memory, "damaged", with(1, |frame| frame[9] ^= 1));
    write(&world.disk.memory, "twice", [&whole[..2], &whole[1..]].concat());
    write(&world.disk.memory, "headless", whole[1..].to_vec());
    write(
        &world.disk.memory,
        "input",
        unfinished(0, |started| {
            *started = patch(started, |event| {
                let input = event.windows(3).position(|window| window == [0, 1, b'1']).unwrap();
                event[input + 2] = b'x';
            });
        }),
    );
    let told = |run, reason, words| {
        let (world, process) = (&world, &process);
        async move { differs(verify(world, process, run).await, reason, words) }
    };
    told("forgotten", HaltReason::Unregistered, &["departed", "not part of this program"]).await;
    told("damaged", HaltReason::Corrupt, &["[D0206]", "position 1", "checksum"]).await;
    told("twice", HaltReason::Corrupt, &["position 2", "its one outcome already"]).await;
    told("headless", HaltReason::Corrupt, &["position 0", "the run is Empty"]).await;
    told("input", HaltReason::Value, &["its recorded input can't be used"]).await;
    assert!(matches!(process.runtime.verify("nobody").await, Err(AdminError::Unknown { .. })));
    assert!(matches!(process.runtime.verify("").await, Err(AdminError::InvalidId(InvalidRunId::Empty))));
}

#[durable]
async fn verified_batch(ctx: Context, value: u32) -> u32 {
    if is(&ctx, "renamed") {
        ctx.run(note, value).named("renamed").await
    } else {
        ctx.run(note, value).await
    };
    ctx.run(gated, value).named("rest").await
}

#[tokio::test]
async fn a_check_of_a_thousand_runs_lists_those_that_are_stranded() {
    const RUNS: u32 = 1_000;
    let world = World::default();
    let process = world.open().await;
    for value in 0..RUNS {
        process.runtime.start(format!("batch {value:03}"), verified_batch, value).await.unwrap().id();
    }
    world.gates.arrived("rest", RUNS as usize).await;
    let before = untouched(&world, &process);
    let check = process.runtime.check().await.unwrap();
    assert_eq!((check.running, check.halted, check.unreadable, check.stranded_count), (1_000, 0, 0, 0));
    assert!(check.fits() && check.stranded.is_empty());
    let report = "all 1000 unfinished runs can be continued by this program (1000 running, 0 suspended, 0 halted)\n";
    assert_eq!(check.to_string(), report);

    for value in (0..RUNS).step_by(100) {
        deploy(&format!("batch {value:03}"), "renamed");
    }
    let check = process.runtime.check().await.unwrap();
    assert_eq!(untouched(&world, &process), before, "checking left a trace");
    assert_eq!((check.running, check.stranded_count, check.fits()), (1_000, 10, false));
    let runs: Vec<_> = check.stranded.iter().map(|stranded| stranded.run.as_str().to_owned()).collect();
    assert!(runs.iter().eq(&(0..RUNS).step_by(100).map(|value| format!("batch {value:03}")).collect::<Vec<_>>()));
    let report = check.to_string();
    assert!(report.starts_with("10 of 1000 unfinished runs can't be continued by this program (1000 running, 0"));
    let first = "\nbatch 000: running, verified_batch\n    [D0402] step note: run `batch 000` of `verified_batch` can't go on: ";
    assert!(report.contains(first), "{report}");
    assert!(report.contains("\n      current:  step `renamed` at"), "{report}");
    assert!(!report.contains("more"), "{report}");
}

async fn unnoted(step: StepContext) -> u32 {
    step.dependency::<Effects>().note(&step);
    1
}

#[durable]
async fn verified_many(ctx: Context) -> u32 {
    assert!(!is(&ctx, "never"));
    ctx.run(unnoted).await
}

#[tokio::test]
async fn a_check_counts_what_it_does_not_list() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("one", verified_many, ()).await.unwrap().await.unwrap();
    let started = patch(&frames(&world.disk.memory, "one")[0], |event| {
        let name = event.windows(13).position(|window| window == b"verified_many").unwrap();
        event[name..name + 13].copy_from_slice(b"departed_many");
    });
    for number in 0..CHECK_LIST_MAX + 5 {
        write(&world.disk.memory, &format!("many {number}"), vec![started.clone()]);
    }
    let check = process.runtime.check().await.unwrap();
    assert_eq!((check.running, check.stranded_count, check.stranded.len()), (1_005, 1_005, 1_000));
    assert!(check.to_string().ends_with("\n… and 5 more\n"));
}

#[tokio::test]
async fn a_check_reports_halted_and_unreadable_runs() {
    let world = World::default();
    let process = in_flight(&world, "halting").await;
    for (run, change) in [("halted", "panics"), ("mended", "panics")] {
        deploy(run, change);
        process.runtime.start(run, verified, 1).await.unwrap().await.unwrap_err();
    }
    undo("mended", "panics");
    process.handle.lose_head("torn");
    let check = process.runtime.check().await.unwrap();
    assert_eq!((check.running, check.halted, check.unreadable, check.stranded_count), (1, 2, 1, 2));
    let runs: Vec<_> = check.stranded.iter().map(|stranded| (stranded.run.as_str(), stranded.halt.reason)).collect();
    assert_eq!(runs, [("halted", HaltReason::Panic), ("torn", HaltReason::Corrupt)]);
    let report = check.to_string();
    for words in [
        "2 of 4 unfinished runs can't be continued by this program (1 running, 0 suspended, 2 halted, 1 unreadable)\n",
        "\nhalted: halted, verified\n    [D0401] the function panicked",
        "\ntorn: unreadable\n    [D0407] [D0206] the journal of run torn is corrupt",
    ] {
        assert!(report.contains(words), "{words:?} is missing in: {report}");
    }
    undo("halted", "panics");
}

#[tokio::test]
async fn a_runtime_that_was_shut_down_verifies_nothing() {
    let runtime = Runtime::builder().in_memory().await.unwrap();
    let clone = runtime.clone();
    runtime.shutdown(std::time::Duration::ZERO).await;
    assert!(matches!(clone.verify("r").await, Err(AdminError::Store(_))));
    assert!(matches!(clone.check().await, Err(AdminError::Store(_))));
}
