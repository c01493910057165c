//! Three orders, each of them paid within two days and ended within ten, or its furniture is released: while the warehouse moves, two are
//! paused.
//!
//! `cargo run --example moved_warehouse` has a clock that is moved by hand, so that days take no time. What is paused stays so over a
//! restart, its payment is kept, and it was paid in time although it goes on later; the table nobody has paid for is released
//! by the second process; and the lamp, which is forgotten until its ten days are over, is cancelled once it
//! may go on. How that is tested is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod order;
#[cfg(test)]
mod tests;
mod warehouse;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::testing::ManualClock;
use durable_runtime::{Clock as _, RunError, RunStatus, Runtime};

use crate::order::{DAY, NotShipped, ships_when_paid};
use crate::warehouse::Warehouse;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let warehouse = Warehouse::with(10);
    let clock = ManualClock::default();

    let runtime = open(folder.path(), &warehouse, &clock).await?;
    for furniture in ["chair", "table", "lamp"] {
        runtime.start(furniture, ships_when_paid, furniture.to_owned()).timeout(10 * DAY).await?.id();
    }
    warehouse.has_reserved(3).await;
    for furniture in ["chair", "lamp"] {
        runtime.pause(furniture, "the warehouse moves").await?;
        runtime.signal(furniture, "payment", "by card").await?;
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the first process has ended; two are paused and paid for, and shipped is {:?}", warehouse.shipped());

    let clock = ManualClock::starting_at(clock.now().after(3 * DAY));
    let runtime = open(folder.path(), &warehouse, &clock).await?;
    let table = runtime.attach("table", ships_when_paid).await?.await?;
    println!("on the third day, the table: {table:?}");
    let chair = runtime.get("chair").await?.ok_or("the chair is gone")?.status;
    println!("the chair: {chair:?}");
    runtime.resume("chair").await?;
    let resumed = runtime.attach("chair", ships_when_paid).await?.await?;
    println!("the chair, resumed: {resumed:?}");

    clock.advance(8 * DAY);
    runtime.resume("lamp").await?;
    let lamp = runtime.attach("lamp", ships_when_paid).await?.await;
    println!("on the eleventh day, the lamp: {}", lamp.as_ref().err().map(ToString::to_string).unwrap_or_default());
    runtime.shutdown(Duration::from_secs(1)).await;

    println!("shipped is {:?}, in stock are {}", warehouse.shipped(), warehouse.in_stock());
    let is_right = table == Err(NotShipped::NotPaid)
        && chair == RunStatus::Halted
        && resumed == Ok("by card".to_owned())
        && matches!(lamp, Err(RunError::Cancelled { .. }));
    if is_right && warehouse.shipped() == ["chair"] && warehouse.in_stock() == 9 {
        Ok(())
    } else {
        Err("something was shipped that was not to be, or is missing".into())
    }
}

/// The warehouse is somewhere else, and outlives this runtime.
async fn open(folder: &Path, warehouse: &Warehouse, clock: &ManualClock) -> Result<Runtime, Box<dyn Error>> {
    let builder = Runtime::builder().dependency(warehouse.clone()).clock(clock.clone());
    Ok(builder.open(folder.join("orders.durable")).await?)
}
