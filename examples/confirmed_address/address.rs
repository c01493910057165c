//! The durable function, and the world outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, PromiseFailure, PromiseId, StepContext, durable};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Who wants to sign up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signup {
    pub address: String,
    /// How long a day is.
    pub day: Duration,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Confirmed,
    /// Somebody has said that it was not them.
    Refused {
        reason: String,
    },
    Expired,
}

/// Letters, by address. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Mutex<BTreeMap<String, String>>>);

impl Mailbox {
    /// The same letter again is no other letter.
    fn send(&self, address: &str, link: &PromiseId) {
        self.0.lock().insert(address.to_owned(), link.to_string());
    }

    /// What is in the letter to this address.
    pub fn link_to(&self, address: &str) -> Option<String> {
        self.0.lock().get(address).cloned()
    }
}

async fn send_link(step: StepContext, address: &str, link: &PromiseId) {
    step.dependency::<Mailbox>().send(address, link);
}

/// Sends a link, and waits two days for the click.
#[durable]
pub async fn confirm(ctx: Context, signup: Signup) -> Ended {
    let click = ctx.promise::<()>("click").timeout(2 * signup.day);
    ctx.run(send_link, &signup.address, &click.id()).await;
    match click.await {
        Ok(()) => Ended::Confirmed,
        Err(PromiseFailure::Rejected(reason)) => Ended::Refused { reason },
        Err(PromiseFailure::TimedOut) => Ended::Expired,
    }
}
