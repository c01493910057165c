//! The durable function.

use std::time::Duration;

use durable_runtime::{Context, StepContext, Timestamp, durable};
use serde::{Deserialize, Serialize};

use crate::customer::Customer;

/// How many reminders there are before others take over.
const REMINDERS_MAX: u32 = 3;

/// What is to be paid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invoice {
    pub number: String,
    pub cents: u64,
    /// How long a day is.
    pub day: Duration,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The customer has paid; that was seen then.
    Paid { seen_at: Timestamp },
    /// No reminder has helped.
    HandedOver { reference: String },
}

async fn send(step: StepContext, letter: &str) {
    step.dependency::<Customer>().send(step.idempotency_key(), letter);
}

async fn is_paid(step: StepContext) -> bool {
    step.dependency::<Customer>().has_paid()
}

/// Sends the invoice and its reminders.
#[durable]
pub async fn collect(ctx: Context, invoice: Invoice) -> Ended {
    ctx.run(send, "invoice").await;
    for reminder in 1..=REMINDERS_MAX {
        ctx.sleep(14 * invoice.day).await;
        if ctx.run(is_paid).await {
            return Ended::Paid { seen_at: ctx.now() };
        }
        ctx.run(send, &format!("reminder {reminder}")).await;
    }
    ctx.sleep(14 * invoice.day).named("last chance").await;
    if ctx.run(is_paid).await {
        return Ended::Paid { seen_at: ctx.now() };
    }
    Ended::HandedOver { reference: ctx.uuid().to_string() }
}
