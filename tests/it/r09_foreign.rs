//! R2 and R9: code goes on when one of its operations has ended, and at no other time. What wakes it besides is found in
//! the life in which it happens, before it has any effect.
//!
//! The functions here await what is not durable, through a plain `async fn`.

use std::collections::BTreeMap;
use std::future::{IntoFuture as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use durable_runtime::{Clock as _, Context, DurableFunction, HaltReason, StepContext, durable};
use durable_tests::{Effects, Gates, Kind, ManualClock, Process, World, is_left_out, journal, patiently};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::steps::{gated, halted, note};

/// What is outside of each run, by its id: signals that anybody may give, and a clock.
static OUTSIDE: Mutex<BTreeMap<String, Outside>> = Mutex::new(BTreeMap::new());

#[derive(Clone)]
struct Outside {
    signals: Arc<Semaphore>,
    clock: ManualClock,
}

fn outside(ctx: &Context) -> Outside {
    OUTSIDE.lock()[ctx.run_id().as_str()].clone()
}

/// Waits for a signal, which is no operation of the run.
async fn signal(ctx: &Context) -> u32 {
    outside(ctx).signals.acquire().await.expect("it is not closed").forget();
    10
}

/// Waits for the time, which is no operation of the run either.
async fn alarm(ctx: &Context) -> u32 {
    let clock = outside(ctx).clock;
    clock.sleep_until(clock.now().after(Duration::from_secs(1))).await;
    10
}

async fn turn(_: &Context) -> u32 {
    tokio::task::yield_now().await;
    10
}

async fn at_once(_: &Context) -> u32 {
    std::future::ready(10).await
}

/// Gives the signal, and ends.
async fn giving(step: StepContext, value: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    step.dependency::<Gates>().pass(step.key()).await;
    OUTSIDE.lock()[step.run_id().as_str()].signals.add_permits(1);
    value
}

/// Starts a run whose first steps have come to their gates.
async fn begin<F>(world: &World, run: &str, function: F, gates: &[&str]) -> (Process, durable_runtime::Run<u32>)
where
    F: DurableFunction<Input = (), Output = u32>,
{
    let outside = Outside { signals: Arc::new(Semaphore::new(0)), clock: world.clock.clone() };
    OUTSIDE.lock().insert(run.to_owned(), outside);
    let process = world.open().await;
    let started = process.runtime.start(run, function, ()).await.unwrap();
    for gate in gates {
        world.gates.arrived(gate, 1).await;
    }
    (process, started)
}

/// The run halts, says so in these words, and nothing more has happened than these steps.
async fn check(world: &World, run: durable_runtime::Run<u32>, words: &[&str], effects: &[&str]) {
    let id = run.id().to_string();
    let halt = halted(patiently("the halt", run.into_future()).await, HaltReason::Divergence);
    for word in words.iter().chain(&["not an operation of the run", "r09_foreign.rs:", "do this:"]) {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    assert!(!halt.message.contains("cause:"), "{halt}");
    let expected: Vec<String> = effects.iter().map(|key| format!("{id}:{key}")).collect();
    assert_eq!(world.effects.keys(), expected);
    let recorded: Vec<Kind> = journal(&world.disk.memory, &id).into_iter().map(|entry| entry.kind).collect();
    assert_eq!(recorded, [Kind::Started, Kind::Halted]);
}

fn give(run: &str) {
    OUTSIDE.lock()[run].signals.add_permits(1);
}

#[durable]
async fn foreign_claim(ctx: Context) -> u32 {
    let other = async {
        #[durable(unchecked = "what this test is about")]
        let value = signal(&ctx).await;
        ctx.run(note, value).named("after the signal").await
    };
    let (slow, other) = tokio::join!(ctx.run(gated, 1).named("slow"), other);
    slow + other
}

#[tokio::test]
async fn a_channel_that_wakes_code_while_a_step_runs() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign claim", foreign_claim, &["slow"]).await;
    give("foreign claim");
    check(&world, run, &["current:  step `after the signal` at"], &["slow"]).await;
}

#[durable]
async fn foreign_timer(ctx: Context) -> u32 {
    #[durable(unchecked = "what this test is about")]
    tokio::select! {
        value = ctx.run(gated, 1).named("slow") => value,
        value = alarm(&ctx) => ctx.run(note, value).named("too late").await,
    }
}

#[tokio::test]
async fn a_timer_that_fires_while_a_step_runs() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign timer", foreign_timer, &["slow"]).await;
    world.clock.advance(Duration::from_secs(1));
    // That the step was dropped is noticed first.
    check(&world, run, &["current:  step `slow` at"], &["slow"]).await;
}

#[durable]
async fn foreign_return(ctx: Context) -> u32 {
    let step = ctx.run(gated, 1).named("slow");
    tokio::pin!(step);
    #[durable(unchecked = "what this test is about")]
    tokio::select! { value = &mut step => value, value = signal(&ctx) => value }
}

#[tokio::test]
async fn code_that_returns_at_a_foreign_wake() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign return", foreign_return, &["slow"]).await;
    give("foreign return");
    check(&world, run, &["step `slow` at"], &["slow"]).await;
}

#[durable]
async fn foreign_poll(ctx: Context) -> u32 {
    let claimed = ctx.run(note, 2).named("claimed before");
    #[durable(unchecked = "what this test is about")]
    let later = async { signal(&ctx).await + claimed.await };
    let (slow, later) = tokio::join!(ctx.run(gated, 1).named("slow"), later);
    slow + later
}

#[tokio::test]
async fn a_step_that_was_claimed_before_and_would_begin_at_a_foreign_wake() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign poll", foreign_poll, &["slow"]).await;
    give("foreign poll");
    check(&world, run, &["current:  step `claimed before` at"], &["slow"]).await;
}

#[durable]
async fn foreign_drop(ctx: Context) -> u32 {
    let stay = ctx.run(gated, 1).named("stay");
    let go = async {
        #[durable(unchecked = "what this test is about")]
        tokio::select! { value = ctx.run(gated, 2).named("go") => value, value = signal(&ctx) => value }
    };
    let (stay, go) = tokio::join!(stay, go);
    stay + go
}

#[tokio::test]
async fn a_step_that_loses_against_a_foreign_wake() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign drop", foreign_drop, &["stay", "go"]).await;
    give("foreign drop");
    check(&world, run, &["current:  step `go` at"], &["stay", "go"]).await;
}

#[durable]
async fn foreign_turn(ctx: Context) -> u32 {
    let other = async {
        #[durable(unchecked = "what this test is about")]
        let value = turn(&ctx).await;
        ctx.run(note, value).named("after a turn").await
    };
    let (slow, other) = tokio::join!(ctx.run(gated, 1).named("slow"), other);
    slow + other
}

#[tokio::test]
async fn code_that_wakes_itself_later() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign turn", foreign_turn, &[]).await;
    check(&world, run, &["current:  step `after a turn` at"], &["slow"]).await;
}

#[durable]
async fn foreign_order(ctx: Context) -> u32 {
    let first = async {
        let value = ctx.run(giving, 1).named("giving").await;
        ctx.run(note, value).await
    };
    let second = async {
        #[durable(unchecked = "what this test is about")]
        let value = signal(&ctx).await;
        ctx.run(note, value).await
    };
    let (first, second) = tokio::join!(first, second);
    first + second
}

#[tokio::test]
async fn a_step_whose_body_wakes_the_code_by_another_way_before_its_outcome_is_delivered() {
    if is_left_out("the code is not there any more to be woken") {
        return;
    }
    let world = World::default();
    let (_process, run) = begin(&world, "foreign order", foreign_order, &["giving"]).await;
    world.gates.open("giving");
    let halt = halted(patiently("the halt", run.into_future()).await, HaltReason::Divergence);
    assert!(halt.message.contains("current:  step `note` at"), "{halt}");
    assert_eq!(world.effects.keys(), ["foreign order:giving"]);
}

#[durable]
async fn foreign_at_once(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).await;
    #[durable(unchecked = "what this test is about")]
    let value = at_once(&ctx).await;
    first + ctx.run(note, value).await
}

/// It delays nothing, so there is nothing to notice; what it returns is compared as the arguments of steps are.
#[tokio::test]
async fn a_foreign_future_that_never_waits_is_no_trouble() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign at once", foreign_at_once, &[]).await;
    assert_eq!(run.await.unwrap(), 11);
}

#[durable]
async fn foreign_lock(ctx: Context) -> u32 {
    let one_at_a_time = tokio::sync::Mutex::new(0);
    let add = async |name: &'static str| {
        #[durable(unchecked = "only this run's own branches hold the lock")]
        let mut sum = one_at_a_time.lock().await;
        *sum += ctx.run(gated, 1).named(name).await;
        *sum += ctx.run(note, 1).await;
    };
    tokio::join!(add("a"), add("b"), add("c"));
    one_at_a_time.into_inner()
}

/// A lock among branches is given on by the code itself, within its turn.
#[tokio::test]
async fn branches_that_wake_each_other_are_no_trouble() {
    let world = World::default();
    let (_process, run) = begin(&world, "foreign lock", foreign_lock, &["a"]).await;
    for gate in ["c", "b", "a"] {
        world.gates.open(gate);
    }
    assert_eq!(run.await.unwrap(), 6);
    assert_eq!(world.effects.keys().len(), 6);
}

/// What the steps of [`foreign_threads`] are woken by.
static BODIES: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

/// Tells when it is woken, and in which of tokio's tasks.
struct Told {
    code: Waker,
    told: Arc<Mutex<Vec<Option<tokio::task::Id>>>>,
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.told.lock().push(tokio::task::try_id());
        self.code.wake_by_ref();
    }
}

async fn woken_by_others(step: StepContext) -> u32 {
    let mut polls = 0;
    let woken = poll_fn(|task| {
        polls += 1;
        BODIES.lock().push(task.waker().clone());
        if polls > 1 { Poll::Ready(1) } else { Poll::Pending }
    });
    step.dependency::<Gates>().pass(step.key()).await;
    woken.await
}

/// Awaits a step as a combinator would that has a queue of those that were woken.
async fn as_a_combinator(step: impl Future<Output = u32>) -> (u32, bool) {
    let mut step = pin!(step);
    let told = Arc::default();
    let value = poll_fn(|task| {
        let waker = Arc::new(Told { code: task.waker().clone(), told: Arc::clone(&told) }).into();
        step.as_mut().poll(&mut TaskContext::from_waker(&waker))
    });
    let value = value.await;
    let here = tokio::task::try_id();
    let told = told.lock();
    (value, !told.is_empty() && told.iter().all(|task| *task == here))
}

#[durable]
async fn foreign_threads(ctx: Context) -> (u32, bool) {
    #[durable(unchecked = "it polls the step only")]
    as_a_combinator(ctx.run(woken_by_others)).await
}

/// Else a combinator that is waking something up on another thread may miss a delivery meanwhile.
#[tokio::test]
async fn combinators_are_woken_by_the_task_of_their_run_only() {
    let world = World::default();
    world.gates.open("woken_by_others");
    let process = world.open().await;
    let run = process.runtime.start("foreign threads", foreign_threads, ()).await.unwrap();
    let body = async {
        loop {
            let body = BODIES.lock().pop();
            match body {
                Some(body) => return body,
                None => tokio::task::yield_now().await,
            }
        }
    };
    patiently("the body", body).await.wake();
    assert_eq!(patiently("the end", run.into_future()).await.unwrap(), (1, true));
}
