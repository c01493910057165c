//! R7: what a step returns live is what replay returns, and what can't be recorded fails visibly, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durable_runtime::{
    Codec, Context, DurableFunction, HaltReason, Limits, Retry, RunStatus, StartError, StepContext, StepStatus, durable,
};
use durable_tests::{Effects, World, copy, frames, journal, patch, write};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::steps::halted;

/// Can't be encoded, or not decoded, in one way or another.
#[derive(Debug, Clone)]
enum Awkward {
    RefusesToBeWritten,
    PanicsWhenWritten,
    PanicsWhenRead,
    RefusesToBeRead,
}

impl Serialize for Awkward {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::RefusesToBeWritten => Err(serde::ser::Error::custom("I will not be written")),
            Self::PanicsWhenWritten => panic!("written in panic"),
            Self::PanicsWhenRead => serializer.serialize_u32(1),
            Self::RefusesToBeRead => serializer.serialize_u32(2),
        }
    }
}

impl<'de> Deserialize<'de> for Awkward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => panic!("read in panic"),
            other => Err(serde::de::Error::custom(format!("{other} will not be read"))),
        }
    }
}

async fn awkward(step: StepContext, which: u32) -> Awkward {
    step.dependency::<Effects>().note(&step);
    match which {
        0 => Awkward::RefusesToBeWritten,
        1 => Awkward::PanicsWhenWritten,
        2 => Awkward::PanicsWhenRead,
        _ => Awkward::RefusesToBeRead,
    }
}

#[durable]
async fn value_awkward(ctx: Context, which: u32) -> u32 {
    let _ = ctx.run(awkward, which).await;
    7
}

async fn pairs(step: StepContext) -> HashMap<(u8, u8), u8> {
    step.dependency::<Effects>().note(&step);
    HashMap::from([((1, 2), 3)])
}

#[durable]
async fn value_map_with_pairs(ctx: Context) -> u32 {
    ctx.run(pairs).await.len().try_into().unwrap_or_default()
}

async fn not_a_number(step: StepContext) -> f64 {
    step.dependency::<Effects>().note(&step);
    f64::NAN
}

#[durable]
async fn value_not_a_number(ctx: Context) -> f64 {
    ctx.run(not_a_number).await
}

async fn nothing_special(step: StepContext) -> Option<()> {
    step.dependency::<Effects>().note(&step);
    Some(())
}

#[durable]
async fn value_some_nothing(ctx: Context) -> bool {
    ctx.run(nothing_special).await.is_some()
}

async fn letters(step: StepContext, count: usize) -> Result<String, String> {
    step.dependency::<Effects>().note(&step);
    Ok("x".repeat(count))
}

#[durable]
async fn value_letters(ctx: Context, count: usize) -> Result<String, String> {
    let letters = ctx.run(letters, count).await?;
    Ok(format!("{} letters", letters.len()))
}

async fn long_error(step: StepContext, count: usize) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    Err("x".repeat(count))
}

#[durable]
async fn value_long_error(ctx: Context, count: usize) -> u32 {
    ctx.run(long_error, count).retry(Retry::fixed(std::time::Duration::ZERO)).await.unwrap_or(1)
}

/// The step is executed once, the run is halted with these words, and resuming changes neither.
async fn check_halts<F: DurableFunction>(world: &World, function: F, input: F::Input, words: &[&str])
where
    F::Output: std::fmt::Debug,
{
    let process = world.open().await;
    let run = process.runtime.start("r", function, input).await.unwrap();
    let halt = halted(run.await, HaltReason::Value);
    for word in words.iter().chain(&["Its effect is not repeated"]) {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    let key = halt.step.clone().expect("the step is named");
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().status, RunStatus::Halted);
    process.runtime.resume("r").await.unwrap();
    halted(process.runtime.attach("r", function).await.unwrap().await, HaltReason::Value);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.recovery().resumed, 0);
    process.runtime.resume("r").await.unwrap();
    halted(process.runtime.attach("r", function).await.unwrap().await, HaltReason::Value);
    assert_eq!(world.effects.count(&format!("r:{key}")), 1, "the effect was repeated");
    process.crash().await;
}

/// It would be read as `None`, live and on replay.
#[tokio::test]
async fn a_some_that_json_would_lose_halts_once() {
    let words = ["core::option::Option<()> can't be encoded as JSON", "would be read as `None`", "another codec"];
    check_halts(&World::default(), value_some_nothing, (), &words).await;
}

#[tokio::test]
async fn a_result_whose_serialize_refuses_halts_once() {
    check_halts(&World::default(), value_awkward, 0, &["I will not be written"]).await;
}

#[tokio::test]
async fn a_result_whose_serialize_panics_halts_once() {
    check_halts(&World::default(), value_awkward, 1, &["serialization panicked", "written in panic"]).await;
}

#[tokio::test]
async fn a_result_whose_deserialize_panics_halts_once() {
    check_halts(&World::default(), value_awkward, 2, &["deserialization panicked", "read in panic"]).await;
}

#[tokio::test]
async fn a_result_that_does_not_decode_again_halts_once() {
    check_halts(&World::default(), value_awkward, 3, &["2 will not be read"]).await;
}

#[tokio::test]
async fn a_map_with_keys_that_json_does_not_have_halts_once() {
    check_halts(&World::default(), value_map_with_pairs, (), &["key must be a string"]).await;
}

#[tokio::test]
async fn a_number_that_json_does_not_have_halts_once() {
    check_halts(&World::default(), value_not_a_number, (), &["null"]).await;
}

/// Also R14.
#[tokio::test]
async fn a_result_over_the_limit_halts_once_and_one_at_the_limit_does_not() {
    // The quotes of JSON, and `{"Ok":…}`.
    let world = World { limits: Limits { payload_bytes: 100, ..Limits::default() }, ..World::default() };
    check_halts(&world, value_letters, 92, &["100"]).await;
    let process = world.open().await;
    let run = process.runtime.start("fits", value_letters, 91).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok("91 letters".to_owned()));
}

#[tokio::test]
async fn an_error_that_can_not_be_recorded_is_not_tried_again() {
    let world = World { limits: Limits { payload_bytes: 100, ..Limits::default() }, ..World::default() };
    check_halts(&world, value_long_error, 1_000, &["100"]).await;
    let info = world.open().await.runtime.get("r").await.unwrap().unwrap();
    assert!(matches!(&info.steps[0].status, StepStatus::Unusable(why) if why.contains("100")), "{info:?}");
}

#[durable]
async fn value_large_result(_ctx: Context, count: usize) -> String {
    "x".repeat(count)
}

#[tokio::test]
async fn a_result_of_the_function_over_the_limit_halts_the_run() {
    let world = World { limits: Limits { payload_bytes: 100, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let halt = halted(process.runtime.start("r", value_large_result, 1_000).await.unwrap().await, HaltReason::Value);
    assert!(halt.message.contains("the function returned"), "{halt}");
    process.crash().await;
    // With a higher limit it can be resumed.
    let world = World { disk: world.disk, ..World::default() };
    let process = world.open().await;
    process.runtime.resume("r").await.unwrap();
    let result = process.runtime.attach("r", value_large_result).await.unwrap().await.unwrap();
    assert_eq!(result.len(), 1_000);
}

#[durable]
async fn value_large_input(_ctx: Context, text: String) -> usize {
    text.len()
}

#[tokio::test]
async fn an_input_that_can_not_be_recorded_starts_nothing() {
    let world = World { limits: Limits { payload_bytes: 100, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let error = process.runtime.start("r", value_large_input, "x".repeat(99)).await.unwrap_err();
    assert!(matches!(error, StartError::Input { .. }), "{error}");
    assert_eq!(process.runtime.get("r").await.unwrap(), None);
    assert_eq!(process.runtime.start("r", value_large_input, "x".repeat(98)).await.unwrap().await.unwrap(), 98);
}

#[tokio::test]
async fn a_recorded_input_that_does_not_decode_halts_the_run() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", value_awkward, 0).await.unwrap().await.unwrap_err();
    // The input's JSON is the digit `0`; with a quote in its place it can't be read any more.
    let started = patch(&frames(&world.disk.memory, "r")[0], |event| {
        // As JSON, one byte long. The run's seed, which is random, may have such a byte, too, but hardly all three.
        let payload = event.windows(3).position(|bytes| bytes == [0, 1, b'0']).unwrap();
        event[payload + 2] = b'"';
    });
    let world = World::default();
    write(&world.disk.memory, "r", vec![started]);
    let process = world.open().await;
    let halt = halted(process.runtime.attach("r", value_awkward).await.unwrap().await, HaltReason::Value);
    assert!(halt.message.contains("recorded input"), "{halt}");
    assert_eq!(world.effects.keys(), [""; 0]);
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Measured {
    single: f32,
    double: f64,
    tiny: f64,
    letter: char,
    big: u64,
    small: i64,
    none: Option<u8>,
    bytes: Vec<u8>,
    #[serde(skip)]
    forgotten: u32,
    #[serde(default = "seven")]
    kept: u32,
}

fn seven() -> u32 {
    7
}

async fn measure() -> Measured {
    Measured {
        single: 0.1,
        double: 0.1 + 0.2,
        tiny: f64::MIN_POSITIVE,
        letter: '\u{10ffff}',
        big: u64::MAX,
        small: i64::MIN,
        none: None,
        bytes: vec![0, 255],
        forgotten: 42,
        kept: 9,
    }
}

#[durable]
async fn value_measured(ctx: Context) -> (String, u32) {
    let measured = ctx.run(measure).await;
    (format!("{measured:?}"), measured.forgotten)
}

#[tokio::test]
async fn the_live_value_is_the_recorded_one() {
    for codec in [Codec::Json, Codec::Bincode] {
        let world = World::default();
        let runtime = world.builder().codec(codec).open_store(world.disk.open()).await.unwrap();
        let (live, forgotten) = runtime.start("r", value_measured, ()).await.unwrap().await.unwrap();
        assert_eq!(forgotten, 0, "{codec}: what is not recorded is not seen live either");
        let length = journal(&world.disk.memory, "r").len();
        assert_eq!(length, 3);
        for length in 1..length {
            let again = World::with(copy(&world.disk.memory, "r", length));
            // With the other codec: what was recorded stays readable.
            let process = again.open().await;
            let (replayed, _) = process.runtime.attach("r", value_measured).await.unwrap().await.unwrap();
            if codec == Codec::Json || length == 2 {
                assert_eq!(replayed, live, "{codec} {length}");
            }
        }
        runtime.shutdown(std::time::Duration::ZERO).await;
    }
}

/// Has a digest, and panics when it is written once more, for people.
#[derive(Debug, Clone, Default)]
struct OnceOnly(Arc<AtomicBool>);

impl Serialize for OnceOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0.swap(true, Ordering::SeqCst), "written a second time");
        serializer.serialize_u32(3)
    }
}

async fn takes_once_only(step: StepContext, _once: OnceOnly, value: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    value
}

#[durable]
async fn value_shown_argument(ctx: Context) -> u32 {
    ctx.run(takes_once_only, OnceOnly::default(), 4).await + ctx.run(takes_once_only, OnceOnly::default(), 5).await
}

#[tokio::test]
async fn an_argument_that_can_only_be_compared_is_not_shown_and_nothing_else_happens() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", value_shown_argument, ()).await.unwrap().await.unwrap(), 9);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!(info.steps.iter().map(|step| &step.arguments).collect::<Vec<_>>(), [&None, &None]);
    let again = World::with(copy(&world.disk.memory, "r", 2));
    let process = again.open().await;
    assert_eq!(process.runtime.attach("r", value_shown_argument).await.unwrap().await.unwrap(), 9);
}
