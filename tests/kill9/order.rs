//! The durable function under test: steps in sequence, joined, raced, tried again, with small and large results.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, Emission, Failure, Retry, RuntimeBuilder, StepContext, durable};
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use crate::fact::{Execution, Fact, Refusal, World};

const SMALL: usize = 40;
const LARGE: usize = 20 * 1_024;
const HUGE: usize = 200 * 1_024;

/// The steps of which only the first to have an outcome counts.
pub(crate) const RACERS: [&str; 2] = ["courier", "post"];

/// The step that runs at most once.
pub(crate) const SEAL: &str = "seal";

/// What the code publishes: whom it has learned of, in the order of its result.
pub(crate) const LEARNED: &str = "learned";

/// Where some orders emit what they have learned of.
const EVENTS: &str = "events";

/// What a broken step says.
pub(crate) const PANIC: &str = "the scales are broken";

/// A step's key without the number of the part that its run is in.
pub(crate) fn without_part(key: &str) -> &str {
    key.split_once('@').map_or(key, |(key, _)| key)
}

/// An order's input; everything about it follows from its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
}

impl Order {
    /// The id of its run; ids and numbers have the same order.
    pub(crate) fn run_id(self) -> String {
        format!("order-{:06}", self.number)
    }

    /// The order of a run.
    pub(crate) fn of_run_id(run: &str) -> Option<Self> {
        let number = run.strip_prefix("order-")?.parse().ok()?;
        Some(Self { number })
    }

    /// Whether its last step fails for good, and the order with it.
    pub(crate) fn is_refused(self) -> bool {
        self.number % 7 == 3
    }

    /// Whether one of its steps panics when it is executed for the first time in a life.
    pub(crate) fn breaks(self) -> bool {
        self.number % 6 == 4
    }

    /// Whether it waits for a time between two steps.
    fn sleeps(self) -> bool {
        self.number % 9 == 5
    }

    /// Whether its run continues as new when all legs are done.
    pub(crate) fn continues(self) -> bool {
        self.number % 5 == 2
    }

    /// The ids of what it emits.
    pub(crate) fn events(self) -> Vec<String> {
        if self.number % 4 != 2 {
            return Vec::new();
        }
        let later = if self.continues() { format!("{EVENTS}@2") } else { format!("{EVENTS}#2") };
        [EVENTS.to_owned(), later].map(|key| format!("{}:{key}", self.run_id())).into()
    }

    /// How many bytes its large results have.
    fn bytes(self) -> usize {
        if self.number % 32 == 21 { HUGE } else { [SMALL, 900, 5_000, LARGE][(self.number % 4) as usize] }
    }
}

/// What a step returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) by: Execution,
    /// As [`filling`] says.
    pub(crate) filling: String,
}

/// What a step is to do.
#[derive(Debug, Clone, Copy, Serialize)]
struct Effect {
    /// How many attempts fail.
    failures: u32,
    /// The length of the result's filling.
    bytes: usize,
    /// How often it lets others go first.
    yields: u32,
    /// Whether it panics until the world mends it.
    breaks: bool,
}

const QUICK: Effect = Effect { failures: 0, bytes: SMALL, yields: 1, breaks: false };

/// `bytes` bytes that only this execution returns.
pub(crate) fn filling(by: &Execution, bytes: usize) -> String {
    let Execution { key, life, attempt } = by;
    let pattern = format!("{key} {life} {attempt} ");
    pattern.chars().cycle().take(bytes).collect()
}

/// Changes the world: tells the parent, and first that all it depends on is durable, since it has begun (R5).
async fn effect(step: StepContext, inputs: &[Receipt], effect: Effect) -> Result<Receipt, Refusal> {
    let world = step.dependency::<World>();
    for input in inputs {
        world.tell(&Fact::Durable(input.by.clone()));
    }
    let by = Execution { key: step.idempotency_key().to_owned(), life: world.life, attempt: step.attempt() };
    world.tell(&Fact::Effect(by.clone()));
    // Lets other steps in between, and a kill between the effect and its record.
    for _ in 0..effect.yields {
        tokio::task::yield_now().await;
    }
    assert!(!effect.breaks || !world.is_broken(by.run_and_step().0), "{PANIC}");
    if by.attempt <= effect.failures {
        return Err(Refusal { by });
    }
    Ok(Receipt { filling: filling(&by, effect.bytes), by })
}

/// Nobody could undo it, or tell a second time from the first.
async fn seal(step: StepContext) -> Result<(), Failure> {
    step.dependency::<World>().tell(&Fact::Sealed { run: step.run_id().to_string() });
    tokio::task::yield_now().await;
    Ok(())
}

/// Up to the last leg: what the code has learned, in that order.
#[durable]
async fn deliver(ctx: &Context, order: Order) -> Result<Vec<Receipt>, Refusal> {
    let at_once = Retry::fixed(Duration::ZERO).max_attempts(4);
    let patient = Retry::exponential(Duration::from_millis(2)).max_attempts(4);
    let large = Effect { bytes: order.bytes(), ..QUICK };
    let failing = Effect { failures: (order.number % 4) as u32, ..QUICK };

    let reserved = vec![ctx.run(effect, &Vec::new(), QUICK).named("reserve").await?];
    let charged = vec![ctx.run(effect, &reserved, failing).named("charge").retry(patient).await?];
    emit(ctx, order, &charged[0]);

    let pack = async {
        let found = vec![ctx.run(effect, &charged, large).named("pick").await?];
        let packed = ctx.run(effect, &found, large).named("pack").await?;
        Ok([found, vec![packed]].concat())
    };
    let label = async {
        let addressed = vec![ctx.run(effect, &charged, failing).named("address").retry(at_once).await?];
        let printed = ctx.run(effect, &addressed, QUICK).named("print").await?;
        Ok([addressed, vec![printed]].concat())
    };
    let (packed, labelled, invoiced) =
        tokio::try_join!(pack, label, ctx.run(effect, &charged, large).named("invoice"))?;
    let mut known = [reserved, charged, packed, labelled, vec![invoiced]].concat();
    publish(ctx, &known);

    let mut here = known.clone();
    for _ in 0..order.number % 5 {
        here = vec![ctx.run(effect, &here, QUICK).named("leg").await?];
        publish(ctx, &here);
        known.extend(here.clone());
    }
    Ok(known)
}

fn publish(ctx: &Context, learned: &[Receipt]) {
    for receipt in learned {
        ctx.publish(LEARNED, &receipt.by);
    }
}

fn emit(ctx: &Context, order: Order, learned: &Receipt) {
    if !order.events().is_empty() {
        ctx.emit(EVENTS, &learned.by);
    }
}

/// A runtime that tells the world of each event.
pub(crate) fn tells_of_events(runtime: RuntimeBuilder, world: Arc<World>) -> RuntimeBuilder {
    runtime.sink(EVENTS, move |event: Emission| {
        let told = event.decode().map(|by| world.tell(&Fact::Delivered { id: event.id().to_owned(), event: by }));
        async move {
            // Lets a kill in between.
            tokio::task::yield_now().await;
            Ok(told?)
        }
    })
}

/// Returns who did what, in the order in which the code learned of it. What it has learned already, an order is given that has
/// continued as new.
#[durable]
pub(crate) async fn fulfil(ctx: Context, order: Order, known: Vec<Receipt>) -> Result<Vec<Execution>, Refusal> {
    let at_once = Retry::fixed(Duration::ZERO).max_attempts(4);
    let large = Effect { bytes: order.bytes(), ..QUICK };
    let is_new = known.is_empty();
    let mut known = if is_new { deliver(&ctx, order).await? } else { known };
    if is_new && order.continues() {
        ctx.continue_as_new(order, known).await;
    }
    let legs = (order.number % 5).min(1) as usize;
    let mut here = known[if legs == 0 { 0 } else { known.len() - 1 }..].to_vec();

    if order.sleeps() {
        // So long that the run leaves memory, and is in the store only when most lives end.
        ctx.sleep(Duration::from_millis(1_200)).await;
    }

    let weighing = Effect { breaks: order.breaks(), ..QUICK };
    let weighed = ctx.run(effect, &here, weighing).named("weigh").await?;
    publish(&ctx, std::slice::from_ref(&weighed));
    emit(&ctx, order, &weighed);
    known.push(weighed);

    // If that was interrupted it is left as it is, sealed or not.
    let _perhaps: Result<(), Failure> = ctx.run(seal).named(SEAL).at_most_once().await;

    // Who is faster differs from life to life, and is what it is once it is recorded.
    let slow = |number: u64| Effect { yields: 1 + (number % 3) as u32, ..QUICK };
    let carried = tokio::select! {
        carried = ctx.run(effect, &here, slow(order.number)).named(RACERS[0]) => carried?,
        carried = ctx.run(effect, &here, slow(order.number / 3)).named(RACERS[1]) => carried?,
    };
    here = vec![carried];
    publish(&ctx, &here);
    known.extend(here.clone());

    let stamps =
        (0..4).map(|failures| ctx.run(effect, &here, Effect { failures, ..QUICK }).named("stamp").retry(at_once));
    let stamps = try_join_all(stamps).await?;
    publish(&ctx, &stamps);
    known.extend(stamps.clone());

    let mut offers: FuturesUnordered<_> = (0..3).map(|_| ctx.run(effect, &stamps, large).named("offer")).collect();
    while let Some(offer) = offers.next().await {
        let offer = offer?;
        publish(&ctx, std::slice::from_ref(&offer));
        known.push(offer);
    }

    let last = Effect { failures: if order.is_refused() { 2 } else { 1 }, ..QUICK };
    let confirmed = ctx.run(effect, &known, last).named("confirm").retry(at_once.max_attempts(2)).await?;
    publish(&ctx, std::slice::from_ref(&confirmed));
    known.push(confirmed);
    Ok(known.into_iter().map(|receipt| receipt.by).collect())
}
