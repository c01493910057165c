//! An order pipeline that survives the death of its process, shown on 600 orders.
//!
//! Each order is validated, priced, charged, stored and confirmed by one durable function: see `pipeline.rs`, which is
//! the part to copy. The rest is the world around it, and it is as hostile as the real one:
//!
//! * the payment **gateway** is another process with books of its own; it answers some requests with 503, some of
//!   them *after* charging the card, and it honours idempotency keys;
//! * the **order table** in `SQLite` is the system of record, written by an upsert;
//! * the **confirmation queue** takes messages at least once, each with the key `<order>:send_confirmation`;
//! * the **worker** is killed (SIGKILL) at random moments, again and again, and restarted until all is done.
//!
//! At the end the records of gateway, table and queue (never our own journal) must show that each order was charged
//! exactly once, stored once and confirmed, or declined and nothing of that; and the notes of the steps themselves, that
//! none was executed again once the next one had begun. If anything is not so, it is named and the exit code is 1.
//!
//! ```text
//! cargo run --example order_processing                          # all orders, 25 kills, a random seed
//! cargo run --example order_processing -- --seed 7 --orders 100 --kills 10
//!
//! cargo run --example order_processing -- --order ord_abc123 --crash-after charge_card    # charged, then it dies
//! cargo run --example order_processing -- --order ord_abc123                              # goes on: no second charge
//! cargo run --example order_processing -- --order ord_abc123                              # the saved result
//! ```
//!
//! Everything is kept in `target/order_processing`, or the `--folder` given. The seed decides which requests fail and
//! at which count of records the worker is killed; how the processes are scheduled in between differs each time.
//!
//! `--crash-in charge_card` is the nastier one: the card is charged, and the process dies before that is recorded. The
//! step is executed again, and the gateway knows by the idempotency key that it was charged before.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]
#![allow(clippy::unused_async, reason = "a step is an async function, also if it has nothing to wait for")]

mod pipeline;

mod errors;
mod gateway;
mod orders;
mod queue;
mod table;
mod worker;

mod append_log;
mod folder;
mod generator;
mod kills;
mod processes;
mod progress;
mod proof;
mod records;
mod replays;
mod report;
mod single;
mod supervisor;
mod witness;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::folder::Folder;
use crate::witness::Crash;

#[derive(Debug, Parser)]
#[command(
    about = "Processes orders with a worker that is killed again and again",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    demonstration: Demonstration,
}

#[derive(Debug, Args)]
struct Demonstration {
    /// Where all files are kept.
    #[arg(long, default_value = "target/order_processing")]
    folder: PathBuf,
    /// The orders, one JSON object a line.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/order_processing/orders.jsonl"))]
    input: PathBuf,
    /// How many orders to take from the input.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    orders: usize,
    /// How many times the worker is killed.
    #[arg(long, default_value_t = 25)]
    kills: u64,
    /// Decides about the kills and the gateway's faults; random if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Process only this order, and keep its state for the next time.
    #[arg(long)]
    order: Option<String>,
    /// Forget what was kept of the order.
    #[arg(long, requires = "order")]
    fresh: bool,
    #[command(flatten)]
    crash: CrashAt,
}

#[derive(Debug, Args)]
struct CrashAt {
    /// Abort the worker when this step is recorded.
    #[arg(long, value_name = "STEP", requires = "order", value_parser = PossibleValuesParser::new(pipeline::STEPS))]
    crash_after: Option<String>,
    /// Abort the worker when the body of this step has ended, before that is recorded.
    #[arg(long, value_name = "STEP", requires = "order", value_parser = PossibleValuesParser::new(pipeline::STEPS))]
    #[arg(conflicts_with = "crash_after")]
    crash_in: Option<String>,
}

/// What this process is, if it isn't the one that was started by hand.
#[derive(Debug, Subcommand)]
enum Role {
    /// Print the input again.
    Generate,
    /// Be the payment gateway (started by the demonstration).
    Gateway {
        #[arg(long)]
        ledger: PathBuf,
        #[arg(long)]
        seed: u64,
    },
    /// Process orders (started by the demonstration).
    Worker {
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        input: PathBuf,
        #[arg(long)]
        gateway: String,
        #[arg(long, default_value_t = usize::MAX)]
        orders: usize,
        #[arg(long)]
        order: Option<String>,
        #[command(flatten)]
        crash: CrashAt,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { role, demonstration } = Arguments::parse();
    let done = match role {
        None => demonstrate(demonstration).await,
        Some(role) => play(role).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all is as it must be.
async fn demonstrate(demonstration: Demonstration) -> Result<bool, Box<dyn Error>> {
    let Demonstration { folder, input, orders, kills, seed, order, fresh, crash } = demonstration;
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    if let Some(order_id) = order {
        let crash = crash.into_arguments();
        return single::process(&single::Plan { folder, input, order_id, crash, seed, starts_fresh: fresh });
    }
    let orders = orders::read_orders(&input, orders)?;
    supervisor::process_all(&supervisor::Plan { folder, input, orders, kills, seed }).await
}

async fn play(role: Role) -> Result<(), Box<dyn Error>> {
    match role {
        Role::Generate => Ok(generator::write_orders(std::io::stdout().lock())?),
        Role::Gateway { ledger, seed } => {
            processes::exit_with_parent();
            Ok(gateway::serve(&ledger, seed).await?)
        }
        Role::Worker { folder, input, gateway, orders, order, crash } => {
            processes::exit_with_parent();
            let folder = Folder::at(&folder);
            let mut orders = orders::read_orders(&input, orders)?;
            let Some(order_id) = order else { return worker::process_all(&folder, &gateway, orders).await };
            orders.retain(|order| order.order_id == order_id);
            let order = orders.pop().ok_or("there is no such order in the input")?;
            worker::process_one(&folder, &gateway, order, crash.into_crash()).await
        }
    }
}

impl CrashAt {
    fn into_crash(self) -> Option<Crash> {
        self.crash_after.map(Crash::After).or(self.crash_in.map(Crash::Inside))
    }

    /// The same again, for the worker's command line.
    fn into_arguments(self) -> Vec<OsString> {
        let after = self.crash_after.map(|step| ["--crash-after".into(), step.into()]);
        let inside = self.crash_in.map(|step| ["--crash-in".into(), step.into()]);
        after.into_iter().chain(inside).flatten().collect()
    }
}
