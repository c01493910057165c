//! The crash explorer: it passes functions that survive everything, and finds what is wrong with the others.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{Context, Failure, Retry, StepContext, durable};
use parking_lot::Mutex;

/// A payment gateway that knows idempotency keys, or forgets them.
#[derive(Debug, Default)]
struct FakeGateway {
    charges: Mutex<BTreeMap<String, u32>>,
    ignores_keys: bool,
}

impl FakeGateway {
    fn forgetful() -> Self {
        Self { ignores_keys: true, ..Self::default() }
    }

    async fn charge(&self, key: &str) -> String {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut charges = self.charges.lock();
        let count = charges.entry(key.to_owned()).or_default();
        if *count == 0 || self.ignores_keys {
            *count += 1;
        }
        format!("charge {key}")
    }

    fn charges(&self) -> u32 {
        self.charges.lock().values().sum()
    }
}

async fn price(quantity: u32) -> u32 {
    quantity * 250
}

async fn charge_card(step: StepContext, cents: u32) -> Result<String, Failure> {
    let gateway = step.dependency::<FakeGateway>();
    Ok(format!("{} for {cents}", gateway.charge(step.idempotency_key()).await))
}

async fn label(order: &str) -> String {
    format!("label of {order}")
}

#[durable]
async fn explored_order(ctx: Context, order: String, quantity: u32) -> Result<String, Failure> {
    let cents = ctx.run(price, quantity).await;
    let charge = ctx.run(charge_card, cents).retry(Retry::exponential(Duration::from_secs(1)).max_attempts(3)).await?;
    let (label, saved) = futures::join!(ctx.run(label, &order), ctx.run("save", async || charge.len()));
    Ok(format!("{charge}, {label}, {saved}"))
}

fn failure(explore: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(explore)).expect_err("it finds something");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn a_function_that_survives_everything_is_explored_to_the_end() {
    let explored = testing::explore(explored_order, ("ord_1".to_owned(), 3))
        .dependency_with(FakeGateway::default)
        .check(|world| assert_eq!(world.dependency::<FakeGateway>().charges(), 1));
    println!("{explored:?}");
}

#[test]
fn a_step_that_is_not_idempotent_is_found() {
    let failure = failure(|| {
        testing::explore(explored_order, ("ord_1".to_owned(), 3))
            .dependency_with(FakeGateway::forgetful)
            .check(|world| assert_eq!(world.dependency::<FakeGateway>().charges(), 1));
    });
    println!("{failure}");
}

#[test]
fn scripted() {
    let world = testing::explore(explored_order, ("ord_1".to_owned(), 3))
        .fake("charge_card", |call| match call.attempt() {
            1 => Err(Failure::new("declined")),
            _ => Ok(format!("faked for {}", call.argument::<u32>(0))),
        })
        .dependency_with(FakeGateway::default)
        .crash(Crash::AfterEffect, "price")
        .run();
    println!("{}{:?}", world.timeline(), world.output());
}

async fn ask() -> Result<u32, Failure> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(7)
}

#[durable]
async fn explored_timeout(ctx: Context) -> Result<u32, Failure> {
    ctx.run(ask).timeout(Duration::from_secs(60)).await
}

/// The limit of an attempt is a duration: setting the clock neither shortens nor lengthens it.
#[test]
fn a_clock_that_is_set_times_nothing_out() {
    testing::explore(explored_timeout, ()).seeds(0..300).check(|world| assert!(world.output().is_ok()));
}
