//! The part to copy: five steps and the durable function that runs them in order.
//!
//! Only the lines with [`Witness`] are for the demonstration: they note outside the library which step is executed.

use std::time::Duration;

use durable_runtime::{Context, Retry, StepContext, durable};

use crate::errors::{OrderError, PaymentError};
use crate::gateway::Gateway;
use crate::orders::{Cents, ChargeId, Order, Receipt};
use crate::queue::{Confirmation, ConfirmationQueue};
use crate::table::{OrderTable, Row};
use crate::witness::Witness;

/// The names of the steps, in order.
pub const STEPS: [&str; 5] = ["validate", "price", "charge_card", "save_order", "send_confirmation"];

/// Processes one order. Killed anywhere, it goes on behind the last step that was recorded.
#[durable]
pub async fn process_order(ctx: Context, order: Order) -> Result<Receipt, OrderError> {
    ctx.run(validate, &order).await?;
    let total = ctx.run(price, &order).await?;
    let charge = ctx
        .run(charge_card, &order, total)
        .retry(Retry::exponential(Duration::from_millis(20)).max_attempts(8).unless(PaymentError::is_final))
        .await?;
    // The table is the system of record: it is written first, and only then is anybody told.
    ctx.run(save_order, &order, total, &charge).await?;
    ctx.run(send_confirmation, &order, total).await?;
    Ok(Receipt { order_id: order.order_id, total, charge })
}

async fn validate(step: StepContext, order: &Order) -> Result<(), OrderError> {
    let _executing = Witness::enter(&step);
    order.check()
}

/// A step, so that a new tax rate does not change the price of an order that is under way.
async fn price(step: StepContext, order: &Order) -> Result<Cents, OrderError> {
    let _executing = Witness::enter(&step);
    order.total()
}

/// May be executed again after the card was charged; by the key the gateway knows that it was.
async fn charge_card(step: StepContext, order: &Order, total: Cents) -> Result<ChargeId, PaymentError> {
    let _executing = Witness::enter(&step);
    step.dependency::<Gateway>().charge(order, total, step.idempotency_key()).await
}

/// May be executed again after the row was stored: it is an upsert by order id.
async fn save_order(step: StepContext, order: &Order, total: Cents, charge: &ChargeId) -> Result<(), OrderError> {
    let _executing = Witness::enter(&step);
    let Order { order_id, user_id, .. } = order.clone();
    step.dependency::<OrderTable>().save(Row { order_id, user_id, total, charge: charge.clone() }).await
}

/// May be executed again after the message was queued; by the key the mailer knows that it was.
async fn send_confirmation(step: StepContext, order: &Order, total: Cents) -> Result<(), OrderError> {
    let _executing = Witness::enter(&step);
    let Order { order_id, user_id, .. } = order.clone();
    let key = step.idempotency_key().to_owned();
    step.dependency::<ConfirmationQueue>().send(Confirmation { key, order_id, user_id, total }).await
}
