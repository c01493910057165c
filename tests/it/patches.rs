//! Patches: code is changed while runs of it are under way, and each run keeps to the path it took (R9).

use std::collections::BTreeMap;

use durable_runtime::{Context, HaltReason, Limits, PATCH_ID_BYTES_MAX, durable};
use durable_tests::{Entry, Kind, Loss, World, copy, journal};
use parking_lot::Mutex;

use crate::steps::{halted, note};

/// A patch of the program that starts the runs.
const KNOWN: &str = "tests::known";

/// What makes the program have it: a place that asks, also one that no run comes to.
#[durable]
#[expect(dead_code, reason = "the program has the patch whether this runs or not")]
async fn patched_known(ctx: &Context) -> bool {
    ctx.patched("tests::known")
}

/// A patch that came later: the program that started the runs did not have it.
const LATER: &str = "tests::later";

/// Which program has the store open now, for each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// Without the patch.
    Old,
    /// With both paths.
    Both(&'static str),
    /// With the new path only.
    NewOnly(&'static str),
}

static PROGRAMS: Mutex<BTreeMap<String, Program>> = Mutex::new(BTreeMap::new());

/// Stands for a deploy: what no durable function may do.
fn deploy(run: &str, program: Program) {
    PROGRAMS.lock().insert(run.to_owned(), program);
}

/// The patch, as the program that runs has it.
fn is_new_path(ctx: &Context) -> bool {
    let program = PROGRAMS.lock()[ctx.run_id().as_str()];
    match program {
        Program::Old => false,
        Program::Both(id) => ctx.patched(id),
        Program::NewOnly(id) => {
            ctx.deprecate_patch(id);
            true
        }
    }
}

const OLD: u32 = 1 + 2 + 4;
const NEW: u32 = 1 + 20 + 4;

#[durable]
async fn patched_sequence(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).named("first").await;
    let second =
        if is_new_path(&ctx) { ctx.run(note, 20).named("new").await } else { ctx.run(note, 2).named("old").await };
    first + second + ctx.run(note, 4).named("last").await
}

/// A finished run of one program.
async fn recorded(run: &str, program: Program) -> World {
    deploy(run, program);
    let world = World::default();
    let process = world.open().await;
    process.runtime.start(run, patched_sequence, ()).await.unwrap().await.unwrap();
    world
}

/// What the run comes to when it crashed behind each of its records, and another program goes on with it.
async fn after_each_crash(world: &World, run: &str, program: Program) -> Vec<u32> {
    deploy(run, program);
    let mut results = Vec::new();
    for length in 1..journal(&world.disk.memory, run).len() {
        let again = World::with(copy(&world.disk.memory, run, length));
        let process = again.open().await;
        results.push(process.runtime.attach(run, patched_sequence).await.unwrap().await.unwrap());
        for step in ["first", "old", "new", "last"] {
            let key = format!("{run}:{step}");
            let is_recorded =
                journal(&world.disk.memory, run)[..length].iter().any(|entry| entry.key.as_deref() == Some(step));
            assert!(!is_recorded || again.effects.count(&key) == 0, "{key} was recorded, and ran again");
        }
        process.crash().await;
    }
    results
}

fn markers(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.kind == Kind::Patched).count()
}

#[tokio::test]
async fn an_old_run_keeps_the_old_path_once_it_has_recorded_something_of_it() {
    let world = recorded("old", Program::Old).await;
    // Started, first, old, last; cut in front of `old`, it had not come so far.
    assert_eq!(after_each_crash(&world, "old", Program::Both(LATER)).await, [NEW, NEW, OLD, OLD]);
}

#[tokio::test]
async fn a_new_run_takes_the_new_path_after_a_crash_at_every_record() {
    let world = recorded("new", Program::Both(KNOWN)).await;
    assert_eq!(markers(&journal(&world.disk.memory, "new")), 0, "Started says it");
    assert_eq!(after_each_crash(&world, "new", Program::Both(KNOWN)).await, [NEW; 4]);
    assert_eq!(after_each_crash(&world, "new", Program::NewOnly(KNOWN)).await, [NEW; 4], "its old path is not missed");
}

#[tokio::test]
async fn an_old_run_that_came_to_the_patch_later_keeps_the_new_path_after_a_crash_at_every_record() {
    let old = recorded("later", Program::Old).await;
    deploy("later", Program::Both(LATER));
    let world = World::with(copy(&old.disk.memory, "later", 2));
    let process = world.open().await;
    assert_eq!(process.runtime.attach("later", patched_sequence).await.unwrap().await.unwrap(), NEW);
    process.crash().await;
    let kinds: Vec<_> = journal(&world.disk.memory, "later").iter().map(|entry| entry.kind).collect();
    let step = Kind::StepCompleted;
    assert_eq!(kinds, [Kind::Started, step, Kind::Recovered, Kind::Patched, step, step, Kind::Finished]);
    assert_eq!(after_each_crash(&world, "later", Program::Both(LATER)).await, [NEW; 6]);
    assert_eq!(after_each_crash(&world, "later", Program::NewOnly(LATER)).await, [NEW; 6]);
}

/// Also R5.
#[tokio::test]
async fn no_step_begins_on_the_new_path_before_that_is_durable() {
    let old = recorded("gate", Program::Old).await;
    deploy("gate", Program::Both(LATER));
    let world = World::with(copy(&old.disk.memory, "gate", 2));
    // Recovered is written, the marker is not.
    let process = world.open_failing(1, Loss::Whole).await;
    halted(process.runtime.attach("gate", patched_sequence).await.unwrap().await, HaltReason::Storage);
    assert_eq!(markers(&journal(&world.disk.memory, "gate")), 0);
    assert_eq!(world.effects.keys(), [""; 0], "the marker was lost, and with it all that rests on it");
}

#[tokio::test]
async fn an_old_run_is_halted_by_code_without_its_path_and_goes_on_with_code_that_has_it() {
    let old = recorded("retired", Program::Old).await;
    deploy("retired", Program::NewOnly(LATER));
    let world = World::with(copy(&old.disk.memory, "retired", 3));
    let process = world.open().await;
    let attached = process.runtime.attach("retired", patched_sequence).await.unwrap();
    let halt = halted(attached.await, HaltReason::Divergence);
    for word in
        ["old path of patch `tests::later`", "step `old` at ", "record 3 of 4", "if ctx.patched(\"tests::later\")"]
    {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    assert_eq!(world.effects.keys(), [""; 0]);
    process.crash().await;

    deploy("retired", Program::Both(LATER));
    let process = world.open().await;
    process.runtime.resume("retired").await.unwrap();
    assert_eq!(process.runtime.attach("retired", patched_sequence).await.unwrap().await.unwrap(), OLD);
}

#[durable]
async fn patched_branch(ctx: &Context, first: u32) -> u32 {
    let first = ctx.run(note, first).named(format!("first {first}")).await;
    let is_new = is_new_path(ctx);
    let second = ctx.run(note, if is_new { 10 } else { 0 }).named(if is_new { "new" } else { "old" }).await;
    first + second + ctx.run(note, 100).await
}

#[durable]
async fn patched_branches(ctx: Context) -> u32 {
    let (left, right) = tokio::join!(patched_branch(&ctx, 1), patched_branch(&ctx, 2));
    left + right
}

#[tokio::test]
async fn concurrent_branches_take_the_same_path_after_a_crash_at_every_record() {
    const NEW: u32 = 3 + 20 + 200;
    const OLD: u32 = 3 + 200;
    for (started_by, then, results) in [
        (Program::Both(KNOWN), Program::Both(KNOWN), &[NEW][..]),
        (Program::Old, Program::Both(LATER), &[NEW, OLD][..]),
    ] {
        deploy("branches", started_by);
        let world = World::default();
        let process = world.open().await;
        process.runtime.start("branches", patched_branches, ()).await.unwrap().await.unwrap();
        process.crash().await;
        deploy("branches", then);
        let mut seen = Vec::new();
        // Crashes twice: behind each record, and behind each record of the life after that.
        for first in 1..journal(&world.disk.memory, "branches").len() {
            let again = World::with(copy(&world.disk.memory, "branches", first));
            let process = again.open().await;
            let result = process.runtime.attach("branches", patched_branches).await.unwrap().await.unwrap();
            process.crash().await;
            assert!(results.contains(&result), "{result} after {first} records");
            seen.push(result);
            let entries = journal(&again.disk.memory, "branches");
            for second in first..entries.len() {
                let third = World::with(copy(&again.disk.memory, "branches", second));
                let process = third.open().await;
                let again = process.runtime.attach("branches", patched_branches).await.unwrap().await.unwrap();
                process.crash().await;
                let is_known = markers(&entries[..second]) == 1 || result == OLD;
                assert!(again == result || !is_known, "{again} after {first} and {second} records, {result} before");
            }
        }
        for result in results {
            assert!(seen.contains(result), "{result} in {seen:?}");
        }
    }
}

/// As a function without the attribute asks, which gives its patches no place in the list of the program.
fn ask(ctx: &Context, id: &'static str) -> bool {
    ctx.patched(id)
}

#[durable]
async fn patched_badly(ctx: Context, how: u32) -> bool {
    match how {
        0 => ask(&ctx, ""),
        1 => ask(&ctx, String::leak("x".repeat(PATCH_ID_BYTES_MAX + 1))),
        2 => (0..4).any(|number| !ask(&ctx, String::leak(format!("patch {number}")))),
        3 => ctx.run("inside", async || ask(&ctx, "inside")).await,
        _ => ask(&ctx, String::leak("x".repeat(PATCH_ID_BYTES_MAX))),
    }
}

/// Also R14.
#[tokio::test]
async fn ids_that_can_not_be_recorded_and_too_many_of_them_halt_the_run() {
    let world = World { limits: Limits { operations: 3, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let bad = [
        (HaltReason::Misuse, "\"\" (0 bytes) can't be the id of a patch"),
        (HaltReason::Misuse, "(1025 bytes) can't be the id of a patch"),
        (HaltReason::Limit, "the run asked about 3 patches"),
        (HaltReason::Misuse, "`ctx.patched(\"inside\")` is called inside the body of a step"),
    ];
    for ((reason, words), how) in bad.into_iter().zip(0..) {
        let run = process.runtime.start(format!("bad {how}"), patched_badly, how).await.unwrap();
        let halt = halted(run.await, reason);
        assert!(halt.message.contains(words), "{words:?} is missing in: {halt}");
    }
    assert!(process.runtime.start("good", patched_badly, 4).await.unwrap().await.unwrap());
}
