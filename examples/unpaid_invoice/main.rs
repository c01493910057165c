//! An invoice is sent; while it is not paid, a reminder follows every fourteen days, at most three times.
//!
//! `cargo run --example unpaid_invoice` lets a day last 20 ms. The process ends while the run sleeps, and another one begins
//! when the first reminder is overdue: it is sent at once, and the second one fourteen days after it was due, as if
//! nothing had happened. How that is tested, in days that take no time, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod customer;
mod dunning;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::Runtime;

use crate::customer::Customer;
use crate::dunning::{Ended, Invoice, collect};

const DAY: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // Pays when reminded for the second time.
    let customer = Customer::paying_after(3);
    let invoice = Invoice { number: "2027-0815".to_owned(), cents: 11_900, day: DAY };

    let runtime = open(folder.path(), &customer).await?;
    runtime.start("invoice-2027-0815", collect, invoice).await?.id();
    tokio::time::sleep(5 * DAY).await;
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the first process has ended on the fifth day; letters so far: {:?}", customer.letters());

    tokio::time::sleep(15 * DAY).await;
    let runtime = open(folder.path(), &customer).await?; // goes on
    let ended = runtime.attach("invoice-2027-0815", collect).await?.await?;
    println!("the second process began on the twentieth day; letters: {:?}", customer.letters());
    for timer in runtime.get("invoice-2027-0815").await?.map(|info| info.timers).unwrap_or_default() {
        let late = timer.fired_at.map(|fired_at| fired_at.since(timer.due).as_millis() / DAY.as_millis());
        println!("  {}: {} days late", timer.key, late.unwrap_or_default());
    }
    println!("result: {ended:?}");
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = matches!(ended, Ended::Paid { .. }) && customer.letters() == ["invoice", "reminder 1", "reminder 2"];
    if is_right { Ok(()) } else { Err("a letter is missing, or was sent twice".into()) }
}

/// The customer is somewhere else, and outlives this runtime.
async fn open(folder: &Path, customer: &Customer) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(customer.clone()).open(folder.join("invoices.durable")).await?)
}
