//! A customs office is slow, and bars whoever has more than three calls open: parcels wait for their turn in a queue, and what is fresh is next.
//!
//! `cargo run --example cleared_parcels`. Of each importer one parcel at a time is declared, since the office mixes up two. The process
//! ends in the middle of three calls and is begun again: those three go on, although parcels that wait are more urgent, and nobody
//! loses the place in the queue. How that is tested, with each commit failing once, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod customs;
mod parcel;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use durable_runtime::{Runtime, RuntimeBuilder};

use crate::customs::{Books, CALLS_MAX, Customs};
use crate::parcel::{Parcel, clears, hand_in, queue};

const IMPORTERS: [&str; 6] = ["Ada", "Alan", "Barbara", "Edsger", "Grace", "Mary"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().join("parcels.durable");
    let customs = Customs::default();

    let runtime = builder(&customs).open(&folder).await?;
    for parcel in dry() {
        hand_in(&runtime, &parcel).await?;
    }
    customs.called(CALLS_MAX).await; // for the first parcels of Ada, Alan and Barbara
    customs.answers();
    customs.called(2 * CALLS_MAX).await; // for their second ones
    for parcel in fresh() {
        hand_in(&runtime, &parcel).await?;
    }
    let stands = runtime.queue("customs").ok_or("the queue is gone")?;
    println!("{} parcels are at the customs, {} wait, and fresh ones among them", stands.begun, stands.waiting);
    let shutdown = runtime.shutdown(Duration::ZERO).await;
    println!("the first process has ended in the middle of {} calls", shutdown.interrupted);

    let runtime = builder(&customs).open(&folder).await?; // goes on
    customs.called(3 * CALLS_MAX).await; // the same ones again
    customs.answers();
    customs.called(4 * CALLS_MAX).await; // for what is fresh
    customs.answers_at_once();
    for parcel in dry().chain(fresh()) {
        runtime.attach(&parcel.number, clears).await?.await??;
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    let books = customs.books();
    for (nth, calls) in books.calls.chunks(CALLS_MAX).enumerate() {
        println!("calls {} to {}: {}", nth * CALLS_MAX + 1, nth * CALLS_MAX + calls.len(), calls.join(", "));
    }
    println!("owed: {:?}", books.owed);
    // Three calls were made twice, and what was fresh was next behind them.
    let is_in_order = books.calls.len() == books.cleared.len() + CALLS_MAX
        && books.calls.iter().skip(3 * CALLS_MAX).take(CALLS_MAX).all(|call| call.starts_with("fresh"));
    if is_in_order && is_right(&books) { Ok(()) } else { Err("a parcel was forgotten, or taken out of turn".into()) }
}

/// Two parcels of each importer.
fn dry() -> impl Iterator<Item = Parcel> {
    let importers = IMPORTERS.into_iter().flat_map(|importer| [importer; 2]);
    importers.zip(1..).map(|(importer, number)| parcel(format!("dry-{number:02}"), importer))
}

/// One more of some.
fn fresh() -> impl Iterator<Item = Parcel> {
    IMPORTERS.into_iter().skip(CALLS_MAX).zip(1..).map(|(importer, number)| parcel(format!("fresh-{number}"), importer))
}

fn parcel(number: String, importer: &str) -> Parcel {
    let is_fresh = number.starts_with("fresh");
    Parcel { number, importer: importer.to_owned(), duty: if is_fresh { 7 } else { 19 }, is_fresh }
}

/// Whether all parcels are cleared, and for each importer their duties are written down.
fn is_right(books: &Books) -> bool {
    let mut owed = BTreeMap::<String, u64>::new();
    for parcel in dry().chain(fresh()) {
        *owed.entry(parcel.importer).or_default() += parcel.duty;
    }
    books.cleared.len() == dry().chain(fresh()).count() && books.owed == owed
}

/// The customs office is somewhere else, and outlives this runtime.
fn builder(customs: &Customs) -> RuntimeBuilder {
    Runtime::builder().dependency(customs.clone()).queue(queue())
}
