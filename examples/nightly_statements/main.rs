//! Every night at half past two an account's holder is sent a statement, also of those nights in which no process was there.
//!
//! `cargo run --example nightly_statements` has a clock that is moved by hand, so that nights take no time. The first process lives through
//! one night, and three more pass before the next one: in Berlin, clocks are changed in one of those, and there is no half past two. The
//! statements that are missing are made up for, each with what was in the account then. A third process says the same
//! schedule again, which changes nothing. How that is tested, with each commit failing once, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod account;
mod statement;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::iter;
use std::time::Duration;

use durable_runtime::testing::ManualClock;
use durable_runtime::{InvalidCron, RunFilter, RunStatus, Runtime, RuntimeBuilder, Timestamp, schedule};

use crate::account::Account;
use crate::statement::{NAME, nights, states};

/// Noon of 25 March 2027, a Thursday, in Berlin.
const THURSDAY: Timestamp = Timestamp(1_805_972_400_000);
const DAY: Duration = Duration::from_hours(24);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().join("statements.durable");
    let account = Account::default();
    for day in 0..5 {
        account.pay_in(THURSDAY.after(day * DAY), 1_000);
    }
    let nights = nights_after(THURSDAY, 5)?;

    let clock = ManualClock::starting_at(THURSDAY);
    let runtime = builder(&account, &clock)?.open(&folder).await?;
    clock.set(nights[0]);
    account.sent(&nights[..1]).await;
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the first process has ended; statements so far: {}", account.statements().len());

    let monday = THURSDAY.after(4 * DAY);
    let clock = ManualClock::starting_at(monday);
    let runtime = builder(&account, &clock)?.open(&folder).await?; // makes up for three nights
    account.sent(&nights[..4]).await;
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the second process has ended; statements so far: {}", account.statements().len());

    let clock = ManualClock::starting_at(monday);
    let runtime = builder(&account, &clock)?.open(&folder).await?; // has nothing to make up for
    clock.set(nights[4]);
    account.sent(&nights).await;
    let mut stated = Vec::new();
    for due in nights {
        let id = schedule::run_id(NAME, due);
        let statement = runtime.attach(&id, states).await?.await?;
        println!("{id}: {}.{:02}", statement.cents / 100, statement.cents % 100);
        stated.push(statement);
    }
    let left_out = RunFilter::new().id_prefix(NAME).status(RunStatus::Cancelled);
    let left_out = runtime.list(&left_out, None, 10).await?.runs.len();
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = stated.iter().map(|statement| statement.cents).eq((1..=5).map(|payments| 1_000 * payments));
    if is_right && account.statements() == stated && left_out == 0 {
        Ok(())
    } else {
        Err("a statement is missing, is wrong, or was sent twice".into())
    }
}

/// When it is due.
fn nights_after(time: Timestamp, nights_max: usize) -> Result<Vec<Timestamp>, InvalidCron> {
    let nights = nights()?;
    Ok(iter::successors(nights.next_after(time), |night| nights.next_after(*night)).take(nights_max).collect())
}

/// The account is somewhere else, and outlives this runtime.
fn builder(account: &Account, clock: &ManualClock) -> Result<RuntimeBuilder, InvalidCron> {
    Ok(Runtime::builder().dependency(account.clone()).clock(clock.clone()).schedule(statement::schedule()?))
}
