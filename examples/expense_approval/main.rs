//! An expense waits for its manager's approval; after three days the director is asked, too, and after seven it is over.
//!
//! `cargo run --example expense_approval` lets a day last 500 ms. The manager's answer comes while the process is down, as
//! a click whose answer got lost: it is sent twice, with the same id, to the next process, and counts once. How that is
//! tested, in days that take no time, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod approval;
mod office;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::{RunFilter, RunStatus, Runtime};

use crate::approval::{Decision, Ended, Expense, approve};
use crate::office::Office;

const DAY: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let office = Office::default();
    let expense = Expense { by: "Ada".to_owned(), cents: 119_000, day: DAY };

    let runtime = open(folder.path(), &office).await?;
    runtime.start("expense-17", approve, expense).await?.id();
    while office.letters().len() < 2 {
        tokio::time::sleep(DAY / 10).await;
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the first process has ended; letters so far: {:?}", office.letters());

    let runtime = open(folder.path(), &office).await?;
    let waiting = runtime.list(&RunFilter::new().status(RunStatus::Suspended), None, 10).await?.runs;
    println!("the second process has begun; suspended: {:?}", waiting.iter().map(|run| &run.id).collect::<Vec<_>>());
    // The click of the manager, which the browser sends again because no answer came.
    let decision = Decision { by: "Grace".to_owned(), is_approved: true };
    for click in 1..=2 {
        let sent = runtime.signal("expense-17", "decision", &decision).id("click-4711").await?;
        println!("click {click}: {sent:?}");
    }
    let ended = runtime.attach("expense-17", approve).await?.await?;
    println!("result: {ended:?}; letters: {:?}", office.letters());
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = ended == Ended::Approved { by: "Grace".to_owned() } && office.payments() == 1;
    if is_right { Ok(()) } else { Err("it was not paid, or twice".into()) }
}

/// The office is somewhere else, and outlives this runtime.
async fn open(folder: &Path, office: &Office) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(office.clone()).open(folder.join("expenses.durable")).await?)
}
