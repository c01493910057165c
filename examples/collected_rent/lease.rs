//! The durable function.

use std::time::Duration;

use durable_runtime::{Context, StepContext, durable};
use serde::{Deserialize, Serialize};

use crate::bank::Bank;

/// How many months one part of the run has.
const MONTHS: usize = 12;

/// What is to be paid, and by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    pub tenant: String,
    pub cents: u64,
    /// How long a month is.
    pub month: Duration,
    /// What was paid in the parts before, in cents.
    pub paid: u64,
}

/// What becomes of the lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Change {
    Rent { cents: u64 },
    MovesOut,
}

/// A second debit under one key is none: the keys of each month differ, also from one year to the next.
async fn debit(step: StepContext, tenant: &str, cents: u64) -> u64 {
    println!("{}: {tenant} pays {}.{:02}", step.idempotency_key(), cents / 100, cents % 100);
    step.dependency::<Bank>().debit(step.idempotency_key(), cents);
    cents
}

/// Collects the rent until the tenant moves out. Returns what was paid, in cents.
#[durable]
pub async fn collects_rent(ctx: Context, mut lease: Lease) -> u64 {
    for _ in 0..MONTHS {
        let mut month = ctx.sleep(lease.month);
        loop {
            tokio::select! {
                biased;
                () = &mut month => break,
                change = ctx.signal::<Change>("change") => match change {
                    Change::Rent { cents } => lease.cents = cents,
                    Change::MovesOut => return lease.paid,
                },
            }
        }
        lease.paid += ctx.run(debit, &lease.tenant, lease.cents).await;
    }
    // What nobody has asked for yet goes along: no signal is lost between two years.
    ctx.continue_as_new(lease).await
}
