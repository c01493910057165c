//! A rent is collected every month, for as long as somebody lives there: one run for ever, whose journal begins anew each year.
//!
//! `cargo run --example collected_rent` lets a month last 10 ms. The process ends in the third year and is begun again, the rent is raised, and at
//! last the tenant moves out. Each month is paid once, and the journal is never longer than a year. How that is
//! tested, in months that take no time, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod bank;
mod lease;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::Runtime;

use crate::bank::Bank;
use crate::lease::{Change, Lease, collects_rent};

const MONTH: Duration = Duration::from_millis(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let bank = Bank::default();
    let lease = Lease { tenant: "ada".to_owned(), cents: 80_000, month: MONTH, paid: 0 };

    let runtime = open(folder.path(), &bank).await?;
    runtime.start("lease-7", collects_rent, lease).await?.id();
    months(&bank, 27).await;
    runtime.shutdown(Duration::ZERO).await;
    println!("the first process has ended after {} months", bank.payments().len());

    let runtime = open(folder.path(), &bank).await?; // goes on
    let run = runtime.attach("lease-7", collects_rent).await?;
    runtime.signal("lease-7", "change", &Change::Rent { cents: 90_000 }).await?;
    months(&bank, 40).await;
    runtime.signal("lease-7", "change", &Change::MovesOut).await?;
    let paid = run.await?;

    let payments = bank.payments();
    println!("paid in {} months: {}.{:02}", payments.len(), paid / 100, paid % 100);
    println!("the first and the last: {:?}, {:?}", payments.first(), payments.last());
    let info = runtime.get("lease-7").await?.ok_or("the run is gone")?;
    println!("the journal has begun anew {} times, and has {} records", info.continued, info.events);
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = payments.len() >= 40 && payments.iter().map(|payment| payment.cents).sum::<u64>() == paid;
    if is_right && info.events < 60 { Ok(()) } else { Err("a month is missing, or was paid twice".into()) }
}

/// Waits until so many months were paid.
async fn months(bank: &Bank, count: usize) {
    while bank.payments().len() < count {
        tokio::time::sleep(MONTH / 4).await;
    }
}

/// The bank is somewhere else, and outlives this runtime.
async fn open(folder: &Path, bank: &Bank) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(bank.clone()).open(folder.join("leases.durable")).await?)
}
