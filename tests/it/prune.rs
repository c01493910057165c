//! `Runtime::prune` and `RuntimeBuilder::retention`: runs that ended long ago are deleted.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::{Append, Record, Store as _};
use durable_runtime::testing::{Call, Fault, LossyStore};
use durable_runtime::{
    AdminError, Clock as _, Context, Fence, Position, Retention, RunFilter, RunId, RunStatus, Runtime, durable,
};
use durable_tests::{World, frames, is_left_out, patiently, suspended, yield_often};

use crate::steps::{gated, note};

const HOUR: Duration = Duration::from_hours(1);

#[durable]
async fn kept_for_a_while(ctx: Context, value: u32) -> Result<u32, String> {
    match ctx.run(note, value).await {
        0 => Err("nothing".to_owned()),
        1 => panic!("as it is meant to"),
        2 => Ok(ctx.run(gated, value).await),
        3 => {
            ctx.sleep(1_000 * HOUR).await;
            Ok(3)
        }
        value => Ok(value),
    }
}

async fn ids(runtime: &Runtime) -> Vec<String> {
    let page = runtime.list(&RunFilter::new(), None, 1_000).await.unwrap();
    page.runs.into_iter().map(|run| run.id.to_string()).collect()
}

/// One run in each state, which have been so since now.
async fn one_of_each(world: &World, runtime: &Runtime) {
    for (id, value) in
        [("cancelled", 2), ("failed", 0), ("halted", 1), ("running", 2), ("suspended", 3), ("completed", 9)]
    {
        runtime.start(id, kept_for_a_while, value).await.unwrap().id();
    }
    world.gates.arrived("gated", 2).await;
    runtime.cancel("cancelled", "enough").await.unwrap();
    suspended(runtime, "suspended").await;
    for (id, status) in
        [("failed", RunStatus::Failed), ("halted", RunStatus::Halted), ("completed", RunStatus::Completed)]
    {
        patiently(id, async {
            while runtime.get(id).await.unwrap().unwrap().status != status {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn runs_go_by_how_they_ended_and_how_long_ago_that_was() {
    let all = ["cancelled", "completed", "failed", "halted", "running", "suspended"];
    let of_age = |age: Duration| {
        let none = Retention::new();
        let both = none.completed(age).cancelled(age);
        [
            (none, vec![]),
            (none.completed(age), vec!["completed"]),
            (none.failed(age), vec!["failed"]),
            (none.cancelled(age), vec!["cancelled"]),
            (both, vec!["cancelled", "completed"]),
            (both.failed(age), vec!["cancelled", "completed", "failed"]),
            (both.failed(2 * age + HOUR), vec!["cancelled", "completed"]),
        ]
    };
    for number in 0..of_age(HOUR).len() {
        for age in [Duration::ZERO, Duration::from_millis(1), 24 * HOUR] {
            let world = World::default();
            let runtime = world.open().await.runtime;
            one_of_each(&world, &runtime).await;
            let (retention, goes) = of_age(age)[number].clone();
            if !age.is_zero() {
                world.clock.advance(age.saturating_sub(Duration::from_millis(1)));
                assert_eq!(runtime.prune(retention).await.unwrap(), 0, "{retention:?}: a moment too early");
                assert_eq!(ids(&runtime).await, all);
                world.clock.advance(Duration::from_millis(1));
            }
            assert_eq!(runtime.prune(retention).await.unwrap(), goes.len() as u64, "{retention:?}");
            let stays: Vec<_> = all.into_iter().filter(|id| !goes.contains(id)).collect();
            assert_eq!(ids(&runtime).await, stays, "{retention:?}");
            assert_eq!(runtime.prune(retention).await.unwrap(), 0, "{retention:?}: again");
            // What it left goes on as if nothing had been.
            world.gates.open("gated");
            assert_eq!(runtime.attach("running", kept_for_a_while).await.unwrap().await.unwrap(), Ok(2));
        }
    }
}

#[tokio::test]
async fn what_is_pruned_is_gone_for_good_and_the_others_are_as_they_were() {
    let temporary = tempfile::tempdir().unwrap();
    let world = World::default();
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    let (mut old, mut young) = (Vec::new(), Vec::new());
    for number in 0..1_100 {
        let run = runtime.start(format!("r{number:04}"), kept_for_a_while, 9).await.unwrap();
        if number % 11 == 0 { young.push(run) } else { old.push(run) }
    }
    for run in old.into_iter().chain(young) {
        run.await.unwrap().unwrap();
    }
    world.clock.advance(HOUR);
    for number in (0..1_100).step_by(11) {
        let id = format!("r{number:04}");
        assert!(runtime.delete(&id).await.unwrap());
        runtime.start(id, kept_for_a_while, 8).await.unwrap().await.unwrap().unwrap();
    }
    assert_eq!(runtime.prune(Retention::new().completed(HOUR)).await.unwrap(), 1_000);
    let stays: Vec<_> = (0..1_100).step_by(11).map(|number| format!("r{number:04}")).collect();
    assert_eq!(ids(&runtime).await, stays);
    runtime.shutdown(Duration::ZERO).await;
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    assert_eq!(ids(&runtime).await, stays);
    assert!(runtime.verify_store().await.unwrap().is_sound());
    assert_eq!(runtime.start("r0001", kept_for_a_while, 7).await.unwrap().await.unwrap(), Ok(7), "the id is free");
    runtime.compact().await.unwrap();
    assert_eq!(runtime.attach("r0011", kept_for_a_while).await.unwrap().await.unwrap(), Ok(8));
    runtime.shutdown(Duration::ZERO).await;
}

/// A store with three runs that have ended, and a runtime on it.
async fn three_ended(world: &World) -> (LossyStore, Runtime) {
    let store = LossyStore::default();
    let runtime = world.builder().open_store(Arc::new(store.clone())).await.unwrap();
    for id in ["a", "b", "c"] {
        runtime.start(id, kept_for_a_while, 9).await.unwrap().await.unwrap().unwrap();
    }
    world.clock.advance(HOUR);
    (store, runtime)
}

#[tokio::test]
async fn a_prune_that_the_store_stops_can_be_repeated() {
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        let world = World::default();
        let (store, runtime) = three_ended(&world).await;
        store.on(Call::Delete, store.calls(Call::Delete) + 2, fault);
        let policy = Retention::new().completed(HOUR);
        assert!(matches!(runtime.prune(policy).await, Err(AdminError::Store(_))));
        // A store that failed has to be opened anew.
        let runtime = world.builder().open_store(Arc::new(store.reopen())).await.unwrap();
        let left = ids(&runtime).await;
        assert_eq!(left.len(), if fault == Fault::FailBefore { 2 } else { 1 }, "{fault:?}");
        assert_eq!(runtime.prune(policy).await.unwrap(), left.len() as u64);
        assert_eq!(ids(&runtime).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_run_that_was_started_anew_since_it_was_looked_at_is_kept() {
    let world = World::default();
    let process = world.open().await;
    for id in ["a", "b", "c", "young"] {
        process.runtime.start(id, kept_for_a_while, 9).await.unwrap().await.unwrap().unwrap();
        world.clock.advance(if id == "c" { HOUR } else { Duration::ZERO });
    }
    process.handle.hold();
    let pruning = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.prune(Retention::new().completed(HOUR)).await }
    });
    process.handle.held().await;
    // `a` is being deleted. Meanwhile `b`, which was found to be old, is deleted by somebody else, started anew, and ends.
    let (disk, run) = (&world.disk.memory, RunId::new("b").unwrap());
    let anew = frames(disk, "young").into_iter().map(|frame| Record { frame, due: None });
    assert!(disk.delete(&run).unwrap());
    let (expected, fence, status) = (Position(0), Fence(1), RunStatus::Completed);
    let append = Append { run, expected, fence, records: anew.collect(), replaces: false, clears: Vec::new(), status };
    disk.commit(&[append]).unwrap()[0].unwrap();
    process.handle.release();
    assert_eq!(pruning.await.unwrap().unwrap(), 2);
    assert_eq!(ids(&process.runtime).await, ["b", "young"]);
}

#[tokio::test]
async fn a_prune_ends_with_the_runtime() {
    let world = World::default();
    let (store, runtime) = three_ended(&world).await;
    let gate = store.hold(Call::Delete);
    let pruning = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.prune(Retention::new().completed(HOUR)).await }
    });
    patiently("a deletion", gate.arrived()).await;
    let shutdown = tokio::spawn(runtime.shutdown(HOUR));
    yield_often().await;
    drop(gate);
    patiently("the shutdown", shutdown).await.unwrap();
    assert!(matches!(pruning.await.unwrap(), Err(AdminError::ShuttingDown | AdminError::Store(_))));
    assert_eq!(store.calls(Call::Delete), 1);
}

#[tokio::test]
async fn a_runtime_prunes_by_itself_when_it_opens_and_every_hour() {
    let world = World::default();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let policy = Retention::new().completed(HOUR + HOUR / 2).failed(HOUR);
    let open = async || world.builder().retention(policy).open_store(world.disk.open()).await.unwrap();
    let before = tasks();
    let runtime = open().await;
    world.asked_for(world.clock.now().after(HOUR)).await;
    for (id, value) in [("completed", 9), ("failed", 0)] {
        drop(runtime.start(id, kept_for_a_while, value).await.unwrap().await.unwrap());
    }
    for left in [vec!["completed"], vec![]] {
        world.clock.advance(HOUR);
        world.asked_for(world.clock.now().after(HOUR)).await;
        assert_eq!(ids(&runtime).await, left);
    }
    runtime.start("next", kept_for_a_while, 9).await.unwrap().await.unwrap().unwrap();
    runtime.shutdown(Duration::ZERO).await;
    yield_often().await;
    assert_eq!(tasks(), before, "nothing of it goes on");
    world.clock.advance(24 * HOUR);
    assert_eq!(world.disk.memory.list(None, None, 9).unwrap().len(), 1);

    let runtime = open().await;
    world.asked_for(world.clock.now().after(HOUR)).await;
    assert_eq!(ids(&runtime).await, [""; 0]);
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn nothing_is_pruned_before_the_store_is_recovered() {
    if is_left_out("it counts what is left") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", kept_for_a_while, 9).await.unwrap().await.unwrap().unwrap();
    process.crash().await;
    world.clock.advance(HOUR);
    let builder = world.builder().retention(Retention::new().completed(HOUR)).recover_later();
    let runtime = builder.open_store(world.disk.open()).await.unwrap();
    yield_often().await;
    assert_eq!(ids(&runtime).await, ["r"]);
    runtime.recover().await.unwrap();
    world.asked_for(world.clock.now().after(HOUR)).await;
    assert_eq!(ids(&runtime).await, [""; 0]);
    runtime.shutdown(Duration::ZERO).await;
}
