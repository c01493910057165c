//! The worker's process: opens the journal, which resumes what an earlier worker left unfinished, and works on.

use std::error::Error;
use std::time::Duration;

use durable_runtime::Runtime;
use futures::{StreamExt, stream};

use crate::append_log::Tail;
use crate::errors::{OrderError, PaymentError};
use crate::folder::Folder;
use crate::gateway::Gateway;
use crate::orders::{Order, Receipt};
use crate::pipeline::process_order;
use crate::queue::ConfirmationQueue;
use crate::table::OrderTable;
use crate::witness::{Crash, Execution, Witness};

/// How many orders are worked on at the same time.
const ORDERS_AT_ONCE: usize = 16;
/// How long the table and the queue take to answer, as if they were in another building.
const LATENCY: Duration = Duration::from_millis(25);
/// How long a step may take to finish when the work is done; by then none should be running.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Processes all orders. Those that are done already only return their saved result.
pub async fn process_all(folder: &Folder, gateway: &str, orders: Vec<Order>) -> Result<(), Box<dyn Error>> {
    let runtime = open(folder, gateway, Witness::open(&folder.executions(), None, false)?).await?;
    let mut results = stream::iter(orders)
        .map(async |order: Order| {
            let run = runtime.start(order.order_id.clone(), process_order, order).await?;
            Ok::<_, Box<dyn Error>>(run.await?)
        })
        .buffer_unordered(ORDERS_AT_ONCE);
    while let Some(result) = results.next().await {
        match result? {
            Ok(_) | Err(OrderError::Payment(PaymentError::Declined)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    drop(results);
    runtime.shutdown(SHUTDOWN).await;
    Ok(())
}

/// Processes one order and prints which steps were executed for that, and which were not.
pub async fn process_one(
    folder: &Folder,
    gateway: &str,
    order: Order,
    crash: Option<Crash>,
) -> Result<(), Box<dyn Error>> {
    let witness = Witness::open(&folder.executions(), crash, true)?;
    let runtime = open(folder, gateway, witness.clone()).await?;
    let order_id = order.order_id.clone();
    let result: Result<Receipt, OrderError> = runtime.start(order_id.clone(), process_order, order).await?.await?;
    witness.about_to("return the result");
    println!("  skipped, as recorded by an earlier process: {}", skipped(&runtime, folder, &order_id, &witness).await?);
    match result {
        Ok(receipt) => println!("  result: {} is paid with {} by {}", receipt.order_id, receipt.total, receipt.charge),
        Err(error) => println!("  result: {error}"),
    }
    runtime.shutdown(SHUTDOWN).await;
    Ok(())
}

/// The steps that the journal has, but that this process did not execute.
async fn skipped(
    runtime: &Runtime,
    folder: &Folder,
    order_id: &str,
    witness: &Witness,
) -> Result<String, Box<dyn Error>> {
    let run = runtime.get(order_id).await?.ok_or("there is no such run")?;
    let executions = Tail::<Execution>::new(&folder.executions()).read_new()?;
    let is_executed = |step: &str| executions.iter().any(|it| it.process == witness.process() && it.step == step);
    let skipped: Vec<_> = run.steps.into_iter().map(|step| step.key).filter(|step| !is_executed(step)).collect();
    Ok(if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") })
}

async fn open(folder: &Folder, gateway: &str, witness: Witness) -> Result<Runtime, Box<dyn Error>> {
    let runtime = Runtime::builder()
        .dependency(Gateway::new(gateway)?)
        .dependency(OrderTable::open(&folder.table(), LATENCY)?)
        .dependency(ConfirmationQueue::open(&folder.queue(), LATENCY)?)
        .dependency(witness);
    Ok(runtime.open(folder.journal()).await?)
}
