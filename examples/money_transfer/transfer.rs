//! The part to copy: three steps and the durable function that runs them.

use std::time::Duration;

use durable_runtime::{Context, Retry, StepContext, durable};
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerError};

/// What is to be moved, from an account at the bank `north` to one at the bank `south`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub from: String,
    pub to: String,
    pub cents: i64,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moved {
    /// The money has arrived.
    All,
    /// It is where it was.
    Nothing { why: LedgerError },
    /// It was taken, could not be put anywhere, and could not be given back: a human has to look.
    Stranded { why: LedgerError },
}

/// Both banks.
#[derive(Debug)]
pub struct Banks {
    pub north: Ledger,
    pub south: Ledger,
}

/// Moves money. Killed anywhere, it goes on behind the last step that was recorded.
///
/// Each step is tried until its ledger has answered. To give up on a credit and to give the money back would make
/// money, if the credit was posted and only the answer was lost.
#[durable]
pub async fn transfer_money(ctx: Context, transfer: Transfer) -> Moved {
    let until_answered =
        Retry::exponential(Duration::from_millis(50)).max_attempts(u32::MAX).unless(LedgerError::is_answer);
    let Transfer { from, to, cents } = &transfer;
    if let Err(why) = ctx.run(debit, from, *cents).retry(until_answered).await {
        return Moved::Nothing { why };
    }
    let Err(why) = ctx.run(credit, to, *cents).retry(until_answered).await else {
        return Moved::All;
    };
    match ctx.run(give_back, from, *cents).retry(until_answered).await {
        Ok(()) => Moved::Nothing { why },
        Err(why) => Moved::Stranded { why },
    }
}

async fn debit(step: StepContext, account: &str, cents: i64) -> Result<(), LedgerError> {
    post(&step.dependency::<Banks>().north, &step, account, -cents).await
}

async fn credit(step: StepContext, account: &str, cents: i64) -> Result<(), LedgerError> {
    post(&step.dependency::<Banks>().south, &step, account, cents).await
}

async fn give_back(step: StepContext, account: &str, cents: i64) -> Result<(), LedgerError> {
    post(&step.dependency::<Banks>().north, &step, account, cents).await
}

/// Posts an entry under the step's idempotency key.
async fn post(ledger: &Ledger, step: &StepContext, account: &str, cents: i64) -> Result<(), LedgerError> {
    match ledger.post(step.idempotency_key(), account, cents).await {
        // The entry is this step's own: it was posted by an attempt whose outcome was not recorded. That is success.
        Err(LedgerError::Exists) => Ok(()),
        posted => posted,
    }
}
