//! A store whose calls fail, wait, tear and fill up: what was acknowledged is there, nothing recorded is done again, and
//! whoever asked is told so with a typed error (R12).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::{Store, StoreError};
use durable_runtime::testing::{Call, Fault, LossyStore};
use durable_runtime::{
    AdminError, Context, HaltReason, OpenError, Retry, RunError, RunFilter, RunStatus, Runtime, StartError,
    StepContext, durable,
};
use durable_tests::{Effects, Entry, Kind, World, is_left_out, journal, patiently};
use futures::future::join_all;

use crate::steps::{halted, note};

async fn second_time_lucky(step: StepContext, value: u32) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() == 1 { Err("not yet".to_owned()) } else { Ok(value) }
}

#[durable]
async fn through_faults(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    let lucky = ctx.run(second_time_lucky, value).retry(Retry::fixed(Duration::ZERO).max_attempts(2));
    let (second, third) = tokio::join!(ctx.run(note, first), lucky);
    ctx.run(note, second + third.unwrap_or(0)).await
}

const VALUE: u32 = 7;
const RESULT: u32 = 14;

async fn open(world: &World, store: &LossyStore) -> Result<Runtime, OpenError> {
    patiently("opening", world.builder().open_store(Arc::new(store.clone()))).await
}

/// The error is one that the script asked for.
fn scripted(error: &StoreError) {
    let is_scripted = match error {
        StoreError::Io { operation, .. } => operation.contains("scripted"),
        StoreError::Broken { first } => first.contains("scripted"),
        _ => false,
    };
    assert!(is_scripted, "{error}");
}

fn administered<T>(answer: Result<T, AdminError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(AdminError::Store(error)) => {
            scripted(&error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What a process was told, and may rely on from then on.
#[derive(Debug, Default)]
struct Told {
    started: Vec<&'static str>,
    ended: Vec<&'static str>,
    deleted: Vec<&'static str>,
    /// Deleted or not: the answer was an error.
    undecided: Vec<&'static str>,
}

impl Told {
    async fn run(&mut self, runtime: &Runtime, id: &'static str) {
        match patiently("a start", runtime.start(id, through_faults, VALUE)).await {
            Ok(run) => {
                self.started.push(id);
                match patiently("a run", run.into_future()).await {
                    Ok(result) => {
                        assert_eq!(result, RESULT);
                        self.ended.push(id);
                    }
                    Err(RunError::Halted { halt, .. }) => assert_eq!(halt.reason, HaltReason::Storage, "{halt}"),
                    Err(error) => panic!("{error}"),
                }
            }
            Err(StartError::Store { source, .. }) => scripted(&source),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A store with one run that has ended, and one that was in flight when the process died.
async fn with_a_past() -> (World, LossyStore) {
    let (world, store) = (World::default(), LossyStore::default());
    let runtime = open(&world, &store).await.unwrap();
    let mut told = Told::default();
    told.run(&runtime, "ended").await;
    store.on(Call::Commit, store.calls(Call::Commit) + 3, Fault::FailBefore);
    told.run(&runtime, "flight").await;
    assert_eq!((&told.started[..], &told.ended[..]), (&["ended", "flight"][..], &["ended"][..]));
    let next = store.power_cut();
    runtime.shutdown(Duration::ZERO).await;
    (world, next)
}

/// A process that makes every call there is. One thing after the other, so that the calls are the same each time.
async fn live(world: &World, store: &LossyStore, with: Call) -> Told {
    let mut told = Told::default();
    // Until somebody waits for the run in flight: asking for one that has ended by then would be a commit more.
    let in_flight = (with != Call::Tidy).then(|| store.hold(Call::Commit));
    let gate = (with == Call::Tidy).then(|| store.hold(Call::Tidy));
    let runtime = match open(world, store).await {
        Ok(runtime) => runtime,
        Err(OpenError::Store(error)) => {
            scripted(&error);
            return told;
        }
        Err(error) => panic!("{error}"),
    };
    if let Some(gate) = gate {
        // Before it has anything else to do, because it tidies only when it is idle.
        patiently("tidying", gate.arrived()).await;
    }
    let attached = patiently("attaching", runtime.attach("flight", through_faults)).await;
    drop(in_flight);
    if let Ok(run) = attached {
        // Whatever becomes of it: it is asked for again.
        let _ = patiently("a run", run.into_future()).await;
    }
    for id in ["flight", "new", "ended"] {
        told.run(&runtime, id).await;
    }
    match runtime.attach("ended", through_faults).await {
        Ok(run) => assert_eq!(run.await.unwrap(), RESULT),
        Err(StartError::Store { source, .. }) => scripted(&source),
        Err(error) => panic!("{error}"),
    }
    if let Some(info) = administered(runtime.get("flight").await) {
        assert!(info.is_some_and(|info| info.function == "through_faults"));
    }
    if let Some(journal) = administered(runtime.journal("ended").await) {
        assert!(journal.is_some_and(|journal| journal.length() > 5));
    }
    if let Some(listed) = administered(runtime.list(&RunFilter::new(), None, 10).await) {
        assert!(listed.runs.len() >= 2);
    }
    administered(runtime.check().await);
    if let Some(report) = administered(runtime.verify_store().await) {
        assert!(report.is_sound(), "{report}");
    }
    administered(runtime.verify("ended").await);
    match administered(runtime.delete("ended").await) {
        Some(is_known) => {
            assert!(is_known);
            told.deleted.push("ended");
        }
        None => told.undecided.push("ended"),
    }
    administered(runtime.compact().await);
    patiently("the shutdown", runtime.shutdown(Duration::ZERO)).await;
    told
}

/// What is on the disk after a process has ended.
fn found(store: &LossyStore) -> BTreeMap<String, Vec<Entry>> {
    let heads = store.list(None, None, usize::MAX).unwrap();
    heads.iter().map(|head| (head.run.to_string(), journal(store, head.run.as_str()))).collect()
}

/// The executions that need not, and must not, happen again: idempotency key and attempt.
fn recorded(found: &BTreeMap<String, Vec<Entry>>) -> Vec<(String, u32)> {
    let mut recorded: Vec<(String, u32)> = Vec::new();
    for (run, entries) in found {
        for key in entries.iter().filter_map(|entry| entry.key.as_ref()) {
            let key = format!("{run}:{key}");
            let attempts = recorded.iter().filter(|(known, _)| *known == key).count();
            recorded.push((key, u32::try_from(attempts).unwrap() + 1));
        }
    }
    recorded
}

fn ends(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.kind == Kind::Finished).count()
}

/// Acknowledged is there, and the next process goes on from what is there.
async fn check(world: &World, store: &LossyStore, told: &Told, what: &str) {
    let found = found(store);
    let is_kept =
        |id: &&&str| !told.deleted.contains(*id) && (!told.undecided.contains(*id) || found.contains_key(**id));
    for id in told.started.iter().filter(is_kept) {
        assert!(found.contains_key(*id), "{what}: the start of {id} was acknowledged, and is lost");
    }
    for id in told.ended.iter().filter(is_kept) {
        assert_eq!(ends(&found[*id]), 1, "{what}: the result of {id} was acknowledged, and is lost");
    }
    for id in &told.deleted {
        assert!(!found.contains_key(*id), "{what}: {id} was deleted, and is there again");
    }

    let before = world.effects.executions();
    let runtime = open(world, store).await.unwrap();
    let mut now = Told::default();
    for id in ["flight", "new", "ended"].into_iter().filter(|id| *id != "ended" || found.contains_key("ended")) {
        now.run(&runtime, id).await;
        assert!(now.ended.contains(&id), "{what}: {id} did not go on");
        let entries = journal(store, id);
        let mut completed: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::StepCompleted).collect();
        let outcomes = completed.len();
        completed.dedup_by_key(|entry| entry.key.clone());
        assert_eq!((outcomes, completed.len(), ends(&entries)), (4, 4, 1), "{what}: {id} has not one outcome of each");
    }
    patiently("the shutdown", runtime.shutdown(Duration::ZERO)).await;

    let after = world.effects.executions();
    let (recorded, again) = (recorded(&found), &after[before.len()..]);
    for execution in again {
        assert!(!recorded.contains(execution), "{what}: {execution:?} is recorded, and was executed again");
    }
    for execution in &after {
        let times = after.iter().filter(|other| *other == execution).count();
        // One process died in flight before; the fault ended another one.
        assert!(times <= 3, "{what}: {execution:?} was executed {times} times");
    }
}

#[tokio::test]
async fn whatever_call_fails_nothing_acknowledged_is_lost_and_nothing_recorded_is_repeated() {
    let mut swept = BTreeMap::new();
    for call in Call::ALL {
        let (world, store) = with_a_past().await;
        let first = store.calls(call) + 1;
        let told = live(&world, &store, call).await;
        assert_eq!((told.ended.len(), told.deleted.len()), (3, 1), "without a fault");
        let last = store.calls(call);
        check(&world, &store.power_cut(), &told, "without a fault").await;

        let mut faults = vec![Fault::FailBefore, Fault::FailAfter];
        if call == Call::Commit {
            faults.extend([Fault::DiskFull, Fault::Torn { appends: 0 }, Fault::Torn { appends: 1 }]);
        }
        // How often it is tidied while nothing else happens, and looked which suspended runs are due, depends on the time.
        let last = if matches!(call, Call::Tidy | Call::Due) { first } else { last };
        for number in first..=last {
            for fault in &faults {
                for is_cut in [false, true] {
                    let what = format!("{fault:?} at {call:?} {} of {}", number + 1 - first, last + 1 - first);
                    let (world, store) = with_a_past().await;
                    store.on(call, number, *fault);
                    let told = live(&world, &store, call).await;
                    assert!(store.calls(call) >= number, "{what}: did not happen");
                    let store = if is_cut { store.power_cut() } else { store.reopen() };
                    check(&world, &store, &told, &what).await;
                }
            }
        }
        swept.insert(call, (last + 1).saturating_sub(first));
    }
    println!("calls that failed: {swept:?}");
    for (call, count) in swept {
        assert!(count > 0, "{call:?} was never made");
    }
}

#[tokio::test]
async fn of_runs_that_share_a_torn_commit_each_is_there_whole_or_not_at_all() {
    const RUNS: [&str; 3] = ["x", "y", "z"];
    for appends in 0..=RUNS.len() {
        let (world, store) = (World::default(), LossyStore::default());
        let runtime = open(&world, &store).await.unwrap();
        let gate = store.hold(Call::Commit);
        store.on(Call::Commit, 2, Fault::Torn { appends });
        let mut first = runtime.start("w", through_faults, VALUE).into_future();
        tokio::select! {
            _ = &mut first => unreachable!("it is held"),
            () = gate.arrived() => {}
        }
        // Queued behind it, so that they share the next commit.
        let mut others = Box::pin(join_all(RUNS.map(|id| runtime.start(id, through_faults, VALUE).into_future())));
        tokio::select! {
            biased;
            _ = &mut others => unreachable!("they are held"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        }
        drop(gate);
        patiently("the first start", first).await.unwrap().id();
        for started in patiently("the other starts", others).await {
            assert!(matches!(started, Err(StartError::Store { .. })), "{started:?}");
        }
        let store = store.power_cut();
        runtime.shutdown(Duration::ZERO).await;
        let found = found(&store);
        assert_eq!(RUNS.map(|run| found.contains_key(run)), [0, 1, 2].map(|which| which < appends), "{appends}");

        let runtime = open(&world, &store).await.unwrap();
        assert_eq!(runtime.recovery().resumed, 1 + appends);
        for id in ["w", "x", "y", "z"] {
            assert_eq!(runtime.start(id, through_faults, VALUE).await.unwrap().await.unwrap(), RESULT);
        }
        // The first step of the run that was acknowledged may have begun; no other had a reason to.
        for (key, times) in world.effects.counts().into_iter().filter(|(key, _)| !key.starts_with("w:")) {
            let is_retried = key.ends_with("lucky");
            assert_eq!(times, if is_retried { 2 } else { 1 }, "{key}");
        }
        runtime.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_halts_what_does_not_fit_and_goes_on_when_there_is_room() {
    const RUNS: u32 = 40;
    let (world, store) = (World::default(), LossyStore::default());
    store.limit_bytes(8_000);
    let runtime = open(&world, &store).await.unwrap();
    let (mut ended, mut interrupted) = (Vec::new(), Vec::new());
    for number in 0..RUNS {
        let id = format!("r{number}");
        match runtime.start(&id, through_faults, VALUE).await {
            Ok(run) => match run.await {
                Ok(result) => {
                    assert_eq!(result, RESULT);
                    ended.push(id);
                }
                Err(error) => {
                    let halt = halted::<u32>(Err(error), HaltReason::Storage);
                    assert!(halt.message.contains("no space left"), "{halt}");
                    interrupted.push(id);
                }
            },
            Err(StartError::Store { source: StoreError::Broken { .. }, .. }) => break,
            Err(StartError::Store { source: StoreError::Io { source, .. }, .. }) => {
                assert_eq!(source.kind(), ErrorKind::StorageFull);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(ended.len() > 2 && ended.len() < 30, "{}", ended.len());
    let store = store.power_cut();
    runtime.shutdown(Duration::ZERO).await;

    // It is still full: what has ended can be read and deleted, and what has not is kept.
    let runtime = open(&world, &store).await.unwrap();
    for id in &ended {
        assert_eq!(runtime.attach(id, through_faults).await.unwrap().await.unwrap(), RESULT);
    }
    let store = store.reopen();
    runtime.shutdown(Duration::ZERO).await;
    let runtime = world.builder().recover_later().open_store(Arc::new(store.clone())).await.unwrap();
    let unfinished = runtime.list(&RunFilter::new().status(RunStatus::Running), None, 10).await.unwrap().runs;
    assert_eq!(unfinished.iter().map(|run| run.id.to_string()).collect::<Vec<_>>(), interrupted);
    assert!(runtime.delete(&ended[0]).await.unwrap());
    runtime.recover().await.unwrap();
    for id in &interrupted {
        assert_eq!(runtime.attach(id, through_faults).await.unwrap().await.unwrap(), RESULT);
    }
    runtime.start("next", through_faults, VALUE).await.unwrap().id();
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn who_waits_for_a_slow_disk_holds_nobody_else_up() {
    if is_left_out("a run that comes back is read, and reads are held") {
        return;
    }
    let (world, store) = with_a_past().await;
    let runtime = open(&world, &store).await.unwrap();
    assert_eq!(runtime.attach("flight", through_faults).await.unwrap().await.unwrap(), RESULT);
    let gate = store.hold(Call::Read);
    let mut reading = Box::pin(runtime.get("ended"));
    tokio::select! {
        _ = &mut reading => unreachable!("it is held"),
        () = gate.arrived() => {}
    }
    let run = patiently("a start", runtime.start("new", through_faults, VALUE)).await.unwrap();
    assert_eq!(patiently("a run", run.into_future()).await.unwrap(), RESULT);
    drop(gate);
    assert_eq!(reading.await.unwrap().unwrap().status, RunStatus::Completed);
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_that_is_killed_while_the_disk_takes_its_time_was_told_nothing() {
    let (world, store) = (World::default(), LossyStore::default());
    let runtime = open(&world, &store).await.unwrap();
    let gate = store.hold(Call::Commit);
    let mut starting = runtime.start("r", through_faults, VALUE).into_future();
    tokio::select! {
        _ = &mut starting => unreachable!("it is acknowledged when it is durable"),
        () = gate.arrived() => {}
    }
    let next = store.power_cut();
    match patiently("the start", starting).await {
        Err(StartError::Store { source, .. }) => scripted(&source),
        answer => panic!("{answer:?}"),
    }
    runtime.shutdown(Duration::ZERO).await;
    assert!(found(&next).is_empty() && world.effects.keys().is_empty());
}
