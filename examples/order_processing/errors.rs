//! What can go wrong for the business. These are recorded with the step and come back with their type on replay.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::orders::ChargeId;

/// Why an order was not processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum OrderError {
    #[error("the order is invalid: {reason}")]
    Invalid { reason: String },
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// The table is the system of record: if it disagrees with us it is right, and a human has to look.
    #[error("order {order_id} is already stored with something other than charge {charge}")]
    Contradiction { order_id: String, charge: ChargeId },
    #[error("the order table failed: {reason}")]
    Table { reason: String },
    #[error("the confirmation queue failed: {reason}")]
    Queue { reason: String },
}

/// Why a card was not charged, or why we don't know whether it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum PaymentError {
    #[error("the card was declined")]
    Declined,
    /// The card may or may not have been charged: ask again with the same idempotency key.
    #[error("the payment gateway can't be reached: {reason}")]
    Unavailable { reason: String },
    #[error("the payment gateway refused the request with {status}: {reason}")]
    Refused { status: u16, reason: String },
}

impl PaymentError {
    /// Whether asking again would get the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Declined | Self::Refused { .. } => true,
            Self::Unavailable { .. } => false,
        }
    }
}
