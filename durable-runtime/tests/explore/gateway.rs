//! An order that is paid by card, and the gateway that is asked to.

use std::collections::BTreeMap;
use std::time::Duration;

use durable_runtime::{Context, Failure, Retry, StepContext, durable};
use parking_lot::Mutex;

/// A gateway that knows idempotency keys.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    charges: Mutex<BTreeMap<String, u32>>,
    /// After so many requests with one key, it has forgotten the first of them.
    remembers: Option<u32>,
}

impl Gateway {
    /// One that has never heard of idempotency keys.
    pub(crate) fn forgetful() -> Self {
        Self::remembering(0)
    }

    /// One that charges once for so many requests with one key.
    pub(crate) fn remembering(requests: u32) -> Self {
        Self { remembers: Some(requests), ..Self::default() }
    }

    pub(crate) async fn charge(&self, key: &str) -> String {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut charges = self.charges.lock();
        let requests = charges.entry(key.to_owned()).or_default();
        *requests += 1;
        format!("charge {key}")
    }

    /// How often cards were charged.
    pub(crate) fn charges(&self) -> u32 {
        let charged = |requests: &u32| match self.remembers {
            None => 1,
            Some(0) => *requests,
            Some(remembers) => 1 + requests.saturating_sub(remembers),
        };
        self.charges.lock().values().map(charged).sum()
    }
}

async fn price(quantity: u32) -> u32 {
    quantity * 250
}

async fn charge_card(step: StepContext, cents: u32) -> Result<String, Failure> {
    let gateway = step.dependency::<Gateway>();
    Ok(format!("{} for {cents}", gateway.charge(step.idempotency_key()).await))
}

async fn label(order: &str) -> String {
    format!("label of {order}")
}

#[durable]
pub(crate) async fn paid_order(ctx: Context, order: String, quantity: u32) -> Result<String, Failure> {
    let cents = ctx.run(price, quantity).await;
    let retry = Retry::exponential(Duration::from_secs(1)).max_attempts(3);
    let charge = ctx.run(charge_card, cents).retry(retry).await?;
    let (label, saved) = futures::join!(ctx.run(label, &order), ctx.run("save", async || charge.len()));
    Ok(format!("{charge}, {label}, {saved}"))
}

pub(crate) fn order() -> (String, u32) {
    ("ord_1".to_owned(), 3)
}
