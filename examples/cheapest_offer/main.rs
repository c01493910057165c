//! Several hotels are asked for a room at once; the cheapest is booked, and what the others keep free is released.
//!
//! `cargo run --example cheapest_offer` asks four hotels. One of them does not answer in time, and one has given its room
//! away when it is to be booked. The process ends while the booking is under way, and another one goes on with it. Then
//! the books of all hotels are printed: one room is booked, and none is kept. What is promised is in `booking.rs`, and how
//! that is tested in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod booking;

mod hotels;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use durable_runtime::Runtime;

use crate::booking::book_cheapest;
use crate::hotels::{Hotel, Hotels};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let hotels = Hotels::new([
        Hotel::new("Astoria", 14_900, Duration::from_millis(40)),
        Hotel::new("Bellevue", 9_900, Duration::from_millis(20)).gives_away(),
        Hotel::new("Central", 11_900, Duration::from_millis(30)),
        Hotel::new("Dorint", 8_900, Duration::from_millis(800)),
    ]);

    let runtime = open(folder.path(), &hotels).await?;
    let run = runtime.start("trip-1", book_cheapest, hotels.names()).await?;
    while hotels.booked().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The hotel has booked, and its answer is on its way: nothing of that is recorded.
    runtime.shutdown(Duration::ZERO).await;
    drop(run);
    println!("the first process has ended");
    print_books(&hotels);

    let runtime = open(folder.path(), &hotels).await?; // goes on
    let booked = runtime.attach("trip-1", book_cheapest).await?.await?;
    let stats = runtime.stats();
    println!("\nsecond process: {} steps from the journal, {} executed", stats.steps_replayed, stats.steps_executed);
    print_books(&hotels);
    println!("\nresult: {booked:?}");
    runtime.shutdown(Duration::from_secs(1)).await;
    if hotels.booked().len() == 1 && hotels.kept().is_empty() { Ok(()) } else { Err("the books are wrong".into()) }
}

/// The hotels are somewhere else: they outlive this runtime.
async fn open(folder: &std::path::Path, hotels: &Hotels) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(hotels.clone()).open(folder.join("trips.durable")).await?)
}

fn print_books(hotels: &Hotels) {
    for line in hotels.books() {
        println!("  {line}");
    }
}
