//! R9: when code and journal disagree, the run halts before any new effect and says what differs.

use std::collections::{BTreeSet, HashMap};

use durable_runtime::{Context, HaltReason, StepContext, durable};
use durable_tests::{Effects, Kind, World, copy, journal};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::steps::{gated, halted, note};

/// The runs that see the changed code.
static CHANGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What no durable function may do: look at something outside its run. Here it stands for a deploy.
fn is_changed(ctx: &Context) -> bool {
    CHANGED.lock().contains(ctx.run_id().as_str())
}

#[durable]
async fn diverging(ctx: Context, scenario: String) -> u32 {
    let is_changed = is_changed(&ctx);
    let mut sum = ctx.run(note, 1).named("before").await;
    match (scenario.as_str(), is_changed) {
        ("renamed", true) => sum += ctx.run(note, 2).named("middle, better").await,
        ("argument", true) => sum += ctx.run(note, 3).named("middle").await,
        ("swapped", true) => {
            sum += ctx.run(note, 4).named("after").await;
            sum += ctx.run(note, 2).named("middle").await;
        }
        ("inserted", true) => {
            sum += ctx.run(note, 9).named("inserted").await;
            sum += ctx.run(note, 2).named("middle").await;
        }
        ("inserted without waiting", true) => {
            drop(ctx.run(note, 9).named("inserted"));
            sum += ctx.run(note, 2).named("middle").await;
        }
        ("removed", true) => {}
        ("returns early", true) => return sum,
        ("lost race", true) => {
            sum += tokio::select! {
                middle = ctx.run(note, 2).named("middle") => middle,
                other = ctx.run(note, 4).named("unheard of") => other,
            };
        }
        ("foreign wait", true) => {
            sum += ctx.run(note, 2).named("middle").await;
            let (sender, receiver) = oneshot::channel::<u32>();
            sum += receiver.await.unwrap_or(0);
            drop(sender);
        }
        _ => sum += ctx.run(note, 2).named("middle").await,
    }
    if !(scenario == "swapped" && is_changed) {
        sum += ctx.run(note, 4).named("after").await;
    }
    sum + ctx.run(gated, 8).named("last").await
}

/// Lets a run record three steps, changes its code, and sees it halt with these words and without any effect; then
/// changes the code back and sees the run end.
async fn check(scenario: &str, words: &[&str]) {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start(scenario, diverging, scenario.to_owned()).await.unwrap().id();
    world.gates.arrived("last", 1).await;
    process.crash().await;
    let effects = world.effects.keys();
    assert_eq!(effects.len(), 4);

    world.gates.open("last");
    CHANGED.lock().insert(scenario.to_owned());
    let process = world.open().await;
    let halt = halted(process.runtime.attach(scenario, diverging).await.unwrap().await, HaltReason::Divergence);
    for word in words.iter().chain(&["r09_divergence.rs:", "not deterministic", "do this:", "records"]) {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    assert_eq!(world.effects.keys(), effects, "{scenario}: there was an effect after the divergence");
    process.crash().await;

    CHANGED.lock().remove(scenario);
    let process = world.open().await;
    process.runtime.resume(scenario).await.unwrap();
    assert_eq!(process.runtime.attach(scenario, diverging).await.unwrap().await.unwrap(), 15);
    assert_eq!(world.effects.keys().len(), 5, "only the last step was not recorded");
}

#[tokio::test]
async fn another_name() {
    check("renamed", &["another operation", "recorded: step middle (", "current:  step middle, better ("]).await;
}

#[tokio::test]
async fn another_argument() {
    check("argument", &["other arguments", "recorded: step middle (", "current:  step middle ("]).await;
}

#[tokio::test]
async fn another_order() {
    check("swapped", &["recorded: step middle (", "current:  step after ("]).await;
}

#[tokio::test]
async fn a_step_inserted() {
    check("inserted", &["recorded: step middle (", "current:  step inserted ("]).await;
}

#[tokio::test]
async fn a_step_inserted_and_dropped_without_being_polled() {
    check("inserted without waiting", &["recorded: step middle (", "current:  step inserted ("]).await;
}

#[tokio::test]
async fn a_step_removed() {
    check("removed", &["recorded: step middle (", "current:  step after ("]).await;
}

#[tokio::test]
async fn recorded_steps_left_over_at_the_end() {
    check("returns early", &["returned without asking", "recorded: step middle ("]).await;
}

#[tokio::test]
async fn a_mismatch_in_a_branch_that_lost_its_race() {
    check("lost race", &["recorded: step after (", "current:  step unheard of ("]).await;
}

#[tokio::test]
async fn recorded_steps_not_asked_for_by_code_that_waits() {
    check("foreign wait", &["does not ask for an operation that is recorded", "recorded: step after ("]).await;
}

#[durable]
async fn diverging_foreign_wait(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).await;
    if is_changed(&ctx) {
        return first;
    }
    let (sender, receiver) = oneshot::channel::<u32>();
    let (foreign, step) = tokio::join!(receiver, ctx.run(gated, 2));
    drop(sender);
    foreign.unwrap_or(0) + step
}

#[tokio::test]
async fn code_that_waits_for_what_no_operation_will_wake() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("foreign", diverging_foreign_wait, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    assert!(!journal(&world.disk.memory, "foreign").iter().any(|entry| entry.kind == Kind::Halted), "a step runs");
    world.gates.open("gated");
    let halt = halted(run.await, HaltReason::Divergence);
    for word in ["not an operation of its run", "latest:   step gated (", "r09_divergence.rs:", "do this:"] {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    assert!(!halt.message.contains("cause:"), "{halt}");
}

#[durable]
async fn diverging_race(ctx: Context) -> u32 {
    let winner = tokio::select! {
        value = ctx.run(gated, 1).named("never") => value,
        value = ctx.run(note, 2) => value,
    };
    winner + ctx.run(note, 3).await
}

#[tokio::test]
async fn a_lost_race_is_no_divergence() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", diverging_race, ()).await.unwrap().await.unwrap(), 5);
    for length in 1..journal(&world.disk.memory, "r").len() {
        let again = World::with(copy(&world.disk.memory, "r", length));
        let process = again.open().await;
        assert_eq!(process.runtime.attach("r", diverging_race).await.unwrap().await.unwrap(), 5);
    }
}

#[durable]
async fn diverging_both_finish(ctx: Context) -> u32 {
    let mut both = [ctx.run(gated, 1).named("left"), ctx.run(gated, 2).named("right")].map(Box::pin);
    let [left, right] = &mut both;
    let first = tokio::select! { value = left => value, value = right => value };
    // The loser lives on, completes while the next step runs, and is never asked for its value.
    first + ctx.run(gated, 4).named("next").await
}

#[tokio::test]
async fn an_outcome_that_nobody_asks_for_is_no_divergence() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", diverging_both_finish, ()).await.unwrap();
    for gate in ["left", "right", "next"] {
        world.gates.arrived(gate, 1).await;
        world.gates.open(gate);
    }
    assert_eq!(run.await.unwrap(), 5);
    for length in 1..journal(&world.disk.memory, "r").len() {
        let again = World::with(copy(&world.disk.memory, "r", length));
        for gate in ["left", "right", "next"] {
            again.gates.open(gate);
        }
        let process = again.open().await;
        let replayed = process.runtime.attach("r", diverging_both_finish).await.unwrap().await.unwrap();
        assert!(replayed == 5 || length == 1, "{replayed} after {length} records");
    }
}

#[durable]
async fn diverging_at_the_end_only(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).await;
    if is_changed(&ctx) { first + ctx.run(gated, 100).named("new").await } else { first + ctx.run(gated, 2).await }
}

#[tokio::test]
async fn code_that_changed_only_behind_what_is_recorded_goes_on() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("behind", diverging_at_the_end_only, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    CHANGED.lock().insert("behind".to_owned());
    world.gates.open("new");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("behind", diverging_at_the_end_only).await.unwrap().await.unwrap(), 101);
    assert_eq!(world.effects.count("behind:note"), 1);
}

async fn sum(step: StepContext, prices: &HashMap<String, u32>) -> u32 {
    step.dependency::<Effects>().note(&step);
    prices.values().sum()
}

async fn sum_of_all(step: StepContext, prices: Vec<Option<HashMap<String, u32>>>) -> u32 {
    step.dependency::<Effects>().note(&step);
    prices.iter().flatten().flat_map(HashMap::values).sum()
}

#[durable]
async fn diverging_hash_map(ctx: Context) -> u32 {
    let prices: HashMap<String, u32> = (0..50).map(|price| (format!("sku {price}"), price)).collect();
    let before = ctx.run(sum, &prices).await;
    before + ctx.run(sum_of_all, vec![Some(prices); 2]).await
}

#[tokio::test]
async fn a_hash_map_is_the_same_argument_in_any_order() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", diverging_hash_map, ()).await.unwrap().await.unwrap(), 3_675);
    // Each map of each life has an order of its own.
    for _ in 0..10 {
        let again = World::with(copy(&world.disk.memory, "r", 3));
        let process = again.open().await;
        assert_eq!(process.runtime.attach("r", diverging_hash_map).await.unwrap().await.unwrap(), 3_675);
        assert!(again.effects.keys().is_empty());
    }
}
