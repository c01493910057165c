//! Opening without continuing anything, so that changed code can be checked before it serves (R12).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{Call, LossyStore};
use durable_runtime::{AdminError, Context, HaltReason, Limits, Runtime, StartError, durable};
use durable_tests::{World, contents, patiently};
use parking_lot::Mutex;

use crate::steps::{gated, halted, note};

/// The runs that see the changed code.
static CHANGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[durable]
async fn later(ctx: Context, value: u32) -> u32 {
    let is_changed = CHANGED.lock().contains(ctx.run_id().as_str());
    let first = ctx.run(note, value + u32::from(is_changed)).await;
    first + ctx.run(gated, 100).await
}

#[durable]
async fn later_other(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await
}

/// A world in which a process died while these runs were in flight, and in which they may end.
async fn died_with(runs: &[&str]) -> World {
    let world = World::default();
    let process = world.open().await;
    for run in runs {
        process.runtime.start(run, later, 1).await.unwrap().id();
    }
    world.gates.arrived("gated", runs.len()).await;
    process.crash().await;
    world.gates.open("gated");
    world
}

#[tokio::test]
async fn a_run_that_is_found_corrupt_on_the_way_is_told_once() {
    let world = died_with(&["torn", "whole"]).await;
    for is_checked in [true, false] {
        let handle = world.disk.open();
        handle.tear("torn");
        let runtime = world.builder().recover_later().open_store(handle).await.unwrap();
        if is_checked {
            let check = runtime.check().await.unwrap();
            assert_eq!((check.running, check.unreadable, check.stranded_count), (2, 0, 1));
            assert_eq!(check.stranded.iter().map(|stranded| stranded.run.as_str()).collect::<Vec<_>>(), ["torn"]);
        } else {
            let recovery = runtime.recover().await.unwrap();
            assert_eq!(recovery.resumed, 1);
            assert_eq!(recovery.skipped.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(), ["torn"]);
        }
        runtime.shutdown(Duration::from_secs(1)).await;
    }
}

#[durable]
async fn waits_later(ctx: Context) -> u32 {
    ctx.signal("later").await
}

#[durable]
async fn works_and_waits_later(ctx: Context) -> u32 {
    ctx.run(gated, 1).await + ctx.signal::<u32>("later").await
}

/// One that is halted while another one is looked at is neither forgotten nor counted twice.
#[tokio::test]
async fn a_run_that_changes_while_all_are_checked_is_looked_at_once() {
    let (world, store) = (World::default(), LossyStore::default());
    let runtime = world.builder().open_store(Arc::new(store.clone())).await.unwrap();
    runtime.start("first", waits_later, ()).await.unwrap().id();
    let second = runtime.start("second", works_and_waits_later, ()).await.unwrap();
    // In memory wherever runs that wait are: to pause it, nothing has to be read.
    world.gates.arrived("gated", 1).await;
    let gate = store.hold(Call::Read);
    let mut checking = Box::pin(runtime.check());
    tokio::select! {
        check = &mut checking => panic!("it reads: {check:?}"),
        () = gate.arrived() => {}
    }
    let pausing = runtime.pause("second", "meanwhile");
    let pausing = Box::pin(async { tokio::join!(pausing, async { world.gates.open("gated") }) });
    let (paused, ()) = patiently("the pause", pausing).await;
    paused.unwrap();
    halted(second.await, HaltReason::Paused);
    drop(gate);
    let check = checking.await.unwrap();
    assert_eq!((check.running + check.suspended + check.halted, check.halted), (2, 1), "{check}");
    runtime.shutdown(Duration::from_secs(1)).await;
}

async fn open(world: &World) -> Runtime {
    world.builder().recover_later().open_store(world.disk.open()).await.unwrap()
}

#[tokio::test]
async fn a_deploy_that_strands_runs_is_found_before_it_serves_and_nothing_has_happened() {
    let world = died_with(&["deploy 1", "deploy 2"]).await;
    let (store, effects) = (contents(&world.disk.memory), world.effects.keys());

    CHANGED.lock().insert("deploy 2".to_owned());
    let runtime = open(&world).await;
    let check = runtime.check().await.unwrap();
    assert_eq!((check.running, check.stranded_count), (2, 1));
    let stranded = &check.stranded[0];
    assert_eq!((stranded.run.as_str(), stranded.function.as_deref()), ("deploy 2", Some("later")));
    assert_eq!(stranded.halt.reason, HaltReason::Divergence);
    assert_eq!((runtime.recovery().resumed, runtime.stats().runs_recovered), (0, 0));
    runtime.shutdown(Duration::from_secs(1)).await;
    assert_eq!((contents(&world.disk.memory), world.effects.keys()), (store, effects), "the check left a trace");

    CHANGED.lock().remove("deploy 2");
    let runtime = open(&world).await;
    assert!(runtime.check().await.unwrap().fits());
    assert_eq!(runtime.recover().await.unwrap().resumed, 2);
    for run in ["deploy 1", "deploy 2"] {
        assert_eq!(runtime.attach(run, later).await.unwrap().await.unwrap(), 101);
        assert_eq!(world.effects.count(&format!("{run}:note")), 1);
    }
}

#[tokio::test]
async fn recovering_again_or_at_the_same_time_is_recovering_once() {
    let world = died_with(&["a", "b", "c"]).await;
    let runtime = open(&world).await;
    let (one, other) = tokio::join!(runtime.recover(), runtime.recover());
    assert_eq!((one.unwrap().resumed, other.unwrap().resumed), (3, 3));
    assert_eq!(runtime.recover().await.unwrap(), runtime.recovery());
    for run in ["a", "b", "c"] {
        assert_eq!(runtime.attach(run, later).await.unwrap().await.unwrap(), 101);
        assert_eq!(world.effects.count(&format!("{run}:gated")), 2);
    }
    assert_eq!(runtime.stats().runs_recovered, 3);
    // One that recovers when it opens has nothing left to do.
    let process = world.open().await;
    assert_eq!(process.runtime.recover().await.unwrap().resumed, 0);
}

#[tokio::test]
async fn a_run_that_is_asked_for_by_name_goes_on_alone() {
    let world = died_with(&["attached", "resumed", "started", "stands still"]).await;
    let runtime = open(&world).await;
    assert_eq!(runtime.attach("attached", later).await.unwrap().await.unwrap(), 101);
    assert_eq!(runtime.start("started", later, 1).await.unwrap().await.unwrap(), 101);
    runtime.resume("resumed").await.unwrap();
    assert_eq!(runtime.attach("resumed", later).await.unwrap().await.unwrap(), 101);
    assert_eq!(runtime.start("new", later, 2).await.unwrap().await.unwrap(), 102);
    assert_eq!(world.effects.count("stands still:gated"), 1);
    assert_eq!(runtime.recover().await.unwrap().resumed, 1);
    assert_eq!(runtime.attach("stands still", later).await.unwrap().await.unwrap(), 101);
    for run in ["attached", "resumed", "started", "stands still"] {
        assert_eq!((world.effects.count(&format!("{run}:note")), world.effects.count(&format!("{run}:gated"))), (1, 2));
    }
}

#[tokio::test]
async fn what_is_active_when_it_is_recovered_is_left_alone() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("active", later, 1).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let runtime = open(&world).await;
    let run = runtime.attach("active", later).await.unwrap();
    world.gates.arrived("gated", 2).await;
    assert_eq!(runtime.recover().await.unwrap().resumed, 0);
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), 101);
    assert_eq!(world.effects.count("active:gated"), 2, "it was driven twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_are_asked_for_while_they_are_recovered_are_driven_once() {
    let runs: Vec<String> = (0..200).map(|number| format!("race {number:03}")).collect();
    let names: Vec<&str> = runs.iter().map(String::as_str).collect();
    let world = died_with(&names).await;
    let runtime = open(&world).await;
    let asked = runs.iter().rev().enumerate().map(|(index, run)| {
        let (runtime, run) = (runtime.clone(), run.clone());
        tokio::spawn(async move {
            let run = match index % 2 {
                0 => runtime.attach(run, later).await.unwrap(),
                _ => runtime.start(run, later, 1).await.unwrap(),
            };
            run.await.unwrap()
        })
    });
    let asked: Vec<_> = asked.collect();
    runtime.recover().await.unwrap();
    for run in asked {
        assert_eq!(run.await.unwrap(), 101);
    }
    for run in &runs {
        assert_eq!(world.effects.count(&format!("{run}:gated")), 2, "{run} was driven twice");
    }
}

#[tokio::test]
async fn another_function_or_input_does_not_make_a_run_go_on_wrongly() {
    let world = died_with(&["r"]).await;
    let before = contents(&world.disk.memory);
    let runtime = open(&world).await;
    let refused = runtime.attach("r", later_other).await.unwrap_err();
    assert!(matches!(refused, StartError::OtherFunction { .. }), "{refused}");
    assert!(matches!(runtime.attach("nobody", later).await, Err(StartError::Unknown { .. })));
    assert_eq!(contents(&world.disk.memory), before, "it went on for nobody");
    assert!(runtime.delete("r").await.unwrap());
    assert_eq!(runtime.recover().await.unwrap().resumed, 0);
}

#[tokio::test]
async fn a_stranded_run_halts_alone_when_it_is_recovered_all_the_same() {
    let world = died_with(&["fits", "does not"]).await;
    CHANGED.lock().insert("does not".to_owned());
    let runtime = open(&world).await;
    assert_eq!(runtime.recover().await.unwrap().resumed, 2);
    halted(runtime.attach("does not", later).await.unwrap().await, HaltReason::Divergence);
    assert_eq!(runtime.attach("fits", later).await.unwrap().await.unwrap(), 101);
    let check = runtime.check().await.unwrap();
    assert_eq!((check.running, check.halted, check.stranded_count), (0, 1, 1));
    assert!(check.to_string().contains("\ndoes not: halted, later\n"), "{check}");
}

#[tokio::test]
async fn recovered_runs_wait_for_their_turn_and_a_closed_runtime_recovers_nothing() {
    let mut world = died_with(&["a", "b", "c", "d"]).await;
    world.limits = Limits { active_runs: 1, ..Limits::default() };
    let runtime = open(&world).await;
    assert_eq!(runtime.recover().await.unwrap().resumed, 4);
    for run in ["d", "c", "b", "a"] {
        assert_eq!(runtime.attach(run, later).await.unwrap().await.unwrap(), 101);
    }
    let runtime = open(&world).await;
    let clone = runtime.clone();
    runtime.shutdown(Duration::ZERO).await;
    assert!(matches!(clone.recover().await, Err(AdminError::Store(_))));
}
