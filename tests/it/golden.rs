//! Golden journals: those of our own, which every later version must be able to go on with, and how they fail (R9).
//!
//! `DURABLE_GOLDEN=record cargo test -p durable-tests --test it golden::kept` records what is missing in
//! `tests/journals`. What is there is never changed: it stands for runs that somebody has in flight.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_runtime::testing::{self, Golden};
use durable_runtime::{
    Codec, Context, DurableFunction, Failure, Journal, Retry, Runtime, StepContext, Verification, durable,
};
use durable_tests::{ManualClock, is_left_out, unsealed};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: String,
    items: Vec<(String, u32)>,
    gift_for: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Declined { cents: u64 },
    SoldOut(String),
}

fn order(name: &str) -> Order {
    Order {
        id: format!("ord_{name}"),
        items: vec![("tea".to_owned(), 2), ("cup \"blue\"".to_owned(), 1)],
        gift_for: None,
    }
}

async fn total(order: &Order) -> u64 {
    order.items.iter().map(|(_, count)| u64::from(*count) * 250).sum()
}

async fn charge(step: StepContext, order: &Order, cents: u64) -> Result<String, Refusal> {
    match (order.id.as_str(), step.attempt()) {
        ("ord_declined", _) | (_, 1) => Err(Refusal::Declined { cents }),
        _ => Ok(step.idempotency_key().to_owned()),
    }
}

async fn reserve(sku: &str, count: u32) -> Result<u32, Refusal> {
    if count == 0 { Err(Refusal::SoldOut(sku.to_owned())) } else { Ok(count) }
}

/// One after the other, with retries, a typed error, and what is done about it.
#[durable(version = 2)]
async fn golden_order(ctx: Context, order: Order) -> Result<String, Refusal> {
    let cents = ctx.run(total, &order).await;
    let patient = Retry::fixed(Duration::from_millis(1)).max_attempts(3);
    match ctx.run(charge, &order, cents).retry(patient).await {
        Ok(receipt) => Ok(receipt),
        Err(refusal) => {
            ctx.run("apologise", async || format!("{refusal:?}")).await;
            Err(refusal)
        }
    }
}

/// Branches of several steps, and an error that ends one branch early.
#[durable]
async fn golden_joined(ctx: Context, order: Order, last: u32) -> Result<u32, Refusal> {
    let left = async {
        let first = ctx.run(reserve, "left", 1).await?;
        ctx.run(reserve, "left again", first + 1).await
    };
    let right = async { ctx.run(reserve, "right", 5).await };
    let (left, right) = tokio::join!(left, right);
    let all = order.items.iter().map(|(sku, count)| ctx.run(reserve, sku, *count));
    let all: Result<Vec<u32>, Refusal> = futures::future::join_all(all).await.into_iter().collect();
    let (a, b) = tokio::try_join!(ctx.run(reserve, "more", 3), ctx.run(reserve, "last", last))?;
    Ok(left? + right? + all?.into_iter().sum::<u32>() + a + b)
}

/// A race with a loser that never ends, and one with a loser that is kept.
#[durable]
async fn golden_race(ctx: Context, limit: u32) -> u32 {
    let winner = tokio::select! {
        never = ctx.run("never", std::future::pending::<u32>) => never,
        value = ctx.run(slowly, 1, limit) => value,
    };
    let mut kept = Box::pin(ctx.run(slowly, 20, 2).named("kept"));
    let quick = tokio::select! {
        value = &mut kept => value,
        value = ctx.run(slowly, 1, 3).named("quick") => value,
    };
    winner + quick * 10 + kept.await * 100
}

/// Returns its value, some turns later.
async fn slowly(turns: u32, value: u32) -> u32 {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    value
}

/// Steps in the order in which they end, and one that is added behind them.
#[durable]
async fn golden_unordered(ctx: Context, turns: Vec<u32>) -> Vec<u32> {
    let mut running: FuturesUnordered<_> = turns.iter().map(|turns| ctx.run(slowly, *turns, *turns)).collect();
    let mut ended = Vec::new();
    while let Some(value) = running.next().await {
        ended.push(value);
        if ended.len() == turns.len() {
            running.push(ctx.run(slowly, 0, 100));
        }
    }
    ended
}

/// A part of its caller's run.
#[durable]
async fn golden_part(ctx: &Context, name: &str) -> Result<usize, Failure> {
    let greeting = ctx.run("greet", async || format!("hello {name}, 世界")).await;
    let length = ctx.run("measure", async |step| greeting.len() + step.attempt() as usize).await;
    ctx.run("check", async || if length > 100 { Err(Failure::new("too long").permanent()) } else { Ok(length) }).await
}

/// Helpers and inline steps, in a loop.
#[durable]
async fn golden_parts(ctx: Context, names: Vec<String>) -> Result<usize, Failure> {
    let mut sum = 0;
    for name in &names {
        sum += golden_part(&ctx, name).await?;
    }
    Ok(sum)
}

/// Runs and replays in one of our own folders.
async fn kept<F: DurableFunction>(function: F, input: F::Input) -> F::Output {
    kept_as(Codec::Json, function, input).await
}

async fn kept_as<F: DurableFunction>(codec: Codec, function: F, input: F::Input) -> F::Output {
    let runtime = Runtime::builder().codec(codec).in_memory().await.unwrap();
    testing::golden(format!("journals/{}", F::NAME)).run(&runtime, function, input).await
}

#[tokio::test]
async fn kept_order() {
    assert_eq!(kept(golden_order, order("paid")).await.unwrap().split(':').next_back(), Some("charge"));
    assert_eq!(kept(golden_order, order("declined")).await, Err(Refusal::Declined { cents: 750 }));
}

#[tokio::test]
async fn kept_joined() {
    assert_eq!(kept(golden_joined, (order("joined"), 2)).await, Ok(15));
    assert_eq!(kept(golden_joined, (order("joined"), 0)).await, Err(Refusal::SoldOut("last".to_owned())));
}

#[tokio::test]
async fn kept_race() {
    assert_eq!(kept(golden_race, 7).await, 237);
    assert_eq!(kept_as(Codec::Bincode, golden_race, 7).await, 237);
}

#[tokio::test]
async fn kept_unordered() {
    assert_eq!(kept(golden_unordered, vec![3, 1, 5, 2]).await, [1, 2, 3, 5, 100]);
}

#[tokio::test]
async fn kept_parts() {
    assert_eq!(kept(golden_parts, vec!["Ada".to_owned(), "Grace".to_owned()]).await.unwrap(), 38);
    let long = "x".repeat(100);
    assert!(kept(golden_parts, vec!["Ada".to_owned(), long]).await.unwrap_err().to_string().contains("too long"));
}

/// The runs that see the changed code.
static CHANGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[durable]
async fn golden_changing(ctx: Context, value: u32) -> u32 {
    let is_changed = CHANGED.lock().contains(ctx.run_id().as_str());
    let first = ctx.run("first", async || value).await;
    let second =
        if is_changed { ctx.run("another", async || first).await } else { ctx.run("second", async || first).await };
    ctx.run("third", async || second).await
}

static RECORDED: AtomicU32 = AtomicU32::new(0);

/// Runs and records a function in a folder, each time at another time.
async fn record(folder: &Path, run: &str, value: u32) -> Option<PathBuf> {
    let clock = ManualClock::default();
    clock.advance(Duration::from_secs(RECORDED.fetch_add(1, Ordering::SeqCst).into()));
    let runtime = Runtime::builder().clock(clock).in_memory().await.unwrap();
    runtime.start(run, golden_changing, value).await.unwrap().await.unwrap();
    testing::golden(folder).recording().record(&runtime, run).await
}

/// What the panic says.
async fn panics(testing: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(testing).await.expect_err("it passes").into_panic();
    *panic.downcast::<String>().expect("a message")
}

async fn replay_panics(folder: &Path) -> String {
    let golden: Golden = testing::golden(folder);
    panics(async move { golden.replay().await }).await
}

#[tokio::test]
async fn a_changed_function_fails_with_file_event_and_difference() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "golden changed", 1).await.unwrap();
    record(folder.path(), "golden unchanged", 2).await.unwrap();
    testing::golden(folder.path()).replay().await;

    CHANGED.lock().insert("golden changed".to_owned());
    let told = replay_panics(folder.path()).await;
    let file = file.file_name().unwrap().to_str().unwrap().to_owned();
    for words in [
        "1 of 2 golden journals in ",
        &format!(
            "\n{file}: after event 3 of 5, StepCompleted second\n    [D0402] step second: run `golden changed` of"
        ),
        "\n      recorded: step `second` at",
        "\n      current:  step `another` at",
        "Runs like these that are in flight when this code is deployed halt",
        "\n    DURABLE_GOLDEN=record cargo test",
    ] {
        assert!(told.contains(words), "{words:?} is missing in: {told}");
    }
    CHANGED.lock().remove("golden changed");
    testing::golden(folder.path()).replay().await;
}

#[tokio::test]
async fn equal_journals_are_recorded_once_and_to_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let one = record(folder.path(), "golden one", 1).await.unwrap();
    assert_eq!(record(folder.path(), "golden two", 1).await, None, "only run and times are others");
    let other = record(folder.path(), "golden two", 2).await.unwrap();
    assert_ne!(one, other);
    let text = fs::read_to_string(&one).unwrap();
    let again = tempfile::tempdir().unwrap();
    let again = record(again.path(), "golden one", 1).await.unwrap();
    assert_eq!((fs::read_to_string(&again).unwrap(), again.file_name()), (text.clone(), one.file_name()));

    let journal: Journal = text.parse().unwrap();
    assert_eq!(
        (journal.run().as_str(), journal.function(), journal.length()),
        ("golden one", Some("golden_changing"), 5)
    );
    assert_eq!(testing::replay(&journal, golden_changing).await, Verification::Same);
    let next = vec!["second".to_owned()];
    assert_eq!(testing::replay(&journal.prefix(2), golden_changing).await, Verification::Continues { next });
    assert!(!testing::replay(&journal, golden_race).await.fits());
}

#[tokio::test]
async fn without_the_variable_nothing_is_recorded_and_a_folder_without_journals_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("none yet");
    let runtime = Runtime::builder().in_memory().await.unwrap();
    runtime.start("r", golden_changing, 1).await.unwrap().await.unwrap();
    assert_eq!(testing::golden(&folder).record(&runtime, "r").await, None);
    assert!(!folder.exists());
    let told = replay_panics(&folder).await;
    for words in ["there are no golden journals in", "none yet", "DURABLE_GOLDEN=record cargo test"] {
        assert!(told.contains(words), "{words:?} is missing in: {told}");
    }
    assert!(panics(async move { drop(testing::golden("x").record(&runtime, "s").await) }).await.contains("no run s"));
}

#[tokio::test]
async fn a_file_that_is_no_journal_and_a_function_that_is_gone_fail_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "golden file", 1).await.unwrap();
    let text = unsealed(&fs::read_to_string(&file).unwrap());
    fs::write(&file, text.replace("golden_changing", "golden_departed")).unwrap();
    let told = replay_panics(folder.path()).await;
    assert!(told.contains(": the function golden_departed is not part of this program"), "{told}");
    fs::write(&file, text.replace("StepCompleted", "StepDone")).unwrap();
    let told = replay_panics(folder.path()).await;
    assert!(told.contains(".jsonl: [D0170] line 3 is not that of a journal: unknown variant `StepDone`"), "{told}");
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[durable]
async fn golden_moody(ctx: Context) -> u32 {
    let name = format!("call {}", CALLS.fetch_add(1, Ordering::SeqCst));
    ctx.run("one", async || 1).named(name).await
}

#[tokio::test]
async fn code_that_is_not_deterministic_fails_before_it_is_recorded() {
    if is_left_out("such code halts before it could be recorded") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let golden = testing::golden(folder.path()).recording();
    let runtime = Runtime::builder().in_memory().await.unwrap();
    let told = panics(async move { assert_eq!(golden.run(&runtime, golden_moody, ()).await, 1) }).await;
    assert!(told.contains("does not repeat what it has just done"), "{told}");
    assert!(told.contains("recorded: step `call 0` at"), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tests_that_record_into_one_folder_at_the_same_time_do_not_see_half_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let tests = (0..200).map(|value| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move { record(&folder, "golden parallel", value % 40).await })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 40);
}

#[tokio::test]
async fn line_breaks_of_another_system_are_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "golden breaks", 1).await.unwrap();
    fs::write(&file, fs::read_to_string(&file).unwrap().replace('\n', "\r\n")).unwrap();
    testing::golden(folder.path()).replay().await;
    assert_eq!(record(folder.path(), "golden breaks", 1).await, None, "it is there already");
}
