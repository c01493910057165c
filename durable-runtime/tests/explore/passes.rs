//! Functions that survive everything.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::testing;
use durable_runtime::{Codec, Context, Failure, Limits, Retry, StepContext, durable};
use parking_lot::Mutex;

use crate::gateway::{Gateway, order, paid_order};

#[test]
fn a_function_that_survives_everything_is_explored_to_the_end() {
    let explored = testing::explore(paid_order, order())
        .dependency_with(Gateway::default)
        .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1));
    assert_eq!(explored.boundaries, 13);
    // Six ways at each of 4 commits, 2 at each of 4 attempts, 1 while one of them waits, and the 2 failures of the one that
    // is retried.
    assert_eq!(explored.possible[&1], 4 * 6 + 4 * 2 + 1 + 2);
    assert_eq!(explored.played, explored.possible);
    assert!(explored.possible[&2] > 500, "{explored}");
    assert_eq!(explored.random, 200);
}

#[test]
fn with_the_other_codec() {
    testing::explore(paid_order, order())
        .dependency_with(Gateway::default)
        .codec(Codec::Bincode)
        .seeds(0..20)
        .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1));
}

#[test]
fn of_many_worlds_some_are_chosen() {
    let explored = testing::explore(paid_order, order())
        .dependency_with(Gateway::default)
        .depth(3)
        .worlds_max(50)
        .seeds(0..0)
        .check(|_| {});
    assert_eq!((explored.played[&2], explored.played[&3]), (50, 50));
    assert!(explored.possible[&3] > 50);
    assert!(explored.to_string().contains("50 of "), "{explored}");
}

async fn ask() -> Result<u32, Failure> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(7)
}

#[durable]
async fn asked_with_limit(ctx: Context) -> Result<u32, Failure> {
    ctx.run(ask).timeout(Duration::from_mins(1)).await
}

/// The limit of an attempt is a duration: setting the clock neither shortens nor lengthens it.
#[test]
fn a_clock_that_is_set_times_nothing_out() {
    testing::explore(asked_with_limit, ()).check(|world| assert!(world.output().is_ok()));
}

#[durable]
async fn first_of_two(ctx: Context) -> String {
    let (mail, phone) = (ctx.run("mail", async || "mail".to_owned()), ctx.run("phone", async || "phone".to_owned()));
    let first = tokio::select! {
        first = mail => first,
        first = phone => first,
    };
    ctx.run("note", async || format!("by {first}")).await
}

/// Which of two is faster is not known before; what is recorded decides.
#[test]
fn a_race_may_end_either_way() {
    let mut winners = BTreeSet::new();
    testing::explore(first_of_two, ()).check(|world| {
        winners.insert(world.output().clone());
    });
    assert!(winners.into_iter().eq(["by mail", "by phone"]));
}

#[durable]
async fn fails_in_the_end(ctx: Context) -> Result<(), Failure> {
    let never = Retry::fixed(Duration::from_hours(24)).max_attempts(3);
    ctx.run("fail", async || Err(Failure::new("no"))).retry(never).await
}

#[test]
fn a_failure_of_the_function_is_a_result() {
    testing::explore(fails_in_the_end, ()).check(|world| {
        assert_eq!(*world.output(), Err(Failure::new("no")));
        assert!(world.executions("fail") >= 1);
    });
}

#[durable]
async fn by_what_is_found(ctx: Context) {
    let way = ctx.run("toss", async |step: StepContext| {
        let is_west = step.dependency::<AtomicBool>().fetch_not(Ordering::Relaxed);
        if is_west { "west".to_owned() } else { "east".to_owned() }
    });
    if way.await == "west" {
        ctx.run("go_west", async || ()).await;
    } else {
        ctx.run("go_east", async || ()).await;
    }
}

/// A step that is executed again may find something else, of which the record is as long, and the function another way.
#[test]
fn values_of_one_length_are_told_apart() {
    testing::explore(by_what_is_found, ()).dependency_with(AtomicBool::default).seeds(0..20).check(|_| {});
}

/// How often a process may die in a row says the runtime; a world is to show what is then recorded.
#[test]
fn more_crashes_in_a_row_than_the_runtime_would_stand() {
    let limits = Limits { recoveries_without_progress: 1, ..Limits::default() };
    testing::explore(first_of_two, ()).limits(limits).seeds(0..20).check(|_| {});
}

async fn never() -> Result<(), Failure> {
    std::future::pending().await
}

#[durable]
async fn races_after_failures(ctx: Context) -> String {
    let retry = Retry::fixed(Duration::from_secs(1)).max_attempts(3);
    let slow = ctx.run(never).timeout(Duration::from_secs(9)).await.is_err();
    let broken = ctx.run("break", async |step: StepContext| match step.attempt() {
        1 => panic!("once"),
        _ => Ok::<_, Failure>(()),
    });
    let broken = broken.retry(retry).await.is_err();
    let (mail, phone) = (
        ctx.run("mail", async || Ok::<_, Failure>("mail".to_owned())),
        ctx.run("phone", async || Ok("phone".to_owned())),
    );
    let first = tokio::select! {
        first = mail.retry(retry) => first,
        first = phone.retry(retry) => first,
    };
    format!("{slow} {broken} {first:?}")
}

/// Attempts that time out or panic end in no order that could be repeated: they never return.
#[test]
fn a_race_behind_attempts_that_did_not_return() {
    testing::explore(races_after_failures, ()).depth(1).seeds(0..20).check(|_| {});
}

/// Of which there is a number, for whoever asks first; who asks again is told the same.
struct Seats {
    left: u32,
    taken_by: BTreeMap<String, bool>,
}

async fn reserve(step: StepContext, millis: u64) -> bool {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let seats = step.dependency::<Mutex<Seats>>();
    let mut seats = seats.lock();
    let left = seats.left;
    let Entry::Vacant(new) = seats.taken_by.entry(step.idempotency_key().to_owned()) else {
        return seats.taken_by[step.idempotency_key()];
    };
    let reserved = *new.insert(left > 0);
    seats.left -= u32::from(reserved);
    reserved
}

#[durable]
async fn reserves_the_last_seat(ctx: Context) -> (bool, bool) {
    let customer = async {
        ctx.run("log_in", async || tokio::time::sleep(Duration::from_millis(5)).await).await;
        ctx.run(reserve, 2).await
    };
    futures::join!(customer, ctx.run(reserve, 6).named("reserve_for_another"))
}

/// Which of two concurrent steps gets the last seat depends on which acts first, and nothing that is recorded says that.
/// When nothing goes wrong, the other one is faster; when the process dies after the login, it is not.
#[test]
fn concurrent_steps_that_contend() {
    let seats = || Mutex::new(Seats { left: 1, taken_by: BTreeMap::new() });
    let mut winners = BTreeSet::new();
    let explored = testing::explore(reserves_the_last_seat, ()).dependency_with(seats).seeds(0..0).check(|world| {
        assert_eq!(world.dependency::<Mutex<Seats>>().lock().left, 0);
        winners.insert(*world.output());
    });
    assert!(winners.into_iter().eq([(false, true), (true, false)]));
    assert_eq!(explored.unconfirmed, 0, "{explored}");
}

#[durable]
async fn by_the_number_of_attempts(ctx: Context) -> String {
    let retry = Retry::fixed(Duration::from_secs(1)).max_attempts(3);
    let answered = ctx.run("answer", async |step: StepContext| match step.attempt() {
        1 => Err(Failure::new("busy")),
        attempt => Ok(attempt),
    });
    format!("{:?}", answered.retry(retry).await)
}

/// How often a step failed may be seen in the result: with as many failures it is the same, wherever the process dies.
#[test]
fn failures_of_attempts_may_be_seen() {
    testing::explore(by_the_number_of_attempts, ()).check(|_| {});
}

#[durable]
async fn sum_of_a_map(ctx: Context, numbers: BTreeMap<(u8, u8), f64>) -> bool {
    ctx.run("sum", async || numbers.values().sum::<f64>().is_nan()).await
}

/// JSON has neither maps by pairs nor numbers that are none.
#[test]
fn what_only_the_other_codec_can_record() {
    testing::explore(sum_of_a_map, BTreeMap::from([((1, 2), f64::NAN)]))
        .codec(Codec::Bincode)
        .seeds(0..20)
        .check(|world| assert!(*world.output()));
}

async fn wait(millis: u64) {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

#[durable]
async fn joins_three_that_wait(ctx: Context) {
    futures::join!(ctx.run(wait, 5), ctx.run(wait, 7), ctx.run(wait, 9));
}

/// A body waits as often as it waits for something, and not as often as it is polled because of the others.
#[test]
fn waits_are_those_of_the_body() {
    let explored = testing::explore(joins_three_that_wait, ()).depth(0).seeds(0..0).check(|_| {});
    // Two commits at least, and of each step two ends and three waits.
    assert!((2 + 3 * 5..=5 + 3 * 5).contains(&explored.boundaries), "{explored}");
}

/// Publishes in branches that are joined, in one that loses, and behind an attempt that failed.
#[durable]
async fn publishes_everywhere(ctx: Context) -> u32 {
    ctx.publish("stage", "begun");
    let branch = |name: &'static str, value: u32| {
        let ctx = &ctx;
        async move {
            ctx.publish("branches", &format!("{name} begins"));
            let value = ctx.run("value", async || value).named(name).await;
            ctx.publish("branches", &format!("{name} has {value}"));
            value
        }
    };
    let (left, right) = tokio::join!(branch("left", 1), branch("right", 2));
    let raced = tokio::select! {
        value = branch("raced", 4) => value,
        value = branch("other", 8) => value,
    };
    ctx.publish("stage", &(left + right));
    left + right + u32::from(raced > 0)
}

#[test]
fn what_is_published_is_the_same_in_every_world() {
    testing::explore(publishes_everywhere, ()).depth(1).seeds(0..100).check(|world| {
        let branches = world.published::<String>("branches");
        assert_eq!(branches[..2], ["left begins", "right begins"]);
        assert_eq!(branches.iter().filter(|told| told.starts_with("raced begins")).count(), 1);
        assert_eq!(world.published::<serde_json::Value>("stage"), [serde_json::json!("begun"), serde_json::json!(3)]);
    });
}
