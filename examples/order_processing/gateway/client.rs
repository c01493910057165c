//! What the worker holds to charge cards.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};

use super::{Charge, ChargeRequest, Statistics};
use crate::errors::PaymentError;
use crate::orders::{Cents, ChargeId, Order};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the payment gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    http: Client,
    address: String,
}

impl Gateway {
    /// Does not connect yet.
    pub fn new(address: &str) -> reqwest::Result<Self> {
        Ok(Self { http: Client::builder().timeout(TIMEOUT).build()?, address: address.to_owned() })
    }

    /// Charges the card of an order; asked again with the same key, the gateway answers as it did before.
    pub async fn charge(&self, order: &Order, amount: Cents, key: &str) -> Result<ChargeId, PaymentError> {
        let request = ChargeRequest { order_id: order.order_id.clone(), card: order.card.clone(), amount };
        let sent = self.http.post(format!("{}/charges", self.address)).header(IDEMPOTENCY_KEY, key).json(&request);
        let response = sent.send().await.map_err(unavailable)?;
        match response.status() {
            // An answer that breaks off is like one that never came: the next attempt asks again.
            StatusCode::OK => response.json::<Charge>().await.map(|charge| charge.charge_id).map_err(unavailable),
            StatusCode::PAYMENT_REQUIRED => Err(PaymentError::Declined),
            status if status.is_server_error() => Err(PaymentError::Unavailable { reason: status.to_string() }),
            status => Err(PaymentError::Refused { status: status.as_u16(), reason: text(response).await }),
        }
    }

    /// What the gateway has counted.
    pub async fn statistics(&self) -> reqwest::Result<Statistics> {
        self.http.get(format!("{}/statistics", self.address)).send().await?.error_for_status()?.json().await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn unavailable(error: reqwest::Error) -> PaymentError {
    PaymentError::Unavailable { reason: error.to_string() }
}

async fn text(response: Response) -> String {
    response.text().await.unwrap_or_else(|error| error.to_string())
}
