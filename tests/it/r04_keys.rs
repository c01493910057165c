//! R4: every operation has a key, the same on every attempt, after every crash, and on every replay.

use std::time::Duration;

use durable_runtime::{Context, HaltReason, Retry, StepContext, durable};
use durable_tests::{Effects, World, copy, journal};

use crate::steps::{halted, note};

async fn third_time_lucky(step: StepContext) -> Result<String, String> {
    step.dependency::<Effects>().note(&step);
    if step.attempt() < 3 { Err("not yet".to_owned()) } else { Ok(step.idempotency_key().to_owned()) }
}

async fn own_key(step: StepContext) -> (String, String) {
    step.dependency::<Effects>().note(&step);
    (step.key().to_owned(), step.idempotency_key().to_owned())
}

#[durable]
async fn keys_of_all_sorts(ctx: Context) -> Vec<String> {
    let mut keys = Vec::new();
    keys.push(ctx.run(own_key).await);
    keys.push(ctx.run(own_key).await);
    keys.push(ctx.run("inline", async |step| own_key(step).await).await);
    keys.push(ctx.run(own_key).named("named").await);
    keys.push(ctx.run(own_key).named("own_key").await);
    keys.push(ctx.run(own_key).named(format!("page {}", 7)).await);
    keys.push(ctx.run("named", async |step| own_key(step).await).await);
    let retried = ctx.run(third_time_lucky).retry(Retry::fixed(Duration::ZERO)).await;
    keys.into_iter().map(|(_, key)| key).chain(retried).collect()
}

const KEYS: [&str; 8] = [
    "ord_abc123:own_key",
    "ord_abc123:own_key#2",
    "ord_abc123:inline",
    "ord_abc123:named",
    "ord_abc123:own_key#3",
    "ord_abc123:page 7",
    "ord_abc123:named#2",
    "ord_abc123:third_time_lucky",
];

#[tokio::test]
async fn names_are_counted_and_idempotency_keys_are_the_same_on_every_attempt() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("ord_abc123", keys_of_all_sorts, ()).await.unwrap();
    assert_eq!(run.await.unwrap(), KEYS);
    assert_eq!(world.effects.count("ord_abc123:third_time_lucky"), 3);
    let attempts: Vec<_> = world.effects.executions().into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1, 1, 1, 2, 3]);
}

/// Also R6.
#[tokio::test]
async fn keys_are_the_same_after_a_crash_at_every_record() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("ord_abc123", keys_of_all_sorts, ()).await.unwrap().await.unwrap();
    let length = journal(&world.disk.memory, "ord_abc123").len();
    assert_eq!(length, 12);
    for length in 1..length {
        let again = World::with(copy(&world.disk.memory, "ord_abc123", length));
        let process = again.open().await;
        let run = process.runtime.attach("ord_abc123", keys_of_all_sorts).await.unwrap();
        assert_eq!(run.await.unwrap(), KEYS, "after {length} records");
        for (key, attempt) in again.effects.executions() {
            assert!(KEYS.contains(&&*key) && attempt <= 3, "{key} {attempt}");
        }
    }
}

#[durable]
async fn keys_are_claimed_when_called(ctx: Context) -> (u32, u32) {
    let first = ctx.run(note, 1);
    let second = ctx.run(note, 2);
    let second = second.await;
    (first.await, second)
}

#[tokio::test]
async fn a_key_is_claimed_by_the_call_and_not_by_the_first_poll() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", keys_are_claimed_when_called, ()).await.unwrap();
    assert_eq!(run.await.unwrap(), (1, 2));
    assert_eq!(world.effects.keys(), ["r:note#2", "r:note"]);
}

#[durable]
async fn keys_misnamed(ctx: Context, name: String) -> u32 {
    ctx.run(note, 1).await;
    ctx.run(note, 2).named(name).await
}

#[durable]
async fn keys_named_late(ctx: Context) -> u32 {
    let late = ctx.run(note, 1);
    let other = ctx.run(note, 2).await;
    late.named("late").await + other
}

#[tokio::test]
async fn an_empty_name_and_a_hash_in_a_name_halt_the_run() {
    let world = World::default();
    let process = world.open().await;
    for name in ["", "#", "note#2", "a#"] {
        let id = format!("named {name:?}");
        let run = process.runtime.start(&id, keys_misnamed, name.to_owned()).await.unwrap();
        let halt = halted(run.await, HaltReason::Misuse);
        assert!(halt.message.contains(&format!("{name:?}")), "{halt}");
        assert_eq!(world.effects.count(&format!("{id}:note")), 1);
        assert_eq!(world.effects.count(&format!("{id}:note#2")), 0);
    }
}

#[tokio::test]
async fn a_name_given_after_another_claim_halts_the_run() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", keys_named_late, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Misuse);
    assert!(halt.message.contains("directly behind"), "{halt}");
    assert_eq!(world.effects.count("r:late"), 0);
}
