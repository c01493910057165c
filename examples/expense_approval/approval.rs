//! The durable function.

use std::time::Duration;

use durable_runtime::{Context, StepContext, durable};
use serde::{Deserialize, Serialize};

use crate::office::Office;

/// What somebody wants to have paid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expense {
    pub by: String,
    pub cents: u64,
    /// How long a day is.
    pub day: Duration,
}

/// What the manager or the director says: the signal `decision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub by: String,
    pub is_approved: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Approved {
        by: String,
    },
    Rejected {
        by: String,
    },
    /// Nobody has answered.
    Forgotten,
}

async fn ask(step: StepContext, whom: &str, expense: &Expense) {
    let letter = format!("{whom}: {} cents for {}?", expense.cents, expense.by);
    step.dependency::<Office>().send(step.idempotency_key(), &letter);
}

async fn pay(step: StepContext, expense: &Expense) {
    step.dependency::<Office>().pay(step.idempotency_key(), expense.cents);
}

/// Asks, waits, and pays.
#[durable]
pub async fn approve(ctx: Context, expense: Expense) -> Ended {
    ctx.run(ask, "manager", &expense).await;
    let mut decision = ctx.timeout(3 * expense.day, ctx.signal::<Decision>("decision")).await;
    if decision.is_err() {
        ctx.run(ask, "director", &expense).await;
        // Of either: whoever is first.
        decision = ctx.timeout(4 * expense.day, ctx.signal::<Decision>("decision")).await;
    }
    match decision {
        Ok(Decision { by, is_approved: true }) => {
            ctx.run(pay, &expense).await;
            Ended::Approved { by }
        }
        Ok(Decision { by, is_approved: false }) => Ended::Rejected { by },
        Err(_) => Ended::Forgotten,
    }
}
