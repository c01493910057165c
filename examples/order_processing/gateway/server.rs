//! The gateway's process.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::faults::{Fault, Faults};
use super::ledger::{Ledger, Settled};
use super::{Charge, ChargeRequest, Outcome, Statistics};

/// How long a request takes; a real gateway is slower.
const LATENCY_MS: Range<u64> = 50..250;

#[derive(Debug)]
struct Server {
    faults: Faults,
    ledger: Ledger,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    statistics: Statistics,
    requests_by_key: BTreeMap<String, u32>,
}

/// Answers requests until the process ends. Once it is ready it prints its address to stdout.
pub async fn serve(ledger: &Path, seed: u64) -> io::Result<()> {
    let faults = Faults { seed, latency_ms: LATENCY_MS };
    let server = Arc::new(Server { faults, ledger: Ledger::open(ledger)?, counted: Mutex::default() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes(server)).await
}

fn routes(server: Arc<Server>) -> Router {
    Router::new().route("/charges", post(charge)).route("/statistics", get(statistics)).with_state(server)
}

async fn statistics(State(server): State<Arc<Server>>) -> Json<Statistics> {
    Json(server.counted.lock().statistics)
}

async fn charge(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Json(request): Json<ChargeRequest>,
) -> Result<Response, StatusCode> {
    let key = headers.get("Idempotency-Key").and_then(|key| key.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let treatment = server.faults.treatment(key, server.count_request(key));
    tokio::time::sleep(treatment.latency).await;
    if treatment.fault == Some(Fault::FailedBefore) {
        server.counted.lock().statistics.failed_before += 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let settled = server.settle(key, request).await.map_err(|error| {
        eprintln!("the ledger failed: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    if treatment.fault == Some(Fault::LostAnswer) {
        server.counted.lock().statistics.lost_answers += 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    match settled {
        Settled::Now(Outcome::Charged(charge_id)) | Settled::Before(Outcome::Charged(charge_id)) => {
            Ok(Json(Charge { charge_id }).into_response())
        }
        Settled::Now(Outcome::Declined) | Settled::Before(Outcome::Declined) => Err(StatusCode::PAYMENT_REQUIRED),
        Settled::KeyReused => Err(StatusCode::UNPROCESSABLE_ENTITY),
    }
}

impl Server {
    /// How many requests with this key came before.
    fn count_request(&self, key: &str) -> u32 {
        let mut counted = self.counted.lock();
        counted.statistics.requests += 1;
        let requests = counted.requests_by_key.entry(key.to_owned()).or_default();
        *requests += 1;
        *requests - 1
    }

    async fn settle(self: &Arc<Self>, key: &str, request: ChargeRequest) -> io::Result<Settled> {
        let (server, key) = (Arc::clone(self), key.to_owned());
        let settled = spawn_blocking(move || server.ledger.settle(&key, &request)).await??;
        if matches!(settled, Settled::Before(_)) {
            self.counted.lock().statistics.repeated += 1;
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::PaymentError;
    use crate::gateway::Gateway;
    use crate::generator::seed_order;
    use crate::orders::{CARD_DECLINED, Cents, ChargeId, Order};

    const KEY: &str = "ord_abc123:charge_card";

    fn faults(seed: u64) -> Faults {
        Faults { seed, latency_ms: 0..1 }
    }

    /// A gateway in this process whose first two requests go so. Its ledger is in a folder that is removed at the end.
    async fn gateway(first_two: [Option<Fault>; 2]) -> (Gateway, tempfile::TempDir) {
        let goes_so = |&seed: &u64| [0, 1].map(|index| faults(seed).treatment(KEY, index).fault) == first_two;
        let faults = faults((0..10_000).find(goes_so).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger")).unwrap();
        let server = Arc::new(Server { faults, ledger, counted: Mutex::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, routes(server)).into_future());
        (Gateway::new(&address).unwrap(), folder)
    }

    #[tokio::test]
    async fn a_charge_whose_answer_was_lost_is_not_made_again() {
        let order = seed_order();
        let (gateway, _folder) = gateway([Some(Fault::LostAnswer), None]).await;
        let lost = gateway.charge(&order, Cents(100), KEY).await;
        assert!(matches!(lost, Err(PaymentError::Unavailable { .. })), "{lost:?}");
        assert_eq!(gateway.charge(&order, Cents(100), KEY).await, Ok(ChargeId("ch_000001".into())));
        let counted = gateway.statistics().await.unwrap();
        assert_eq!(counted, Statistics { requests: 2, repeated: 1, failed_before: 0, lost_answers: 1 });
    }

    #[tokio::test]
    async fn a_gateway_that_failed_before_charging_charges_on_the_next_attempt() {
        let order = seed_order();
        let (gateway, _folder) = gateway([Some(Fault::FailedBefore), None]).await;
        let failed = gateway.charge(&order, Cents(100), KEY).await;
        assert!(matches!(failed, Err(PaymentError::Unavailable { .. })), "{failed:?}");
        assert_eq!(gateway.charge(&order, Cents(100), KEY).await, Ok(ChargeId("ch_000001".into())));
        let counted = gateway.statistics().await.unwrap();
        assert_eq!(counted, Statistics { requests: 2, repeated: 0, failed_before: 1, lost_answers: 0 });
    }

    #[tokio::test]
    async fn declined_cards_and_reused_keys_are_final_errors() {
        let order = Order { card: CARD_DECLINED.into(), ..seed_order() };
        let (gateway, _folder) = gateway([None, None]).await;
        let declined = gateway.charge(&order, Cents(100), KEY).await.unwrap_err();
        assert_eq!(declined, PaymentError::Declined);
        let refused = gateway.charge(&order, Cents(200), KEY).await.unwrap_err();
        assert!(matches!(refused, PaymentError::Refused { status: 422, .. }), "{refused:?}");
        assert!(declined.is_final() && refused.is_final());
    }
}
