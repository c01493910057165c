//! Functions that survive everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::testing;
use durable_runtime::{Codec, Context, Failure, Limits, Retry, StepContext, durable};

use crate::gateway::{Gateway, order, paid_order};

#[test]
fn a_function_that_survives_everything_is_explored_to_the_end() {
    let explored = testing::explore(paid_order, order())
        .dependency_with(Gateway::default)
        .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1));
    assert_eq!(explored.boundaries, 14);
    // Six ways at each of 4 commits, 2 at each of 4 attempts, 2 while one of them waits, and the 2 failures of the one that
    // is retried.
    assert_eq!(explored.possible[&1], 4 * 6 + 4 * 2 + 2 + 2);
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
    let mut winners = std::collections::BTreeSet::new();
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
