//! Money goes from an account at one bank to an account at another, and there is no transaction over both.
//!
//! `cargo run --example money_transfer` makes two transfers. In the first, the process is killed when the money has
//! arrived and nothing of that is recorded; another process goes on with it. In the second the account is closed, and
//! the money is given back. Then it prints the books of both banks. What is promised is in `transfer.rs`, and how that is
//! tested in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod transfer;

mod ledger;

#[cfg(test)]
mod tests;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, abort};
use std::time::Duration;

use durable_runtime::Runtime;

use crate::ledger::Ledger;
use crate::transfer::{Banks, Transfer, transfer_money};

/// How long a bank's answer is on its way.
const LATENCY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(folder) = env::args_os().nth(1) {
        return first_process(&PathBuf::from(folder)).await;
    }
    let folder = tempfile::tempdir()?;
    let banks = banks(folder.path())?;
    banks.north.open_account("alice", 100_000)?;
    banks.south.open_account("bob", 0)?;
    banks.south.open_account("carol", 0)?;
    banks.south.close_account("carol")?;

    let ended = Command::new(env::current_exe()?).arg(folder.path()).status()?;
    println!("first process: {ended}, with 250.00 at bob's bank and no record of that");
    second_process(folder.path()).await?;

    print_books("north", &banks.north)?;
    print_books("south", &banks.south)?;
    let all = banks.north.total()? + banks.south.total()?;
    println!("in all {}, as before", decimal(all));
    if all == 100_000 { Ok(()) } else { Err("money was made or lost".into()) }
}

/// Dies in the middle of a transfer: bob's bank has posted it, and its answer is on its way.
async fn first_process(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (runtime, banks) = (open(folder).await?, banks(folder)?);
    let _run = runtime.start("transfer-1", transfer_money, to("bob")).await?;
    while banks.south.balance("bob")? == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    abort()
}

async fn second_process(folder: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = open(folder).await?; // goes on with the first transfer
    let moved = runtime.start("transfer-1", transfer_money, to("bob")).await?.await?;
    let stats = runtime.stats();
    println!("second process: {} step from the journal, {} executed", stats.steps_replayed, stats.steps_executed);
    println!("transfer-1 to bob: {moved:?}");
    let refused = runtime.start("transfer-2", transfer_money, to("carol")).await?.await?;
    println!("transfer-2 to carol: {refused:?}");
    runtime.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn open(folder: &Path) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(banks(folder)?).open(folder.join("transfers.durable")).await?)
}

fn banks(folder: &Path) -> Result<Banks, Box<dyn Error>> {
    let north = Ledger::open(&folder.join("north.db"), LATENCY)?;
    Ok(Banks { north, south: Ledger::open(&folder.join("south.db"), LATENCY)? })
}

fn to(account: &str) -> Transfer {
    Transfer { from: "alice".to_owned(), to: account.to_owned(), cents: 25_000 }
}

fn print_books(bank: &str, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    println!("\n{bank}");
    for (id, account, cents) in ledger.entries()? {
        println!("  {id:<22} {account:<6} {:>9}", decimal(cents));
    }
    Ok(())
}

fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}
