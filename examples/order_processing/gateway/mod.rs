//! A payment gateway that behaves like a real one: another process, reached over HTTP, often out of order.
//!
//! `POST /charges` with an `Idempotency-Key` charges a card once per key, however often it is asked:
//!
//! | answer | meaning |
//! |---|---|
//! | 200 and a [`Charge`] | charged, now or by an earlier request with this key |
//! | 402 | the card is declined, and stays so for this key |
//! | 422 | the key was used before for something else |
//! | 503 | **unknown**: it may have failed before charging or lost the answer after it |

mod client;
mod faults;
mod ledger;
mod server;

use serde::{Deserialize, Serialize};

use crate::orders::{Cents, ChargeId};

pub use client::Gateway;
pub use ledger::{Entry, Outcome};
pub use server::serve;

/// What the client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ChargeRequest {
    order_id: String,
    card: String,
    amount: Cents,
}

/// What the server answers when the card is charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Charge {
    charge_id: ChargeId,
}

/// What the gateway has counted since it was started, from `GET /statistics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Requests to charge a card.
    pub requests: u64,
    /// Requests whose key was settled before, so that they were answered from the ledger.
    pub repeated: u64,
    /// 503s sent before anything was done.
    pub failed_before: u64,
    /// 503s sent after the card was charged or declined: the answer got lost.
    pub lost_answers: u64,
}
