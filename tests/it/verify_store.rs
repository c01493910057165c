//! Is what the store has what was written? And what becomes of a run that is not (R12).

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::{Append, MemoryStore, Record, Store};
use durable_runtime::testing::{Call, LossyStore};
use durable_runtime::{
    AdminError, Context, Fence, Flaw, HaltReason, Position, Retry, RunFilter, RunId, RunStatus, Runtime, StartError,
    StepContext, StoreReport, Timestamp, durable,
};
use durable_tests::{World, contents, frames, is_left_out, patch, patiently, suspended};

use crate::steps::{gated, halted, note};

async fn twice(step: StepContext) -> Result<u32, String> {
    if step.attempt() == 1 { Err("not yet".to_owned()) } else { Ok(2) }
}

#[durable]
async fn kept(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    first + ctx.run(gated, 10).await
}

#[durable]
async fn kept_waiting(ctx: Context) -> Result<u32, String> {
    ctx.run(twice).retry(Retry::fixed(Duration::from_mins(1)).max_attempts(2)).await
}

#[durable]
async fn kept_panicking(ctx: Context) -> u32 {
    ctx.run(note, 1).await;
    panic!("as it is meant to")
}

/// A world whose disk has a run that waits in a step, one that waits for a retry, one that is halted and one that ended.
async fn with_runs() -> World {
    let world = World::default();
    let process = world.open().await;
    world.gates.open("gated");
    assert_eq!(process.runtime.start("ended", kept, 1).await.unwrap().await.unwrap(), 11);
    process.runtime.start("halted", kept_panicking, ()).await.unwrap().await.unwrap_err();
    process.runtime.start("retries", kept_waiting, ()).await.unwrap().id();
    suspended(&process.runtime, "retries").await;
    process.crash().await;
    world
}

/// Writes a run as it could only be after damage.
fn damaged(store: &dyn Store, run: &str, frames: Vec<Vec<u8>>, status: RunStatus, due: Option<Timestamp>) {
    let append = Append {
        run: RunId::new(run).unwrap(),
        expected: Position(0),
        fence: Fence(1),
        records: frames.into_iter().map(|frame| Record { frame, due }).collect(),
        replaces: false,
        clears: Vec::new(),
        status,
    };
    store.commit(&[append]).unwrap()[0].unwrap();
}

async fn open_later(world: &World) -> Runtime {
    world.builder().recover_later().open_store(world.disk.open()).await.unwrap()
}

fn found(report: &StoreReport) -> Vec<(&str, Flaw, Option<u64>)> {
    let place = |position: Option<Position>| position.map(|position| position.0);
    report.findings.iter().map(|finding| (finding.run.as_str(), finding.flaw, place(finding.position))).collect()
}

#[tokio::test]
async fn a_sound_store_is_read_whole_and_left_as_it_is() {
    let world = with_runs().await;
    let before = contents(&world.disk.memory);
    let runtime = open_later(&world).await;
    let report = runtime.verify_store().await.unwrap();
    assert!(report.is_sound(), "{report}");
    let frames: Vec<_> = before.iter().flat_map(|run| &run.frames).collect();
    let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
    assert_eq!((report.runs, report.records, report.bytes), (3, frames.len() as u64, bytes as u64));
    assert_eq!(report.to_string(), format!("all 3 runs are sound ({} records, {bytes} bytes)\n", frames.len()));
    assert_eq!(contents(&world.disk.memory), before);
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn each_flaw_is_told_with_its_place_and_the_sound_runs_go_on() {
    let world = with_runs().await;
    let disk = &world.disk.memory;
    let ended = frames(disk, "ended");
    let retries = frames(disk, "retries");
    let end = ended.len() as u64;

    let mut flipped = ended.clone();
    *flipped[1].last_mut().unwrap() ^= 1;
    damaged(disk, "flipped", flipped, RunStatus::Completed, None);
    let nonsense = vec![ended[0].clone(), patch(&ended[1], |event| *event = vec![0xff; 9])];
    damaged(disk, "nonsense", nonsense, RunStatus::Running, None);
    let twice = [&ended[..2], &ended[1..]].concat();
    damaged(disk, "twice", twice, RunStatus::Completed, None);
    damaged(disk, "goes on", ended.clone(), RunStatus::Running, None);
    damaged(disk, "failed", ended.clone(), RunStatus::Failed, None);
    damaged(disk, "cut", ended[..2].to_vec(), RunStatus::Completed, None);
    damaged(disk, "other timer", retries.clone(), RunStatus::Suspended, Some(Timestamp(7)));
    damaged(disk, "too many timers", ended[..2].to_vec(), RunStatus::Suspended, Some(Timestamp(7)));

    let runtime = open_later(&world).await;
    let report = runtime.verify_store().await.unwrap();
    let expected = [
        ("cut", Flaw::Status, None),
        ("failed", Flaw::Status, None),
        ("flipped", Flaw::Record, Some(1)),
        ("goes on", Flaw::Status, None),
        ("nonsense", Flaw::Record, Some(1)),
        ("twice", Flaw::Order, Some(2)),
        ("other timer", Flaw::Timers, Some(0)),
        ("too many timers", Flaw::Timers, Some(0)),
    ];
    assert_eq!(found(&report), expected);
    assert_eq!((report.runs, report.findings_count), (11, 8));
    let text = report.to_string();
    for words in [
        "8 of 11 runs are not sound (",
        "\nflipped: a record can't be read, at position 1: the checksum does not match",
        "\ntwice: a record stands where it can't, at position 2: StepCompleted can't stand there: note has its one outcome already\n",
        &format!(
            "\ngoes on: its status is not that of its records: the store says that it is running with {end} records, and by its {end} records it is completed\n"
        ),
        "\nother timer: its timers are not those of its records, at position 0: by its records it has 1, by the store 2\n",
        "\nThe others go on.",
    ] {
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }

    assert!(runtime.delete("other timer").await.unwrap());
    // Those that are corrupt are refused by all who ask; those with other timers go on by their records.
    let recovery = runtime.recover().await.unwrap().clone();
    let skipped: Vec<_> = recovery.skipped.iter().map(|(run, halt)| (run.as_str(), halt.reason)).collect();
    assert_eq!(skipped, [("goes on", HaltReason::Corrupt), ("nonsense", HaltReason::Corrupt)]);
    let listed = runtime.list(&RunFilter::new(), None, 20).await.unwrap().runs;
    for (run, flaw, _) in expected.into_iter().filter(|(run, ..)| *run != "other timer") {
        let summary = listed.iter().find(|summary| summary.id.as_str() == run).unwrap();
        let halt = summary.halt.as_ref().map(|halt| halt.reason);
        if flaw == Flaw::Timers {
            assert_eq!(halt, None, "{run}");
            continue;
        }
        // A list looks at the first and the last record.
        let is_between = matches!(run, "flipped" | "twice");
        let expected = if is_between { (None, Some("kept")) } else { (Some(HaltReason::Corrupt), None) };
        assert_eq!((halt, summary.function.as_deref()), expected, "{run}");
        let message = runtime.get(run).await.unwrap_err().to_string();
        assert!(message.starts_with("[D0206]"), "{message}");
        assert!(matches!(runtime.resume(run).await, Err(AdminError::Store(error)) if error.to_string() == message));
        match runtime.attach(run, kept).await {
            Err(StartError::Store { source, .. }) => assert_eq!(source.to_string(), message),
            answer => panic!("{answer:?}"),
        }
        halted(runtime.start(run, kept, 1).await.unwrap().await, HaltReason::Corrupt);
        assert!(runtime.delete(run).await.unwrap(), "{run}");
    }
    assert_eq!(runtime.attach("too many timers", kept).await.unwrap().await.unwrap(), 11);
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(runtime.attach("retries", kept_waiting).await.unwrap().await.unwrap(), Ok(2));
    let report = runtime.verify_store().await.unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(runtime.start("cut", kept, 1).await.unwrap().await.unwrap(), 11, "a deleted id starts anew");
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_run_of_which_the_store_can_read_nothing_is_told_once_and_listed() {
    let world = with_runs().await;
    let handle = world.disk.open();
    handle.lose_head("nothing");
    handle.tear("ended");
    let runtime = world.builder().open_store(handle).await.unwrap();
    for _ in 0..2 {
        let report = runtime.verify_store().await.unwrap();
        assert_eq!(found(&report), [("ended", Flaw::Record, None), ("nothing", Flaw::Record, None)]);
        assert_eq!(report.runs, 4);
    }
    let ids =
        |runs: Vec<durable_runtime::RunSummary>| runs.into_iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
    assert_eq!(
        ids(runtime.list(&RunFilter::new(), None, 10).await.unwrap().runs),
        ["ended", "halted", "nothing", "retries"]
    );
    assert_eq!(
        ids(runtime.list(&RunFilter::new().status(RunStatus::Halted), None, 10).await.unwrap().runs),
        ["ended", "halted", "nothing"]
    );
    assert_eq!(
        ids(runtime.list(&RunFilter::new().status(RunStatus::Suspended), None, 10).await.unwrap().runs),
        ["retries"]
    );
    // Page by page each is listed once.
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = runtime.list(&RunFilter::new(), after.as_ref(), 1).await.unwrap();
        assert_eq!(page.runs.len(), 1);
        paged.extend(ids(page.runs));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["ended", "halted", "nothing", "retries"]);
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn runs_that_change_while_the_store_is_verified_are_no_finding() {
    if is_left_out("a run that comes back is read, and reads are held") {
        return;
    }
    let (world, store) = (World::default(), LossyStore::default());
    let runtime = world.builder().open_store(Arc::new(store.clone())).await.unwrap();
    runtime.start("retries", kept_waiting, ()).await.unwrap().id();
    suspended(&runtime, "retries").await;
    for number in 0..150 {
        runtime.start(format!("r{number}"), kept, number).await.unwrap().id();
    }
    world.gates.arrived("gated", 150).await;
    // Held between the listing of the timers and that of the runs, and at each look after that.
    let mut gate = store.hold(Call::List);
    let mut verifying = Box::pin(runtime.verify_store());
    tokio::select! {
        _ = &mut verifying => unreachable!("it is held"),
        () = gate.arrived() => {}
    }
    world.gates.open("gated");
    world.clock.advance(Duration::from_mins(1));
    while runtime.stats().runs_finished < 151 {
        tokio::task::yield_now().await;
    }
    let reads = store.calls(Call::Read);
    let next = store.hold(Call::Due);
    drop(std::mem::replace(&mut gate, next));
    // Whoever wakes sleeping runs asks for timers, too: who is held is told by what was read.
    while store.calls(Call::Read) < reads + 152 {
        tokio::select! {
            _ = &mut verifying => unreachable!("the run that had a timer is looked at twice"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(runtime.delete("retries").await.unwrap());
    drop(gate);
    let report = patiently("the report", verifying).await.unwrap();
    assert!(report.is_sound() && report.runs == 151, "{report}");
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_store_that_fails_as_a_whole_is_an_error_and_no_report() {
    for call in [Call::List, Call::Read, Call::Due] {
        let (world, store) = (World::default(), LossyStore::default());
        let runtime = world.builder().open_store(Arc::new(store.clone())).await.unwrap();
        world.gates.open("gated");
        runtime.start("r", kept, 1).await.unwrap().await.unwrap();
        // Whoever wakes sleeping runs asks what is due, and when the next one is, and then waits.
        patiently("a look at the timers", async {
            while store.calls(Call::Due) < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        store.on(call, store.calls(call) + 1, durable_runtime::testing::Fault::FailBefore);
        assert!(matches!(runtime.verify_store().await, Err(AdminError::Store(_))), "{call:?}");
        assert!(runtime.verify_store().await.unwrap().is_sound());
        runtime.shutdown(Duration::ZERO).await;
    }
    let empty = Runtime::builder().open_store(Arc::new(MemoryStore::default())).await.unwrap();
    assert_eq!(empty.verify_store().await.unwrap().to_string(), "all 0 runs are sound (0 records, 0 bytes)\n");
}
