//! Mistakes that others make, by the names under which they are known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, HaltReason, Retry, RunStatus, Runtime, StartError, StepContext, durable};
use durable_tests::{Kind, Loss, World, journal};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::steps::{gated, halted, note};

/// A bank, a table and a queue outside of the runtime, each as strict as a real one.
#[derive(Debug, Default)]
struct Outside {
    /// Transfers by their id; a second one with the same id is answered "exists".
    ledger: Mutex<BTreeMap<String, u64>>,
    orders: Mutex<BTreeMap<String, u64>>,
    published: Mutex<Vec<String>>,
    /// Lets the next transfer arrive, and its answer get lost.
    loses_answer: Mutex<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Order {
    id: String,
    cents: u64,
    #[serde(skip)]
    note_to_self: String,
}

fn order(cents: u64) -> Order {
    Order { id: "ord_abc123".to_owned(), cents, note_to_self: String::new() }
}

/// A duplicate is how a ledger says that an earlier attempt succeeded.
async fn transfer(step: StepContext, order: &Order) -> Result<u64, String> {
    let outside = step.dependency::<Outside>();
    let is_new = outside.ledger.lock().insert(step.idempotency_key().to_owned(), order.cents).is_none();
    if is_new && std::mem::take(&mut *outside.loses_answer.lock()) {
        return Err("connection reset by peer".to_owned());
    }
    Ok(order.cents)
}

async fn upsert(step: StepContext, order: &Order, paid: u64) {
    step.dependency::<Outside>().orders.lock().insert(order.id.clone(), paid);
}

async fn publish(step: StepContext, order: &Order) {
    step.dependency::<Outside>().published.lock().push(format!("{} {}", step.idempotency_key(), order.id));
}

#[durable]
async fn trap_process_order(ctx: Context, order: Order) -> Result<u64, String> {
    ctx.run(note, 0).named("validate").await;
    let paid = ctx.run(transfer, &order).retry(Retry::fixed(Duration::ZERO).max_attempts(3)).await?;
    ctx.run(upsert, &order, paid).await;
    ctx.run(publish, &order).await;
    Ok(paid)
}

#[durable]
async fn trap_refund_order(ctx: Context, order: Order) -> Result<u64, String> {
    ctx.run(transfer, &order).named("refund").await
}

async fn open(world: &World, outside: &Arc<Outside>, commits: usize) -> Runtime {
    let handle = world.disk.open();
    handle.fail_after(commits, Loss::Whole);
    world.builder().shared_dependency(outside.clone()).open_store(handle).await.unwrap()
}

#[tokio::test]
async fn prose_another_flow_under_the_same_id_is_not_given_the_first_ones_result() {
    let (world, outside) = (World::default(), Arc::default());
    let runtime = open(&world, &outside, usize::MAX).await;
    let paid = runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap().await.unwrap();
    assert_eq!(paid, Ok(119));
    let refused = runtime.start("ord_abc123", trap_refund_order, order(119)).await;
    assert!(matches!(refused, Err(StartError::OtherFunction { .. })), "{refused:?}");
    assert_eq!(outside.ledger.lock().len(), 1);
}

#[tokio::test]
async fn prose_three_concurrent_executes_run_the_handler_once() {
    let (world, outside) = (World::default(), Arc::default());
    let runtime = open(&world, &outside, usize::MAX).await;
    let execute = async || runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap().await.unwrap();
    assert_eq!(tokio::join!(execute(), execute(), execute()), (Ok(119), Ok(119), Ok(119)));
    assert_eq!(world.effects.keys(), ["ord_abc123:validate"]);
    assert_eq!(outside.published.lock().len(), 1);
}

#[durable]
async fn trap_pinned(ctx: Context, order: Order) -> u64 {
    ctx.run(gated, 0).await;
    order.cents
}

#[tokio::test]
async fn prose_the_input_is_pinned_before_the_first_step_completes() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("ord_abc123", trap_pinned, order(119)).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    process.crash().await;
    let process = world.open().await;
    let refused = process.runtime.start("ord_abc123", trap_pinned, order(120)).await;
    assert!(matches!(refused, Err(StartError::OtherInput { .. })), "{refused:?}");
    world.gates.open("gated");
    assert_eq!(process.runtime.attach("ord_abc123", trap_pinned).await.unwrap().await.unwrap(), 119);
}

#[durable]
async fn trap_final_mapper(ctx: Context, order: Order) -> String {
    ctx.run(gated, 0).await;
    order.note_to_self
}

#[tokio::test]
async fn prose_the_final_mapper_sees_the_recorded_input_and_not_the_callers() {
    let world = World::default();
    let process = world.open().await;
    let told = Order { note_to_self: "the caller's".to_owned(), ..order(119) };
    world.gates.open("gated");
    let run = process.runtime.start("live", trap_final_mapper, told.clone()).await.unwrap();
    assert_eq!(run.await.unwrap(), "", "what is not recorded is not seen live either");
    let again = process.runtime.start("live", trap_final_mapper, told).await.unwrap();
    assert_eq!(again.await.unwrap(), "");
}

#[tokio::test]
async fn prose_a_third_call_returns_the_saved_result_and_runs_nothing() {
    let (world, outside) = (World::default(), Arc::default());
    for _ in 0..3 {
        let runtime = open(&world, &outside, usize::MAX).await;
        let run = runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap();
        assert_eq!(run.await.unwrap(), Ok(119));
        runtime.shutdown(Duration::ZERO).await;
    }
    assert_eq!(world.effects.keys(), ["ord_abc123:validate"]);
    assert_eq!(*outside.published.lock(), ["ord_abc123:publish ord_abc123"]);
}

#[tokio::test]
async fn prose_a_store_failure_is_not_blamed_on_the_step_and_costs_it_no_attempt() {
    let (world, outside) = (World::default(), Arc::default());
    // The commit of the transfer's outcome fails.
    let runtime = open(&world, &outside, 2).await;
    let run = runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap();
    let halt = halted(run.await, HaltReason::Storage);
    assert_eq!(halt.step, None, "{halt}");
    assert!(halt.message.starts_with("the store failed"), "{halt}");
    let info = runtime.get("ord_abc123").await.unwrap().unwrap();
    assert_eq!((info.status, info.steps.len()), (RunStatus::Running, 1));
    runtime.shutdown(Duration::ZERO).await;
    let runtime = open(&world, &outside, usize::MAX).await;
    assert_eq!(runtime.attach("ord_abc123", trap_process_order).await.unwrap().await.unwrap(), Ok(119));
    let steps = runtime.get("ord_abc123").await.unwrap().unwrap().steps;
    assert!(steps.iter().all(|step| step.attempts == 1), "{steps:?}");
}

#[tokio::test]
async fn resonate_a_retried_transfer_that_exists_is_a_success() {
    let (world, outside) = (World::default(), Arc::<Outside>::default());
    *outside.loses_answer.lock() = true;
    let runtime = open(&world, &outside, usize::MAX).await;
    let run = runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(119));
    let info = runtime.get("ord_abc123").await.unwrap().unwrap();
    let attempts: Vec<_> = info.steps.iter().map(|step| (step.key.as_str(), step.attempts)).collect();
    assert_eq!(attempts, [("validate", 1), ("transfer", 2), ("upsert", 1), ("publish", 1)]);
    assert_eq!(*outside.ledger.lock(), BTreeMap::from([("ord_abc123:transfer".to_owned(), 119)]));
}

#[tokio::test]
async fn resonate_a_crash_between_effect_and_checkpoint_moves_the_money_once() {
    for commits in 0..=4 {
        let (world, outside) = (World::default(), Arc::<Outside>::default());
        let runtime = open(&world, &outside, commits).await;
        match runtime.start("ord_abc123", trap_process_order, order(119)).await {
            Ok(run) => drop(halted(run.await, HaltReason::Storage)),
            Err(error) => assert!(matches!(error, StartError::Store { .. }) && commits == 0, "{error}"),
        }
        runtime.shutdown(Duration::ZERO).await;
        let runtime = open(&world, &outside, usize::MAX).await;
        let run = runtime.start("ord_abc123", trap_process_order, order(119)).await.unwrap();
        assert_eq!(run.await.unwrap(), Ok(119));
        assert_eq!(outside.ledger.lock().values().sum::<u64>(), 119, "charged twice, {commits} commits");
        assert_eq!(outside.ledger.lock().len(), 1);
        assert_eq!(*outside.orders.lock(), BTreeMap::from([("ord_abc123".to_owned(), 119)]));
        // At least once, and whoever listens can tell the repetition by its id.
        let published: BTreeSet<_> = outside.published.lock().iter().cloned().collect();
        assert_eq!(published.len(), 1);
    }
}

#[durable]
async fn trap_same_name_in_branches(ctx: Context) -> Vec<u32> {
    let branch = async |first: u32| {
        let one = ctx.run(gated, first).named(format!("gate {first}")).await;
        let two = ctx.run(note, one * 10).await;
        ctx.run(note, two * 10).await
    };
    let (left, right) = tokio::join!(branch(1), branch(2));
    vec![left, right]
}

#[tokio::test]
async fn dbos_concurrency_does_not_renumber_steps_on_replay() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", trap_same_name_in_branches, ()).await.unwrap();
    world.gates.arrived("gate 1", 1).await;
    // The second branch is ahead live, and claims `note` and `note#2` first.
    world.gates.open("gate 2");
    while journal(&world.disk.memory, "r").iter().filter(|entry| entry.kind == Kind::StepCompleted).count() < 3 {
        tokio::task::yield_now().await;
    }
    world.gates.open("gate 1");
    assert_eq!(run.await.unwrap(), [100, 200]);
    let outputs = |info: durable_runtime::RunInfo| -> BTreeMap<String, String> {
        info.steps
            .into_iter()
            .map(|step| (step.key, step.output.map(|output| output.text()).unwrap_or_default()))
            .collect()
    };
    let live = outputs(process.runtime.get("r").await.unwrap().unwrap());
    assert_eq!((live["note"].as_str(), live["note#3"].as_str()), ("20", "10"));
    for length in 5..=6 {
        let again = World::with(durable_tests::copy(&world.disk.memory, "r", length));
        again.gates.open("gate 1");
        let process = again.open().await;
        let run = process.runtime.attach("r", trap_same_name_in_branches).await.unwrap();
        assert_eq!(run.await.unwrap(), [100, 200]);
        assert_eq!(outputs(process.runtime.get("r").await.unwrap().unwrap()), live);
    }
}

#[tokio::test]
async fn a_missing_dependency_halts_the_run_and_is_no_reason_to_lose_it() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("ord_abc123", trap_refund_order, order(119)).await.unwrap();
    let halt = halted(run.await, HaltReason::Misuse);
    assert!(halt.message.contains("Outside") && halt.message.contains(".dependency("), "{halt}");
    process.crash().await;
    let outside = Arc::default();
    let runtime = open(&world, &outside, usize::MAX).await;
    runtime.resume("ord_abc123").await.unwrap();
    assert_eq!(runtime.attach("ord_abc123", trap_refund_order).await.unwrap().await.unwrap(), Ok(119));
}
