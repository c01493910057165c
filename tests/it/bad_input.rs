//! Ids, names and values that somebody chose badly, or on purpose.

use std::collections::BTreeSet;
use std::time::Duration;

use durable_runtime::{
    AdminError, Context, HaltReason, InvalidRunId, RUN_ID_BYTES_MAX, RunFilter, RunStatus, Runtime, StartError, durable,
};
use durable_tests::{World, journal};
use serde_json::Value;

use crate::steps::{gated, halted, note};

#[durable]
async fn hostile_id(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    first + ctx.run(gated, 1).await
}

fn hostile_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "\0",
        "a\0b",
        "a",
        "a:",
        ":a",
        "a:b",
        "a/b",
        "a/../b",
        "../../etc/passwd",
        "a#2",
        "a\nb",
        "\r\n",
        " ",
        "  ",
        "ä",
        "a\u{308}",
        "名前",
        "🦀",
        "\u{202e}abc",
        "\u{feff}",
        "\u{10ffff}",
        "NULL",
        "' OR 1=1 --",
        "%00",
        "C:\\CON",
        "-rf",
        "run",
        "run:",
        "\u{1}",
        "\u{7f}",
    ]
    .map(str::to_owned)
    .into();
    ids.push("x".repeat(RUN_ID_BYTES_MAX));
    ids.push("\0".repeat(RUN_ID_BYTES_MAX));
    ids.push("🦀".repeat(RUN_ID_BYTES_MAX / 4));
    ids
}

async fn check_hostile_ids(world: &World, open: impl AsyncFn() -> Runtime) {
    let ids = hostile_ids();
    let runtime = open().await;
    for (id, value) in ids.iter().zip(0..) {
        assert_eq!(runtime.start(id, hostile_id, value).await.unwrap().id().as_str(), id);
    }
    world.gates.arrived("gated", ids.len()).await;
    runtime.shutdown(Duration::ZERO).await;
    world.gates.open("gated");

    let runtime = open().await;
    assert_eq!(runtime.recovery().resumed, ids.len());
    for (id, value) in ids.iter().zip(0..) {
        assert_eq!(runtime.attach(id, hostile_id).await.unwrap().await.unwrap(), value + 1, "{id:?}");
        assert_eq!(world.effects.count(&format!("{id}:note")), 1, "{id:?}");
        assert_eq!(runtime.get(id).await.unwrap().unwrap().id.as_str(), id);
    }
    let listed = runtime.list(&RunFilter::new().status(RunStatus::Completed), None, 1_000).await.unwrap().runs;
    let listed: Vec<_> = listed.into_iter().map(|run| run.id.as_str().to_owned()).collect();
    let sorted: Vec<_> = ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(listed, sorted, "in byte order, each exactly as it was given");
    for (deleted, id) in (1..).zip(&ids) {
        assert!(runtime.delete(id).await.unwrap(), "{id:?}");
        assert_eq!(runtime.list(&RunFilter::new(), None, 1_000).await.unwrap().runs.len(), ids.len() - deleted);
    }
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn any_text_is_an_id_and_kept_exactly() {
    let world = World::default();
    check_hostile_ids(&world, async || world.open().await.runtime).await;
}

#[tokio::test]
async fn any_text_is_an_id_and_kept_exactly_in_a_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let world = World::default();
    check_hostile_ids(&world, async || world.builder().open(temporary.path()).await.unwrap()).await;
}

#[tokio::test]
async fn an_empty_id_and_one_that_is_too_long_are_refused_everywhere() {
    let runtime = World::default().open().await.runtime;
    let too_long = "x".repeat(RUN_ID_BYTES_MAX + 1);
    let huge = "\0".repeat(64 * 1_024);
    let cases = [
        (String::new(), InvalidRunId::Empty),
        (too_long, InvalidRunId::TooLong { bytes: RUN_ID_BYTES_MAX + 1 }),
        (huge, InvalidRunId::TooLong { bytes: 64 * 1_024 }),
    ];
    for (id, expected) in cases {
        let refused = runtime.start(&id, hostile_id, 1).await.unwrap_err();
        assert!(matches!(&refused, StartError::InvalidId(invalid) if *invalid == expected), "{refused}");
        assert!(matches!(runtime.attach(&id, hostile_id).await, Err(StartError::InvalidId(_))));
        assert!(matches!(runtime.get(&id).await, Err(AdminError::InvalidId(_))));
        assert!(matches!(runtime.delete(&id).await, Err(AdminError::InvalidId(_))));
        assert!(matches!(runtime.resume(&id).await, Err(AdminError::InvalidId(_))));
    }
    assert!(runtime.list(&RunFilter::new(), None, 10).await.unwrap().runs.is_empty());
}

#[durable]
async fn hostile_step_names(ctx: Context, names: Vec<String>) -> u32 {
    let mut sum = 0;
    for name in names {
        sum += ctx.run(note, 1).named(name).await;
    }
    sum
}

#[tokio::test]
async fn any_text_but_a_hash_is_a_name_of_a_step() {
    let world = World::default();
    let process = world.open().await;
    let names: Vec<_> = hostile_ids().into_iter().filter(|name| !name.contains('#')).collect();
    let count = u32::try_from(names.len()).unwrap();
    let run = process.runtime.start("r", hostile_step_names, names.clone()).await.unwrap();
    assert_eq!(run.await.unwrap(), count);
    let keys: Vec<_> = journal(&world.disk.memory, "r").into_iter().filter_map(|entry| entry.key).collect();
    assert_eq!(keys, names);
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |value, _| Value::Array(vec![value]))
}

async fn takes_value(value: Value) -> bool {
    value.is_null()
}

#[durable]
async fn hostile_value(_ctx: Context, value: Value) -> bool {
    value.is_array()
}

#[durable]
async fn hostile_argument(ctx: Context, levels: usize) -> bool {
    ctx.run(takes_value, nested(levels)).await
}

async fn makes_value(levels: usize) -> Value {
    nested(levels)
}

#[durable]
async fn hostile_result(ctx: Context, levels: usize) -> bool {
    ctx.run(makes_value, levels).await.is_array()
}

#[tokio::test]
async fn values_that_are_nested_too_deeply_are_refused_wherever_they_appear() {
    let runtime = World::default().open().await.runtime;
    assert!(runtime.start("fits", hostile_value, nested(100)).await.unwrap().await.unwrap());
    let refused = runtime.start("deep", hostile_value, nested(1_000)).await.unwrap_err();
    assert!(matches!(refused, StartError::Input { .. }), "{refused}");
    assert_eq!(runtime.get("deep").await.unwrap(), None);
    halted(runtime.start("argument", hostile_argument, 1_000).await.unwrap().await, HaltReason::Value);
    halted(runtime.start("result", hostile_result, 1_000).await.unwrap().await, HaltReason::Value);
    // The levels that a digest, JSON and the arguments' tuple allow differ by little: none may be accepted and then
    // not read back.
    for levels in 120..135 {
        match runtime.start(format!("edge {levels}"), hostile_value, nested(levels)).await {
            Ok(run) => assert!(run.await.unwrap_or_else(|error| panic!("{levels} levels: {error}"))),
            Err(refused) => assert!(matches!(refused, StartError::Input { .. }), "{refused}"),
        }
    }
}

#[durable]
async fn hostile_number(ctx: Context, number: f64) -> f64 {
    ctx.run(note, 1).await;
    number
}

/// R7.
#[tokio::test]
async fn an_input_that_does_not_come_back_as_it_went_in_takes_no_id() {
    let runtime = World::default().open().await.runtime;
    let refused = runtime.start("r", hostile_number, f64::NAN).await.unwrap_err();
    assert!(matches!(refused, StartError::Input { .. }), "{refused}");
    assert_eq!(runtime.get("r").await.unwrap(), None);
    let number = runtime.start("r", hostile_number, 0.1).await.unwrap().await.unwrap();
    assert!((number - 0.1).abs() < f64::EPSILON);
}
