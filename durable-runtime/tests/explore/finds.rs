//! Functions and fakes with something wrong with them.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{Context, Failure, Retry, StepContext, durable};
use parking_lot::Mutex;

use crate::gateway::{Gateway, order, paid_order};

/// What an exploration says that finds something.
pub(crate) fn failure(explore: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(explore)).expect_err("it finds something");
    *panic.downcast::<String>().expect("a text")
}

fn assert_finds(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

#[test]
fn a_step_whose_effect_is_repeated() {
    let told = failure(|| {
        testing::explore(paid_order, order())
            .dependency_with(Gateway::forgetful)
            .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1, "charges"));
    });
    assert_finds(
        &told,
        &[
            "charges",
            "what goes wrong: 1.6:after-effect\n",
            "life 2",
            "DURABLE_SEED=1.6:after-effect cargo test -p durable-runtime finds::",
        ],
    );
}

/// How often somebody was called.
#[derive(Default)]
struct Calls(AtomicU32);

/// What is published depends on whether a step was executed again; what is returned does not.
#[durable]
async fn tells_how_often_it_called(ctx: Context) {
    let calls =
        ctx.run("call", async |step: StepContext| step.dependency::<Calls>().0.fetch_add(1, Ordering::Relaxed) + 1);
    let calls = calls.await;
    ctx.publish("calls", &calls);
}

#[test]
fn a_value_that_is_published_after_a_crash_only() {
    let told = failure(|| {
        testing::explore(tells_how_often_it_called, ()).dependency_with(Calls::default).check(|_| {});
    });
    let published = ["published or emitted what it does not", "published: calls 2", "expected:  calls 1"];
    assert_finds(&told, &published);
    assert_finds(&told, &["what goes wrong: 1.2:after-effect"]);
}

/// Ten random mishaps are told as the one that matters.
#[test]
fn what_a_random_world_shows_is_shortened() {
    let told = failure(|| {
        testing::explore(paid_order, order())
            .dependency_with(Gateway::forgetful)
            .depth(0)
            .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1, "charges"));
    });
    let what = told.split("what goes wrong: ").nth(1).and_then(|rest| rest.lines().next()).expect("a schedule");
    assert!(
        !what.starts_with("pace") && what.split(" (found in ").next().expect("it").split(',').count() == 1,
        "{told}"
    );
    assert_finds(&told, &["(found in "]);
}

/// A gateway that remembers one request is enough for one crash, and not for two.
#[test]
fn what_only_two_crashes_show() {
    let explore = |depth| {
        testing::explore(paid_order, order())
            .dependency_with(|| Gateway::remembering(2))
            .depth(depth)
            .seeds(0..0)
            .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1, "charges"));
    };
    explore(1);
    let told = failure(|| explore(2));
    assert_finds(&told, &["charges", "life 3"]);
}

#[derive(Default)]
struct Shelf {
    left: Mutex<u32>,
}

async fn take(step: StepContext) -> Result<u32, Failure> {
    let shelf = step.dependency::<Shelf>();
    let mut left = shelf.left.lock();
    *left = left.checked_sub(1).ok_or_else(|| Failure::new("sold out"))?;
    Ok(1)
}

#[durable]
async fn takes_one(ctx: Context) -> Result<u32, Failure> {
    ctx.run(take).await
}

/// Executed again, the step finds what it did itself, and takes it for a failure.
#[test]
fn an_outcome_that_no_run_without_crashes_has() {
    let told = failure(|| {
        let shelf = || Shelf { left: Mutex::new(1) };
        testing::explore(takes_one, ()).dependency_with(shelf).check(|world| assert!(world.output().is_ok(), "sold"));
    });
    assert_finds(
        &told,
        &[
            "returned what it does not return when nothing goes wrong",
            "sold out",
            r#"expected: {"Ok":1}"#,
            "the check says: sold (",
        ],
    );
}

/// Something that code between steps depends on, and that is not recorded. Each world begins with zero.
struct Outside;

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Outside {
    fn anew() -> Self {
        NUMBER.store(0, Ordering::Relaxed);
        Self
    }
}

/// While it is sending, the number is another one; when all is well, nobody sees that.
async fn send(_number: u32) {
    NUMBER.store(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1)).await;
    NUMBER.store(0, Ordering::Relaxed);
}

#[durable]
async fn numbered(ctx: Context) {
    let number = NUMBER.load(Ordering::Relaxed);
    ctx.run(send, number).await;
}

#[test]
fn arguments_that_are_not_recorded() {
    let told = failure(|| {
        testing::explore(numbered, ()).dependency_with(Outside::anew).check(|_| {});
    });
    assert_finds(&told, &["send is executed with", "same idempotency key", "[0]", "[1]"]);
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

#[durable]
async fn another_each_time(ctx: Context) -> u32 {
    ctx.run("number", async || WORLDS.fetch_add(1, Ordering::Relaxed)).await
}

#[test]
fn steps_that_are_not_simulated() {
    let told = failure(|| {
        testing::explore(another_each_time, ()).check(|_| {});
    });
    assert_finds(&told, &["the same schedule gave two different worlds", "number returned 1", "number returned 2"]);
}

#[derive(Clone, Default)]
struct Sharing(Arc<Mutex<u32>>);

#[durable]
async fn counts_up(ctx: Context) {
    ctx.run("count", async |step: StepContext| *step.dependency::<Sharing>().0.lock() += 1).await;
}

#[test]
fn dependencies_whose_clones_share() {
    let told = failure(|| {
        testing::explore(counts_up, ())
            .dependency(Sharing::default())
            .check(|world| assert_eq!(*world.dependency::<Sharing>().0.lock(), 1));
    });
    assert_finds(&told, &["a dependency shares what it remembers with its clones", "dependency_with"]);
}

#[durable]
async fn panics_at_once(_ctx: Context) {
    panic!("as it is written");
}

#[test]
fn a_function_that_halts() {
    let told = failure(|| {
        testing::explore(panics_at_once, ()).check(|_| {});
    });
    assert_finds(&told, &["the run halted: [D0401]", "as it is written", "what goes wrong: none"]);
}

#[durable]
async fn waits_forever(ctx: Context) {
    ctx.run("wait", async || std::future::pending::<()>().await).await;
}

#[test]
fn a_function_that_never_ends() {
    let told = failure(|| {
        testing::explore(waits_forever, ()).check(|_| {});
    });
    assert_finds(&told, &["the run waits for something that never comes", "wait acts"]);
}

#[durable]
async fn needs_a_gateway(ctx: Context) {
    ctx.run("ask", async |step: StepContext| drop(step.dependency::<Gateway>())).await;
}

#[test]
fn a_dependency_that_is_missing() {
    let told = failure(|| {
        testing::explore(needs_a_gateway, ()).check(|_| {});
    });
    assert_finds(&told, &["there is no dependency of type", "Gateway"]);
}

#[test]
fn a_fake_that_returns_something_else() {
    let told = failure(|| {
        testing::explore(paid_order, order()).dependency_with(Gateway::default).fake("price", |_| "750").check(|_| {});
    });
    assert_finds(&told, &["the fake of price returned what the step does not"]);
}

#[durable]
async fn mails_then_ships(ctx: Context) -> bool {
    let retry = Retry::fixed(Duration::from_secs(1)).max_attempts(2);
    let mail = ctx.run("mail", async |step: StepContext| {
        step.dependency::<Order>().0.lock().push("mail");
        Ok::<_, Failure>(())
    });
    let ship = ctx.run("ship", async |step: StepContext| {
        step.dependency::<Order>().0.lock().push("ship");
        Ok::<_, Failure>(())
    });
    let (mailed, shipped) = futures::join!(mail.retry(retry), ship.retry(retry));
    mailed.is_ok() && shipped.is_ok()
}

#[derive(Default)]
struct Order(Mutex<Vec<&'static str>>);

/// Two steps at once have no order, which a world without latencies does not show.
#[test]
fn what_only_another_order_shows() {
    let check = |depth, seeds| {
        testing::explore(mails_then_ships, ()).dependency_with(Order::default).depth(depth).seeds(seeds).check(
            |world| {
                assert_eq!(world.dependency::<Order>().0.lock()[0], "mail", "first");
            },
        );
    };
    check(0, 0..0);
    let told = failure(|| check(0, 0..100));
    assert_finds(&told, &["first", "what goes wrong: pace:"]);
}

#[test]
fn an_input_that_cannot_be_recorded() {
    let explore = |numbers| testing::explore(sum_of_pairs, numbers);
    let told = failure(|| drop(explore(BTreeMap::from([((1, 2), 3)])).check(|_| {})));
    assert_finds(&told, &["sum_of_pairs: the input can't be recorded", "key must be a string"]);
    let told = failure(|| drop(explore(BTreeMap::from([((1, 2), 3)])).run()));
    assert_finds(&told, &["sum_of_pairs: the input can't be recorded"]);
}

#[durable]
async fn sum_of_pairs(ctx: Context, numbers: BTreeMap<(u8, u8), u8>) -> u8 {
    ctx.run("sum", async || numbers.values().sum()).await
}

/// A script with a mistake in it would test nothing.
#[test]
fn a_crash_that_does_not_happen() {
    let gone_wrong = |crash, key| {
        failure(|| {
            let world = testing::explore(paid_order, order()).dependency_with(Gateway::default).crash(crash, key).run();
            drop(world);
        })
    };
    let told = gone_wrong(Crash::AfterEffect, "charge_crad");
    assert_finds(&told, &["paid_order: there was no crash after-effect of charge_crad", "charge_card acts"]);
    // The body of this one waits for nothing.
    assert_finds(&gone_wrong(Crash::WhileWaiting, "price"), &["there was no crash while-waiting of price"]);
}

#[durable]
async fn numbers_as_a_set(ctx: Context) -> HashSet<u32> {
    ctx.run("numbers", async || (0..20).collect::<Vec<u32>>()).await.into_iter().collect()
}

#[test]
fn a_result_without_an_order() {
    let told = failure(|| drop(testing::explore(numbers_as_a_set, ()).check(|_| {})));
    assert_finds(&told, &["asked again", "as a `HashSet` in it is", "return a `BTreeSet`"]);
}
