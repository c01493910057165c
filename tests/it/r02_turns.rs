//! R2 and R3: what the code sees, and in which order, is a function of the journal alone.

use std::collections::BTreeSet;

use durable_runtime::{Context, StepContext, durable};
use durable_tests::{Gates, World, copy, journal};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use crate::steps::{gated, note};

#[durable]
async fn turns_select(ctx: Context) -> String {
    let winner = tokio::select! {
        left = ctx.run(gated, 1).named("left") => format!("left {left}"),
        right = ctx.run(gated, 2).named("right") => format!("right {right}"),
    };
    let after = ctx.run(note, 3).await;
    format!("{winner}, then {after}")
}

#[durable]
async fn turns_unordered(ctx: Context) -> Vec<u32> {
    let mut steps: FuturesUnordered<_> =
        (0..5).map(|index| ctx.run(gated, index).named(format!("step {index}"))).collect();
    let mut order = Vec::new();
    while let Some(index) = steps.next().await {
        // A step in between, so that later completions meet code that waits for something else.
        order.push(ctx.run(note, index).await);
    }
    order
}

#[durable]
async fn turns_join_all(ctx: Context) -> Vec<u32> {
    join_all((0..3).map(|index| ctx.run(gated, index).named(format!("step {index}")))).await
}

async fn gated_or_error(step: StepContext, fails: bool) -> Result<u32, String> {
    step.dependency::<Gates>().pass(step.key()).await;
    if fails { Err(step.key().to_owned()) } else { Ok(1) }
}

#[durable]
async fn turns_try_join(ctx: Context) -> Result<u32, String> {
    let (a, b, c) = tokio::try_join!(
        ctx.run(gated_or_error, true).named("a"),
        ctx.run(gated_or_error, true).named("b"),
        ctx.run(gated_or_error, false).named("c"),
    )?;
    Ok(a + b + c)
}

#[durable]
async fn turns_wide(ctx: Context) -> u32 {
    join_all((0..1_000).map(|index| ctx.run(note, index))).await.into_iter().sum()
}

/// Runs with these steps completing in this order, then replays every prefix of the journal, with all steps completing
/// in another order.
pub(crate) async fn check<F, T>(function: F, order: &[&str], all: &[&str], expected: T)
where
    F: durable_runtime::DurableFunction<Input = (), Output = T>,
    T: PartialEq + std::fmt::Debug + serde::de::DeserializeOwned + 'static,
{
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", function, ()).await.unwrap();
    let recorded = async |key: &str| {
        while process.runtime.get("r").await.unwrap().unwrap().steps.iter().all(|step| step.key != key) {
            tokio::task::yield_now().await;
        }
    };
    for gate in order {
        world.gates.arrived(gate, 1).await;
        world.gates.open(gate);
        recorded(gate).await;
    }
    let result = run.await.unwrap();
    assert_eq!(result, expected);
    let whole = journal(&world.disk.memory, "r");
    let steps = |world: &World| -> BTreeSet<String> {
        journal(&world.disk.memory, "r").into_iter().filter_map(|entry| entry.key).collect()
    };

    for length in 1..whole.len() {
        let again = World::with(copy(&world.disk.memory, "r", length));
        all.iter().rev().for_each(|gate| again.gates.open(gate));
        let before = steps(&again);
        let process = again.open().await;
        let replayed = process.runtime.attach("r", function).await.unwrap().await.unwrap();
        for key in before {
            assert_eq!(again.effects.count(&format!("r:{key}")), 0, "{key} ran again after {length} records");
        }
        // Once all that decides is recorded, nothing else can come out.
        if length == whole.len() - 1 {
            assert_eq!(replayed, result, "after {length} records");
        }
    }
}

#[tokio::test]
async fn the_branch_that_won_a_select_wins_again() {
    check(turns_select, &["left"], &["left", "right"], "left 1, then 3".to_owned()).await;
    check(turns_select, &["right"], &["left", "right"], "right 2, then 3".to_owned()).await;
}

/// Also R6.
#[tokio::test]
async fn the_loser_of_a_select_is_dropped_and_its_body_stopped() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", turns_select, ()).await.unwrap();
    world.gates.arrived("left", 1).await;
    world.gates.arrived("right", 1).await;
    world.gates.open("right");
    run.await.unwrap();
    world.gates.open("left");
    let keys: Vec<_> = journal(&world.disk.memory, "r").into_iter().filter_map(|entry| entry.key).collect();
    assert_eq!(keys, ["right", "note"]);
}

#[tokio::test]
async fn unordered_futures_yield_in_the_recorded_order() {
    let all = ["step 0", "step 1", "step 2", "step 3", "step 4"];
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [0, 1, 2, 3, 4]] {
        let names = order.map(|index| all[index]);
        let expected: Vec<u32> = order.iter().map(|index| u32::try_from(*index).unwrap()).collect();
        check(turns_unordered, &names, &all, expected).await;
    }
}

#[tokio::test]
async fn join_all_keeps_its_order_whatever_completes_first() {
    let all = ["step 0", "step 1", "step 2"];
    check(turns_join_all, &["step 2", "step 0", "step 1"], &all, vec![0, 1, 2]).await;
}

#[tokio::test]
async fn the_error_that_ended_a_try_join_ends_it_again() {
    check(turns_try_join, &["b"], &["a", "b", "c"], Err("b".to_owned())).await;
    check(turns_try_join, &["c", "a"], &["a", "b", "c"], Err("a".to_owned())).await;
}

#[tokio::test]
async fn a_thousand_steps_at_once_are_recovered_from_any_part_of_them() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", turns_wide, ()).await.unwrap().await.unwrap(), 499_500);
    assert_eq!(journal(&world.disk.memory, "r").len(), 1_002);
    for length in [1, 2, 500, 1_001] {
        let again = World::with(copy(&world.disk.memory, "r", length));
        let process = again.open().await;
        assert_eq!(process.runtime.attach("r", turns_wide).await.unwrap().await.unwrap(), 499_500);
        assert_eq!(again.effects.keys().len(), 1_001 - length);
    }
}
