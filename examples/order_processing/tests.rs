//! Crash tests of the pipeline, with fakes of what is outside: the gateway, the table and the queue.
//!
//! The demonstration kills real processes that use the real ones; here everything that can go wrong with one order is
//! tried, in virtual time.

use std::collections::BTreeMap;

use durable_runtime::testing::{self, Crash, Exploration, FakeCall, World};
use parking_lot::Mutex;

use crate::errors::{OrderError, PaymentError};
use crate::generator::seed_order;
use crate::orders::{CARD_DECLINED, Cents, ChargeId, Order, Receipt};
use crate::pipeline::process_order;
use crate::queue::Confirmation;
use crate::table::Row;

/// What is outside, with its books.
#[derive(Debug, Default)]
struct Outside {
    charges: Mutex<Vec<(String, Cents)>>,
    rows: Mutex<BTreeMap<String, Row>>,
    mails: Mutex<Vec<Confirmation>>,
}

impl Outside {
    /// Charges once for each key, as the gateway does.
    fn charge(&self, order: &Order, amount: Cents, key: &str) -> Result<ChargeId, PaymentError> {
        if order.card == CARD_DECLINED {
            return Err(PaymentError::Declined);
        }
        let mut charges = self.charges.lock();
        let known = charges.iter().position(|(charged, _)| charged == key);
        let index = known.unwrap_or_else(|| {
            charges.push((key.to_owned(), amount));
            charges.len() - 1
        });
        Ok(ChargeId(format!("ch_{index}")))
    }

    /// Stores an order once, as the table does.
    fn save(&self, row: Row) -> Result<(), OrderError> {
        let mut rows = self.rows.lock();
        let stored = rows.entry(row.order_id.clone()).or_insert_with(|| row.clone());
        if *stored == row {
            Ok(())
        } else {
            Err(OrderError::Contradiction { order_id: row.order_id, charge: row.charge })
        }
    }
}

fn outside(call: &FakeCall<'_>) -> std::sync::Arc<Outside> {
    call.step().dependency::<Outside>()
}

/// The pipeline with fakes for all its steps; those of the first two do what the steps do, without the witness.
fn explore(order: Order) -> Exploration<process_order> {
    testing::explore(process_order, order)
        .id("ord_abc123")
        .dependency_with(Outside::default)
        .fake("validate", |call| call.argument::<Order>(0).check())
        .fake("price", |call| call.argument::<Order>(0).total())
        .fake("charge_card", |call| {
            outside(call).charge(&call.argument(0), call.argument(1), call.step().idempotency_key())
        })
        .fake("save_order", |call| {
            let Order { order_id, user_id, .. } = call.argument(0);
            outside(call).save(Row { order_id, user_id, total: call.argument(1), charge: call.argument(2) })
        })
        .fake("send_confirmation", |call| {
            let Order { order_id, user_id, .. } = call.argument(0);
            let key = call.step().idempotency_key().to_owned();
            outside(call).mails.lock().push(Confirmation { key, order_id, user_id, total: call.argument(1) });
            Ok::<_, OrderError>(())
        })
}

/// Charged once, stored with that charge, and confirmed at least once, under one key.
fn assert_paid_once(world: &World<Result<Receipt, OrderError>>) {
    let outside = world.dependency::<Outside>();
    let receipt = world.output().as_ref().expect("it is paid");
    assert_eq!(*outside.charges.lock(), [("ord_abc123:charge_card".to_owned(), Cents(11_877))], "charges");
    let rows: Vec<ChargeId> = outside.rows.lock().values().map(|row| row.charge.clone()).collect();
    assert_eq!(rows, std::slice::from_ref(&receipt.charge), "the charges of stored orders");
    let mails = outside.mails.lock();
    assert!(!mails.is_empty(), "no confirmation");
    assert!(mails.iter().all(|mail| mail.key == "ord_abc123:send_confirmation"), "another mail: {mails:?}");
}

#[test]
fn an_order_is_charged_once_wherever_the_process_dies() {
    explore(seed_order()).check(assert_paid_once);
}

#[test]
fn a_declined_order_is_neither_stored_nor_confirmed() {
    let declined = Order { card: CARD_DECLINED.to_owned(), ..seed_order() };
    explore(declined).check(|world| {
        assert_eq!(*world.output(), Err(OrderError::Payment(PaymentError::Declined)));
        let outside = world.dependency::<Outside>();
        assert_eq!((outside.charges.lock().len(), outside.rows.lock().len(), outside.mails.lock().len()), (0, 0, 0));
    });
}

#[test]
fn a_gateway_that_is_down_for_a_while_is_asked_again() {
    let world = explore(seed_order())
        .fake("charge_card", |call| match call.attempt() {
            1..=6 => Err(PaymentError::Unavailable { reason: "down".to_owned() }),
            _ => outside(call).charge(&call.argument(0), call.argument(1), call.step().idempotency_key()),
        })
        .crash(Crash::Acknowledged, "charge_card")
        .run();
    assert_eq!((world.lives(), world.executions("charge_card")), (2, 7));
    assert_paid_once(&world);
}

/// A gateway that ignores idempotency keys: every request is a charge. The receipt shows that there was another one.
#[test]
#[should_panic(expected = "what goes wrong: 1.8:after-effect")]
fn a_gateway_that_ignores_keys_is_found() {
    explore(seed_order())
        .fake("charge_card", |call| {
            let outside = outside(call);
            let mut charges = outside.charges.lock();
            charges.push((call.step().idempotency_key().to_owned(), call.argument(1)));
            Ok::<_, PaymentError>(ChargeId(format!("ch_{}", charges.len() - 1)))
        })
        .check(assert_paid_once);
}
