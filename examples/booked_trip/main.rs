//! A trip is booked part by part, all of it or nothing: what was booked is cancelled when a later part is not to be had, or when
//! the whole trip is called off. The process ends while that is done, and the next one goes on with it.
//!
//! `cargo run --example booked_trip`. How it is tested is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

#[cfg(test)]
mod tests;
mod trip;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::{AdminError, RunError, Runtime, StepStatus};

use crate::trip::{Sellers, books_a_trip};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let sellers = Sellers::slow(Duration::from_millis(20));
    let trip = |last: &str| ["a flight", "a room", last].map(str::to_owned).to_vec();

    let runtime = open(folder.path(), &sellers).await?;
    println!("a trip with a part that nobody sells:");
    runtime.start("moon-1", books_a_trip, trip("a car on the moon")).await?.id();
    // The process ends when the first cancellation has arrived.
    while !sellers.told().iter().any(|told| told.starts_with("cancel")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    runtime.shutdown(Duration::ZERO).await;
    println!("  the first process has ended; booked is {:?}", sellers.bookings());

    let runtime = open(folder.path(), &sellers).await?;
    let failure = runtime.attach("moon-1", books_a_trip).await?.await?.err();
    println!("  it failed: {}", failure.map(|failure| failure.to_string()).unwrap_or_default());
    println!("  booked is {:?}", sellers.bookings());
    let has_left_nothing = sellers.bookings().is_empty();

    println!("a trip that is called off while it is booked:");
    let run = runtime.start("rome-1", books_a_trip, trip("a car")).await?;
    while !has_planned(&runtime, "rome-1").await? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    runtime.cancel("rome-1", "the traveller is ill").await?;
    match run.await {
        Err(RunError::Cancelled { reason, .. }) => println!("  it was called off: {reason}"),
        other => return Err(format!("it ended otherwise: {other:?}").into()),
    }
    for told in sellers.told() {
        println!("  {told}");
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    if has_left_nothing && sellers.bookings().is_empty() { Ok(()) } else { Err("something is left".into()) }
}

/// Whether the run has something to undo.
async fn has_planned(runtime: &Runtime, run: &str) -> Result<bool, AdminError> {
    let steps = runtime.get(run).await?.map(|info| info.steps).unwrap_or_default();
    Ok(steps.iter().any(|step| step.status == StepStatus::Planned))
}

async fn open(folder: &Path, sellers: &Sellers) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(sellers.clone()).open(folder.join("trips.durable")).await?)
}
