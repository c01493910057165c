//! The warehouse is to hear of each order that was paid, and of no other. It is down now and then, and the shop's process ends in between.
//!
//! `cargo run --example announced_orders`. How it is tested is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod order;
#[cfg(test)]
mod tests;
mod warehouse;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::{DELIVERY_FUNCTION, Emission, RunFilter, Runtime};

use crate::order::{Order, sells};
use crate::warehouse::Warehouse;

const ORDERS: u64 = 40;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let warehouse = Warehouse::default();

    let runtime = open(folder.path(), &warehouse).await?;
    let mut paid = 0;
    for number in 0..ORDERS {
        let order = Order { number, cents: 100 * number };
        paid += u64::from(runtime.start(format!("order-{number}"), sells, order).await?.await?.is_ok());
        if number == ORDERS / 2 {
            warehouse.closes();
        }
    }
    let waiting = runtime.list(&RunFilter::default().function(DELIVERY_FUNCTION), None, 100).await?.runs.len();
    println!("{paid} of {ORDERS} orders are paid; the warehouse is closed, and {waiting} events wait for it");
    runtime.shutdown(Duration::ZERO).await;

    warehouse.opens();
    let runtime = open(folder.path(), &warehouse).await?; // goes on
    while !runtime.list(&RunFilter::default().function(DELIVERY_FUNCTION), None, 1).await?.runs.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let packed = warehouse.packed();
    println!("the next process has told it: {} orders are packed, after {} calls", packed.len(), warehouse.calls());
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = packed.len() as u64 == paid && waiting > 0 && !packed.contains(&order::REFUSED);
    if is_right { Ok(()) } else { Err("an order was forgotten, or packed without being paid".into()) }
}

/// The warehouse is somewhere else, and outlives this runtime. It is told by its webhook, with the event's id as the key
/// of the call.
async fn open(folder: &Path, warehouse: &Warehouse) -> Result<Runtime, Box<dyn Error>> {
    let warehouse = warehouse.clone();
    let webhook = move |event: Emission| {
        let warehouse = warehouse.clone();
        async move {
            let order: Order = event.decode()?;
            warehouse.post(event.id(), order.number)
        }
    };
    Ok(Runtime::builder().sink("orders", webhook).open(folder.join("shop.durable")).await?)
}
