//! R1: a run is durable before `start` returns, and one id is one run.

use std::collections::HashMap;

use durable_runtime::{Context, RunError, RunFilter, RunStatus, StartError, durable};
use durable_tests::{Kind, Loss, World, journal};
use futures::future::try_join_all;

use crate::steps::{gated, note};

#[durable]
async fn start_one(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await
}

#[durable]
async fn start_other(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await
}

#[durable]
async fn start_slow(ctx: Context, value: u32) -> u32 {
    ctx.run(gated, value).await
}

#[durable]
async fn start_with_map(ctx: Context, prices: HashMap<String, u32>) -> u32 {
    ctx.run(note, prices.values().sum()).await
}

/// Also R5.
#[tokio::test]
async fn start_returns_after_the_run_is_durable_and_no_step_begins_before() {
    let world = World::default();
    let process = world.open().await;
    process.handle.hold();
    let starting = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.start("r", start_one, 7).await }
    });
    process.handle.held().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!starting.is_finished(), "start returned before its record was durable");
    assert_eq!(world.effects.keys(), [""; 0], "a step began before the run was durable");
    process.handle.release();
    assert_eq!(starting.await.unwrap().unwrap().await.unwrap(), 7);
    assert_eq!(journal(&world.disk.memory, "r")[0].kind, Kind::Started);
}

#[tokio::test]
async fn a_start_that_the_store_refuses_is_an_error_and_leaves_nothing() {
    let world = World::default();
    let process = world.open_failing(0, Loss::Whole).await;
    let refused = process.runtime.start("r", start_one, 7).await.unwrap_err();
    assert!(matches!(&refused, StartError::Store { run, .. } if run.as_str() == "r"), "{refused}");
    assert_eq!(world.effects.keys(), [""; 0]);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.get("r").await.unwrap(), None);
    assert_eq!(process.runtime.start("r", start_one, 8).await.unwrap().await.unwrap(), 8);
}

#[tokio::test]
async fn a_start_whose_acknowledgement_was_lost_can_be_repeated() {
    let world = World::default();
    let process = world.open_failing(0, Loss::Acknowledgement).await;
    assert!(matches!(process.runtime.start("r", start_one, 7).await, Err(StartError::Store { .. })));
    process.handle.fail_after(usize::MAX, Loss::Whole);
    assert_eq!(process.runtime.start("r", start_one, 7).await.unwrap().await.unwrap(), 7);
    assert_eq!(world.effects.count("r:note"), 1);
    assert!(matches!(process.runtime.start("r", start_one, 8).await, Err(StartError::OtherInput { .. })));
}

#[tokio::test]
async fn attaching_to_a_running_run_runs_nothing_twice() {
    let world = World::default();
    let process = world.open().await;
    let first = process.runtime.start("r", start_slow, 7).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let second = process.runtime.start("r", start_slow, 7).await.unwrap();
    let third = process.runtime.attach("r", start_slow).await.unwrap();
    world.gates.open("gated");
    assert_eq!((first.await.unwrap(), second.await.unwrap(), third.await.unwrap()), (7, 7, 7));
    assert_eq!(world.effects.keys(), ["r:gated"]);
    assert_eq!(process.runtime.stats().runs_started, 1);
}

#[tokio::test]
async fn attaching_to_a_finished_run_returns_the_recorded_result_also_after_a_restart() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", start_one, 7).await.unwrap().await.unwrap(), 7);
    let before = journal(&world.disk.memory, "r");
    assert_eq!(process.runtime.start("r", start_one, 7).await.unwrap().await.unwrap(), 7);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", start_one, 7).await.unwrap().await.unwrap(), 7);
    assert_eq!(process.runtime.attach("r", start_one).await.unwrap().await.unwrap(), 7);
    assert_eq!(world.effects.keys(), ["r:note"]);
    assert_eq!(journal(&world.disk.memory, "r"), before, "attaching wrote something");
}

#[tokio::test]
async fn another_function_under_the_same_id_is_an_error_that_names_both() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", start_slow, 7).await.unwrap();
    let while_running = process.runtime.start("r", start_other, 7).await.unwrap_err();
    world.gates.open("gated");
    run.await.unwrap();
    let when_finished = process.runtime.start("r", start_other, 7).await.unwrap_err();
    let attached = process.runtime.attach("r", start_other).await.unwrap_err();
    process.crash().await;
    let process = world.open().await;
    let after_restart = process.runtime.start("r", start_other, 7).await.unwrap_err();
    for error in [while_running, when_finished, attached, after_restart] {
        match &error {
            StartError::OtherFunction { run, recorded, given } => {
                assert_eq!((run.as_str(), &**recorded, &**given), ("r", "start_slow", "start_other"));
            }
            other => panic!("{other:?}"),
        }
        let message = error.to_string();
        assert!(message.contains("start_slow") && message.contains("start_other"), "{message}");
    }
    assert_eq!(world.effects.keys(), ["r:gated"]);
}

#[tokio::test]
async fn another_input_under_the_same_id_is_an_error_that_names_both() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", start_slow, 41_007).await.unwrap();
    let while_running = process.runtime.start("r", start_slow, 41_008).await.unwrap_err();
    world.gates.open("gated");
    run.await.unwrap();
    let when_finished = process.runtime.start("r", start_slow, 41_008).await.unwrap_err();
    for error in [while_running, when_finished] {
        assert!(matches!(&error, StartError::OtherInput { function, .. } if function == "start_slow"), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("41007") && message.contains("41008"), "{message}");
    }
    assert_eq!(world.effects.keys(), ["r:gated"]);
}

#[tokio::test]
async fn inputs_that_differ_only_in_the_order_of_a_map_are_equal() {
    let world = World::default();
    let process = world.open().await;
    for _ in 0..20 {
        // Every HashMap has an order of its own.
        let prices: HashMap<String, u32> = (0..30).map(|price| (format!("sku {price}"), price)).collect();
        assert_eq!(process.runtime.start("r", start_with_map, prices).await.unwrap().await.unwrap(), 435);
    }
    assert_eq!(process.runtime.stats().runs_started, 1);
}

async fn fifty_starts_of_one_id() {
    let world = World::default();
    let process = world.open().await;
    let starts = (0..50).map(|_| {
        let runtime = process.runtime.clone();
        tokio::spawn(async move { runtime.start("r", start_one, 7).await.unwrap().await.unwrap() })
    });
    assert_eq!(try_join_all(starts).await.unwrap(), [7; 50]);
    assert_eq!(world.effects.keys(), ["r:note"]);
    assert_eq!(process.runtime.stats().runs_started, 1);
    assert_eq!(process.runtime.list(&RunFilter::new(), None, 10).await.unwrap().runs.len(), 1);
}

#[tokio::test]
async fn fifty_concurrent_starts_are_one_run() {
    fifty_starts_of_one_id().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_parallel_starts_are_one_run() {
    for _ in 0..10 {
        fifty_starts_of_one_id().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_starts_with_different_inputs_one_wins_and_the_others_are_told() {
    let world = World::default();
    let process = world.open().await;
    let starts = (0..50_u32).map(|value| {
        let runtime = process.runtime.clone();
        tokio::spawn(async move {
            match runtime.start("r", start_one, value).await {
                Ok(run) => Some((value, run.await.unwrap())),
                Err(StartError::OtherInput { .. }) => None,
                Err(other) => panic!("{other}"),
            }
        })
    });
    let results: Vec<_> = try_join_all(starts).await.unwrap().into_iter().flatten().collect();
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!(results[0].0, results[0].1);
    assert_eq!(world.effects.keys(), ["r:note"]);
}

#[tokio::test]
async fn start_after_a_crash_attaches_to_the_recovered_run() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", start_slow, 7).await.unwrap();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    assert!(run.await.is_err(), "the process that promised the result is gone");
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 1);
    let run = process.runtime.start("r", start_slow, 7).await.unwrap();
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), 7);
    assert_eq!(process.runtime.stats().runs_started, 0);
    assert_eq!(world.effects.keys(), ["r:gated", "r:gated"], "it had not been recorded, so it ran again");
}

#[tokio::test]
async fn a_run_goes_on_without_its_handle_and_dropping_the_runtime_stops_it() {
    let world = World::default();
    let process = world.open().await;
    drop(process.runtime.start("r", start_one, 7).await.unwrap());
    assert_eq!(process.runtime.attach("r", start_one).await.unwrap().await.unwrap(), 7);
    let run = process.runtime.start("s", start_slow, 8).await.unwrap();
    world.gates.arrived("gated", 1).await;
    drop(process);
    assert!(matches!(run.await, Err(RunError::Stopped { .. })));
    world.gates.open("gated");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("s", start_slow).await.unwrap().await.unwrap(), 8);
    assert_eq!(process.runtime.get("s").await.unwrap().unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn attaching_to_nothing_is_an_error() {
    let process = World::default().open().await;
    let error = process.runtime.attach("r", start_one).await.unwrap_err();
    assert!(matches!(error, StartError::Unknown { run } if run.as_str() == "r"));
    assert!(process.runtime.list(&RunFilter::new(), None, 10).await.unwrap().runs.is_empty());
}

#[tokio::test]
async fn a_start_during_the_deletion_of_its_id_is_a_new_run() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", start_one, 7).await.unwrap().await.unwrap();
    process.handle.hold();
    let deleting = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.delete("r").await }
    });
    process.handle.held().await;
    let starting = tokio::spawn({
        let runtime = process.runtime.clone();
        async move { runtime.start("r", start_other, 8).await.unwrap().await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    process.handle.release();
    assert!(deleting.await.unwrap().unwrap());
    assert_eq!(starting.await.unwrap().unwrap(), 8);
}
