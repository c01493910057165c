//! R9: when code and journal disagree, the run halts before any new effect and says what differs.

use std::collections::{BTreeSet, HashMap};

use durable_runtime::{Context, HaltReason, StepContext, durable};
use durable_tests::{Effects, Kind, World, copy, journal};
use expect_test::{Expect, expect};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::steps::{gated, halted, note};

/// The runs that see the changed code.
static CHANGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What no durable function may do: look at something outside its run. Here it stands for a deploy.
fn is_changed(ctx: &Context) -> bool {
    CHANGED.lock().contains(ctx.run_id().as_str())
}

/// What no durable function may make, behind a name that does not say so.
fn foreign_channel() -> (oneshot::Sender<u32>, oneshot::Receiver<u32>) {
    oneshot::channel()
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
            let (sender, receiver) = foreign_channel();
            #[durable(unchecked = "the point of this test")]
            let foreign = receiver.await.unwrap_or(0);
            sum += foreign;
            drop(sender);
        }
        _ => sum += ctx.run(note, 2).named("middle").await,
    }
    if !(scenario == "swapped" && is_changed) {
        sum += ctx.run(note, 4).named("after").await;
    }
    sum + ctx.run(gated, 8).named("last").await
}

/// Lets a run record three steps, changes its code, and sees it halt with this message and without any effect; then
/// changes the code back and sees the run end.
async fn check(scenario: &str, expected: &Expect) {
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
    // What is below is the same for all of them.
    let (story, rest) = halt.message.split_once("\n  cause:").expect("a cause");
    expected.assert_eq(story);
    for word in ["the code of diverging is the one that started the run (version 1,", "do this:", "resume the run"] {
        assert!(rest.contains(word), "{word:?} is missing in: {halt}");
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
    check("renamed", &expect![[r#"
        run `renamed` of `diverging` can't go on: its code asks for step `middle, better` where step `middle` is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          current:  step `middle, better` at tests/it/r09_divergence.rs:31:41
                    arguments: the same
          note:     step `middle, better` is recorded nowhere in this run: it was inserted, or it is step `middle` under another name
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn another_argument() {
    check(
        "argument",
        &expect![[r#"
            run `argument` of `diverging` can't go on: its code passes other arguments to step `middle` than those recorded
              recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                        arguments: [2]
              current:  step `middle` at tests/it/r09_divergence.rs:32:42
                        arguments: [3]
              differs:  arguments[0]: 2 recorded, 3 now"#]],
    )
    .await;
}

#[tokio::test]
async fn another_order() {
    check("swapped", &expect![[r#"
        run `swapped` of `diverging` can't go on: its code asks for step `after` where step `middle` is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          current:  step `after` at tests/it/r09_divergence.rs:34:24
                    arguments: [4]
          note:     step `after` is recorded as well, as record 4 of 5: something before it was removed, or the order has changed
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn a_step_inserted() {
    check("inserted", &expect![[r#"
        run `inserted` of `diverging` can't go on: its code asks for step `inserted` where step `middle` is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          current:  step `inserted` at tests/it/r09_divergence.rs:38:24
                    arguments: [9]
          note:     step `inserted` is recorded nowhere in this run: it was inserted, or it is step `middle` under another name
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn a_step_inserted_and_dropped_without_being_polled() {
    check("inserted without waiting", &expect![[r#"
        run `inserted without waiting` of `diverging` can't go on: its code asks for step `inserted` where step `middle` is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          current:  step `inserted` at tests/it/r09_divergence.rs:42:22
                    arguments: [9]
          note:     step `inserted` is recorded nowhere in this run: it was inserted, or it is step `middle` under another name
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn a_step_removed() {
    check("removed", &expect![[r#"
        run `removed` of `diverging` can't go on: its code asks for step `after` where step `middle` is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          current:  step `after` at tests/it/r09_divergence.rs:64:20
                    arguments: [4]
          note:     step `after` is recorded as well, as record 4 of 5: something before it was removed, or the order has changed
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn recorded_steps_left_over_at_the_end() {
    check("returns early", &expect![[r#"
        run `returns early` of `diverging` can't go on: its code returned, and never asked for step `middle`, which is recorded
          recorded: step `middle` at tests/it/r09_divergence.rs:61:25, record 3 of 5
                    arguments: [2]
          latest:   step `before` at tests/it/r09_divergence.rs:29:23
          note:     in diverging's own body, `ctx.run` of `middle` is now at tests/it/r09_divergence.rs:32, tests/it/r09_divergence.rs:35, tests/it/r09_divergence.rs:39"#]]).await;
}

#[tokio::test]
async fn a_mismatch_in_a_branch_that_lost_its_race() {
    check("lost race", &expect![[r#"
        run `lost race` of `diverging` can't go on: its code asks for step `unheard of` where step `after` is recorded
          recorded: step `after` at tests/it/r09_divergence.rs:64:20, record 4 of 5
                    arguments: [4]
          current:  step `unheard of` at tests/it/r09_divergence.rs:50:29
                    arguments: the same
          note:     step `unheard of` is recorded nowhere in this run: it was inserted, or it is step `after` under another name
          note:     in diverging's own body, `ctx.run` of `after` is now at tests/it/r09_divergence.rs:34, tests/it/r09_divergence.rs:64"#]]).await;
}

#[tokio::test]
async fn recorded_steps_not_asked_for_by_code_that_waits() {
    check(
        "foreign wait",
        &expect![[r#"
            run `foreign wait` of `diverging` can't go on: its code waits, and has not asked for step `after`, which is recorded
              recorded: step `after` at tests/it/r09_divergence.rs:64:20, record 4 of 5
                        arguments: [4]
              latest:   step `middle` at tests/it/r09_divergence.rs:54:24
              note:     in diverging's own body, `ctx.run` of `after` is now at tests/it/r09_divergence.rs:34, tests/it/r09_divergence.rs:64"#]],
    )
    .await;
}

#[durable]
async fn diverging_foreign_wait(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).await;
    if is_changed(&ctx) {
        return first;
    }
    let (sender, receiver) = foreign_channel();
    #[durable(unchecked = "the point of this test")]
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
    for word in ["not an operation of the run", "latest:   step `gated` at ", "r09_divergence.rs:", "do this:"] {
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
