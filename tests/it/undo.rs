//! `ctx.undo`: what a run has done is undone if it fails or is cancelled.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::store::Store;
use durable_runtime::testing;
use durable_runtime::{
    AdminError, Context, Failure, HaltReason, Retry, RunError, RunStatus, Runtime, StepContext, StepStatus, durable,
};
use durable_tests::{Effects, Kind, Loss, World, copy, journal, patiently, yield_often};

use crate::steps::{gated, halted, note};

/// Books something: has an effect, and returns a number of its own.
async fn book(step: StepContext, what: &str) -> Result<u64, String> {
    step.dependency::<Effects>().note(&step);
    if what == "moon" { Err("nobody flies there".to_owned()) } else { Ok(what.len() as u64) }
}

async fn unbook(step: StepContext, what: &str, number: u64) {
    assert_eq!(what.len() as u64, number, "as it was planned");
    step.dependency::<Effects>().note(&step);
}

/// Books a flight and a hotel, and then something else.
#[durable]
async fn books_a_trip(ctx: Context, last: String) -> Result<u64, String> {
    let flight = ctx.run(book, "flight").await?;
    ctx.undo(unbook, "flight", flight);
    let hotel = ctx.run(book, "hotel").await?;
    ctx.undo(unbook, "hotel", hotel).named("unbook hotel");
    let other = ctx.run(book, &last).await?;
    let what = String::from(&*last);
    ctx.undo(unbook, &what, other).named("unbook other");
    Ok(flight + hotel + other)
}

async fn status(runtime: &Runtime, run: &str) -> Option<RunStatus> {
    runtime.get(run).await.unwrap().map(|info| info.status)
}

fn kinds(world: &World) -> Vec<Kind> {
    journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect()
}

#[tokio::test]
async fn what_a_run_has_done_is_undone_in_reverse_when_it_fails() {
    let world = World::default();
    let process = world.open().await;
    let trip = process.runtime.start("r", books_a_trip, "moon".to_owned()).await.unwrap().await.unwrap();
    assert_eq!(trip, Err("nobody flies there".to_owned()));
    let outline = process.runtime.journal("r").await.unwrap().unwrap().outline();
    let expected = "started books_a_trip \"moon\"\n\
                    book [\"flight\"] = {\"Ok\":6}\n\
                    unbook [\"flight\",6]: to undo\n\
                    book#2 [\"hotel\"] = {\"Ok\":5}\n\
                    unbook hotel [\"hotel\",5]: to undo\n\
                    book#3 [\"moon\"] = {\"Err\":\"nobody flies there\"}\n\
                    unbook hotel = null\n\
                    unbook = null\n\
                    finished {\"Err\":\"nobody flies there\"}\n";
    assert_eq!(outline, expected);
    assert_eq!(status(&process.runtime, "r").await, Some(RunStatus::Failed));
    assert!(process.runtime.verify("r").await.unwrap().fits());
    process.crash().await;
    let process = world.open().await;
    let trip = process.runtime.start("r", books_a_trip, "moon".to_owned()).await.unwrap().await.unwrap();
    assert!(trip.is_err());
    assert_eq!(world.effects.counts().values().sum::<usize>(), 5);
}

#[tokio::test]
async fn of_a_run_that_succeeds_nothing_is_undone() {
    let world = World::default();
    let process = world.open().await;
    let trip = process.runtime.start("r", books_a_trip, "car".to_owned()).await.unwrap().await.unwrap();
    assert_eq!(trip, Ok(14));
    let steps = process.runtime.get("r").await.unwrap().unwrap().steps;
    let planned = steps.iter().filter(|step| step.status == StepStatus::Planned).map(|step| &*step.key);
    assert!(planned.eq(["unbook", "unbook hotel", "unbook other"]));
    assert!(process.runtime.verify("r").await.unwrap().fits());
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    assert_eq!(world.effects.counts().values().sum::<usize>(), 3);
}

#[test]
fn a_run_that_fails_is_explored() {
    let explored = testing::explore(books_a_trip, "moon".to_owned()).dependency_with(Effects::default).seeds(0..60);
    let explored = explored.check(|world| {
        assert_eq!(*world.output(), Err("nobody flies there".to_owned()));
        for step in ["book", "book#2", "unbook hotel", "unbook"] {
            assert!(world.executions(step) >= 1, "{step}");
        }
        assert_eq!(world.executions("unbook other"), 0);
    });
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}

#[durable]
async fn waits_with_something_to_undo(ctx: Context) -> u32 {
    let one = ctx.run(note, 1).await;
    ctx.undo(note, one).named("undone");
    one + ctx.run(gated, 10).await
}

fn cancelled<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    match result {
        Err(RunError::Cancelled { reason, .. }) => reason,
        other => panic!("cancelled expected, not {other:?}"),
    }
}

const CANCELLED: [Kind; 6] = [
    Kind::Started,
    Kind::StepCompleted,
    Kind::UndoPlanned,
    Kind::CancelRequested,
    Kind::StepCompleted,
    Kind::Cancelled,
];

#[tokio::test]
async fn a_run_that_is_cancelled_undoes_what_it_has_done_and_then_ends() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", waits_with_something_to_undo, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r", "changed my mind").await.unwrap();
    // Also while it is under way, and when it has ended.
    process.runtime.cancel("r", "again").await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "changed my mind");
    process.runtime.cancel("r", "again").await.unwrap();
    assert_eq!((world.effects.count("r:undone"), status(&process.runtime, "r").await), (1, Some(RunStatus::Cancelled)));
    assert_eq!(kinds(&world), CANCELLED);
    assert!(process.runtime.verify("r").await.is_ok());
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0);
    assert_eq!(status(&process.runtime, "r").await, Some(RunStatus::Cancelled));
}

#[durable]
async fn sleeps_with_something_to_undo(ctx: Context) -> u32 {
    let one = ctx.run(note, 1).await;
    ctx.undo(note, one).named("undone");
    ctx.sleep(Duration::from_hours(48)).await;
    ctx.run(note, 2).await
}

#[tokio::test]
async fn r14_a_suspended_run_is_woken_to_undo_what_it_has_done() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", sleeps_with_something_to_undo, ()).await.unwrap();
    patiently("a run that leaves memory", async {
        while status(&process.runtime, "r").await != Some(RunStatus::Suspended) {
            world.clock.advance(Duration::from_secs(1));
            yield_often().await;
        }
    })
    .await;
    process.runtime.cancel("r", "enough").await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "enough");
    assert_eq!((world.effects.count("r:undone"), world.effects.count("r:note#2")), (1, 0));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

/// The process dies, or the disk fails, at any record on the way.
#[tokio::test]
async fn a_cancel_at_any_record_undoes_exactly_what_was_done() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let mut failures = 0;
        for commits in 0.. {
            let world = World::default();
            let process = world.open_failing(commits, loss).await;
            let mut is_well = false;
            if let Ok(run) = process.runtime.start("r", waits_with_something_to_undo, ()).await {
                let arrived = async {
                    while process.handle.is_well() && world.effects.count("r:gated") == 0 {
                        yield_often().await;
                    }
                };
                patiently("the second step, or a failure", arrived).await;
                let asked = process.runtime.cancel("r", "no").await;
                if asked.is_ok() {
                    let ended = patiently("the run", run.into_future()).await;
                    is_well = process.handle.is_well() && matches!(ended, Err(RunError::Cancelled { .. }));
                }
            }
            process.crash().await;
            let process = world.open().await;
            let run = process.runtime.start("r", waits_with_something_to_undo, ()).await.unwrap();
            match process.runtime.cancel("r", "no").await {
                Ok(()) | Err(AdminError::Finished { status: RunStatus::Cancelled, .. }) => {}
                Err(error) => panic!("{error}"),
            }
            assert_eq!(cancelled(patiently("the run", run.into_future()).await), "no");
            process.crash().await;
            let kinds = kinds(&world);
            let count = |wanted: Kind| kinds.iter().filter(|kind| **kind == wanted).count();
            let has_done = world.effects.count("r:note") > 0 && kinds.contains(&Kind::StepCompleted);
            if has_done {
                assert!(world.effects.count("r:undone") >= 1, "{loss:?} {commits} {kinds:?}");
            } else {
                assert_eq!(world.effects.count("r:undone"), 0, "{loss:?} {commits} {kinds:?}");
            }
            assert_eq!((count(Kind::Cancelled), kinds.last()), (1, Some(&Kind::Cancelled)), "{loss:?} {commits}");
            if is_well {
                break;
            }
            failures += 1;
        }
        assert!(failures >= 4, "{failures}");
    }
}

static GATEWAY_IS_UP: AtomicBool = AtomicBool::new(false);

async fn refund(step: StepContext, _charge: u32) -> Result<(), String> {
    step.dependency::<Effects>().note(&step);
    if GATEWAY_IS_UP.load(Ordering::SeqCst) { Ok(()) } else { Err("the gateway is down".to_owned()) }
}

#[durable]
async fn can_not_refund(ctx: Context) -> Result<u32, Failure> {
    let one = ctx.run(note, 1).await;
    ctx.undo(note, one).named("first");
    ctx.undo(refund, one).retry(Retry::fixed(Duration::from_secs(1)).max_attempts(3));
    Err(Failure::new("out of stock"))
}

#[tokio::test]
async fn what_can_not_be_undone_halts_the_run_and_is_tried_again_when_it_is_resumed() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", can_not_refund, ()).await.unwrap();
    let ended = async {
        let mut run = std::pin::pin!(run.into_future());
        loop {
            tokio::select! {
                ended = &mut run => break ended,
                () = yield_often() => world.clock.advance(Duration::from_secs(1)),
            }
        }
    };
    let halt = halted(patiently("the run", ended).await, HaltReason::NotUndone);
    let told = halt.to_string();
    assert!(told.starts_with("[D0410] step refund: it was to undo what the run has done, and failed: "), "{told}");
    assert!(told.contains("the gateway is down"), "{told}");
    assert_eq!((world.effects.count("r:refund"), world.effects.count("r:first")), (3, 0));
    let info = process.runtime.get("r").await.unwrap().unwrap();
    let step = info.steps.iter().find(|step| step.key == "refund").unwrap();
    assert_eq!(step.failed_attempts.len(), 3);
    // Still down.
    process.runtime.resume("r").await.unwrap();
    let run = process.runtime.attach("r", can_not_refund).await.unwrap();
    halted(patiently("the run", run.into_future()).await, HaltReason::NotUndone);
    assert_eq!(world.effects.count("r:refund"), 4);
    process.crash().await;
    GATEWAY_IS_UP.store(true, Ordering::SeqCst);
    let process = world.open().await;
    process.runtime.resume("r").await.unwrap();
    let run = process.runtime.attach("r", can_not_refund).await.unwrap();
    let failed = patiently("the run", run.into_future()).await.unwrap().unwrap_err();
    assert_eq!(failed.to_string(), "out of stock");
    assert_eq!((world.effects.count("r:refund"), world.effects.count("r:first")), (5, 1));
    assert!(process.runtime.verify("r").await.unwrap().fits());
}

#[durable]
async fn panics_with_something_to_undo(ctx: Context) -> u32 {
    let one = ctx.run(note, 1).await;
    ctx.undo(note, one).named("undone");
    panic!("broken");
}

/// What the code planned just before it panicked is not recorded, and is undone all the same.
#[tokio::test]
async fn a_run_that_has_panicked_is_cancelled_and_undoes_what_it_has_done() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", panics_with_something_to_undo, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    process.runtime.cancel("r", "given up").await.unwrap();
    let run = process.runtime.attach("r", panics_with_something_to_undo).await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "given up");
    assert_eq!(world.effects.count("r:undone"), 1);
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

#[durable]
async fn takes_its_time_to_fail(ctx: Context) -> Result<u32, Failure> {
    let one = ctx.run(note, 1).await;
    ctx.undo(gated, one);
    Err(Failure::new("out of stock"))
}

/// A cancel of a run that is failing does not undo anything twice, and is not forgotten.
#[tokio::test]
async fn a_run_that_undoes_already_can_be_cancelled() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", takes_its_time_to_fail, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r", "enough").await.unwrap();
    world.gates.open("gated");
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "enough");
    assert_eq!(world.effects.count("r:gated"), 1);
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

/// Wherever its journal ends: behind an outcome it may have planned something that its process did not come to record.
#[tokio::test]
async fn a_run_that_is_not_in_memory_undoes_what_it_has_done() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r", waits_with_something_to_undo, ()).await.unwrap());
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    assert_eq!(kinds(&world), [Kind::Started, Kind::StepCompleted, Kind::UndoPlanned]);
    for length in 1..=3 {
        let world = World::with(copy(&world.disk.memory, "r", length));
        let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
        runtime.cancel("r", "given up").await.unwrap();
        let run = runtime.attach("r", waits_with_something_to_undo).await.unwrap();
        assert_eq!(cancelled(patiently("the run", run.into_future()).await), "given up");
        assert_eq!((world.effects.count("r:undone"), world.effects.count("r:gated")), (usize::from(length > 1), 0));
        assert_eq!(kinds(&world).contains(&Kind::CancelRequested), length > 1);
        assert_eq!(runtime.recover().await.unwrap().resumed, 0);
        assert!(runtime.verify_store().await.unwrap().is_sound());
    }
}

/// Who forks a run that was cancelled wants it to go on.
#[tokio::test]
async fn a_fork_of_a_cancelled_run_goes_on_and_has_the_same_to_undo() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", waits_with_something_to_undo, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.runtime.cancel("r", "enough").await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "enough");
    process.runtime.fork("r", "undone", "f").await.unwrap();
    world.gates.arrived("gated", 2).await;
    process.runtime.cancel("f", "enough, too").await.unwrap();
    let fork = process.runtime.attach("f", waits_with_something_to_undo).await.unwrap();
    assert_eq!(cancelled(patiently("the fork", fork.into_future()).await), "enough, too");
    assert_eq!((world.effects.count("f:undone"), world.effects.count("f:note")), (1, 0));
    assert!(process.runtime.verify_store().await.unwrap().is_sound());
}

/// The request comes before its code was polled, which will only then plan what it had planned.
#[tokio::test]
async fn a_run_that_was_just_recovered_undoes_what_it_has_done() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r", waits_with_something_to_undo, ()).await.unwrap());
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let world = World::with(copy(&world.disk.memory, "r", 2));
    let disk = world.disk.open();
    disk.hold();
    let runtime = world.builder().open_store(Arc::clone(&disk) as Arc<dyn Store>).await.unwrap();
    patiently("the mark that it is recovered", disk.held()).await;
    let (asked, ()) = tokio::join!(runtime.cancel("r", "given up"), async {
        yield_often().await;
        disk.release();
    });
    asked.unwrap();
    let run = runtime.attach("r", waits_with_something_to_undo).await.unwrap();
    assert_eq!(cancelled(patiently("the run", run.into_future()).await), "given up");
    assert_eq!((world.effects.count("r:undone"), world.effects.count("r:gated")), (1, 0));
}
