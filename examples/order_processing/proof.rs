//! Shows from the records of the gateway, the table and the queue that every order had its effects exactly once.

use std::collections::BTreeMap;

use crate::gateway::{Entry, Outcome};
use crate::orders::{CARD_DECLINED, Cents, ChargeId, Order};
use crate::queue::Confirmation;
use crate::table::Row;

/// Something that must hold, and each case where it doesn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub text: &'static str,
    pub violations: Vec<String>,
}

/// Everything that can be known from outside.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub orders: &'a [Order],
    pub ledger: &'a [Entry],
    pub rows: &'a [Row],
    pub confirmations: &'a [Confirmation],
}

impl Evidence<'_> {
    /// What must hold when all orders are done.
    pub fn claims(&self) -> Vec<Claim> {
        let traces = self.traces();
        vec![
            claim(
                "each order is charged exactly once, or declined and never charged",
                &traces,
                Traces::wrongly_charged,
            ),
            claim(
                "each paid order is stored once, as it was charged, and no other order is",
                &traces,
                Traces::wrongly_stored,
            ),
            claim(
                "each paid order is confirmed, under one key only, and no other order is",
                &traces,
                Traces::wrongly_confirmed,
            ),
            Claim {
                text: "the gateway and the table agree on the revenue",
                violations: self.revenues_differ().into_iter().collect(),
            },
        ]
    }

    /// What the gateway charged.
    pub fn revenue(&self) -> Cents {
        self.ledger.iter().filter(|entry| entry.outcome != Outcome::Declined).map(|entry| entry.amount).sum()
    }

    fn revenues_differ(&self) -> Option<String> {
        let stored: Cents = self.rows.iter().map(|row| row.total).sum();
        (stored != self.revenue()).then(|| format!("the gateway charged {}, the table has {stored}", self.revenue()))
    }

    /// All records by the order that they name: a second charge under another key must be found, too.
    fn traces(&self) -> BTreeMap<&str, Traces<'_>> {
        let mut traces: BTreeMap<&str, Traces<'_>> = BTreeMap::new();
        for order in self.orders {
            traces.entry(&order.order_id).or_default().order = Some(order);
        }
        for entry in self.ledger {
            traces.entry(&entry.order_id).or_default().entries.push(entry);
        }
        for row in self.rows {
            traces.entry(&row.order_id).or_default().rows.push(row);
        }
        for confirmation in self.confirmations {
            traces.entry(&confirmation.order_id).or_default().confirmations.push(confirmation);
        }
        traces
    }
}

fn claim<'a>(
    text: &'static str,
    traces: &BTreeMap<&str, Traces<'a>>,
    violation: impl Fn(&Traces<'a>) -> Option<String>,
) -> Claim {
    let wrong = |(order_id, traces)| violation(traces).map(|what| format!("{order_id}: {what}"));
    Claim { text, violations: traces.iter().filter_map(wrong).collect() }
}

/// What one order left behind.
#[derive(Debug, Default)]
struct Traces<'a> {
    /// None if nobody placed it.
    order: Option<&'a Order>,
    entries: Vec<&'a Entry>,
    rows: Vec<&'a Row>,
    confirmations: Vec<&'a Confirmation>,
}

impl Traces<'_> {
    /// The order and its charge, if it is paid.
    fn paid(&self) -> Option<(&Order, Cents, &ChargeId)> {
        self.entries.iter().find_map(|entry| match &entry.outcome {
            Outcome::Charged(charge) => Some((self.order?, entry.amount, charge)),
            Outcome::Declined => None,
        })
    }

    fn wrongly_charged(&self) -> Option<String> {
        let is_right = match (self.order, self.entries.as_slice()) {
            (Some(order), [entry]) => {
                let is_declined = entry.outcome == Outcome::Declined;
                is_declined == (order.card == CARD_DECLINED) && Ok(entry.amount) == order.total()
            }
            (None, []) => true,
            _ => false,
        };
        (!is_right).then(|| format!("the gateway has {:?} for {:?}", self.entries, self.order))
    }

    fn wrongly_stored(&self) -> Option<String> {
        let expected = self.paid().map(|(order, total, charge)| Row {
            order_id: order.order_id.clone(),
            user_id: order.user_id.clone(),
            total,
            charge: charge.clone(),
        });
        let is_right = self.rows.iter().copied().eq(&expected);
        (!is_right).then(|| format!("the table has {:?} instead of {expected:?}", self.rows))
    }

    fn wrongly_confirmed(&self) -> Option<String> {
        let expected = self.paid().map(|(order, total, _)| Confirmation {
            key: format!("{}:send_confirmation", order.order_id),
            order_id: order.order_id.clone(),
            user_id: order.user_id.clone(),
            total,
        });
        // At least once is what is promised: what counts is how many different messages there are.
        let mut different = self.confirmations.clone();
        different.dedup();
        let is_right = different.iter().copied().eq(&expected);
        (!is_right).then(|| format!("the queue has {different:?} instead of {expected:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::seed_order;

    /// One paid and one declined order, with records as they should be.
    struct World {
        orders: Vec<Order>,
        ledger: Vec<Entry>,
        rows: Vec<Row>,
        confirmations: Vec<Confirmation>,
    }

    fn world() -> World {
        let paid = seed_order();
        let declined = Order { order_id: "ord_broke".into(), card: CARD_DECLINED.into(), ..seed_order() };
        let (order_id, user_id, total) = (paid.order_id.clone(), paid.user_id.clone(), Cents(11_877));
        let charge = ChargeId("ch_1".into());
        let entry = |order: &Order, outcome| Entry {
            key: format!("{}:charge_card", order.order_id),
            order_id: order.order_id.clone(),
            card: order.card.clone(),
            amount: total,
            outcome,
        };
        let ledger = vec![entry(&paid, Outcome::Charged(charge.clone())), entry(&declined, Outcome::Declined)];
        let key = format!("{order_id}:send_confirmation");
        World {
            orders: vec![paid, declined],
            ledger,
            rows: vec![Row { order_id: order_id.clone(), user_id: user_id.clone(), total, charge }],
            confirmations: vec![Confirmation { key, order_id, user_id, total }],
        }
    }

    /// Which claims (by number) fail after a change of the world.
    fn failing(change: impl FnOnce(&mut World)) -> Vec<usize> {
        let mut world = world();
        change(&mut world);
        let World { orders, ledger, rows, confirmations } = &world;
        let claims = Evidence { orders, ledger, rows, confirmations }.claims();
        claims.iter().enumerate().filter(|(_, claim)| !claim.violations.is_empty()).map(|(index, _)| index).collect()
    }

    #[test]
    fn a_right_world_has_no_violations_even_if_a_message_is_there_twice() {
        assert_eq!(failing(|_| ()), [0; 0]);
        assert_eq!(failing(|world| world.confirmations.push(world.confirmations[0].clone())), [0; 0]);
    }

    #[test]
    fn a_double_charge_is_found_even_under_another_key() {
        let again = |world: &World| Entry {
            key: "other".into(),
            outcome: Outcome::Charged(ChargeId("ch_2".into())),
            ..world.ledger[0].clone()
        };
        assert!(failing(|world| world.ledger.push(again(world))).contains(&0));
    }

    #[test]
    fn whatever_is_missing_is_found() {
        assert_eq!(failing(|world| drop(world.ledger.remove(1))), [0]);
        assert_eq!(failing(|world| drop(world.ledger.remove(0))), [0, 1, 2, 3]);
        assert_eq!(failing(|world| world.rows.clear()), [1, 3]);
        assert_eq!(failing(|world| world.confirmations.clear()), [2]);
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        assert_eq!(failing(|world| world.ledger[1].outcome = Outcome::Charged(ChargeId("ch_2".into()))), [0, 1, 2, 3]);
        assert_eq!(failing(|world| world.ledger[0].amount = Cents(1)), [0, 1, 2, 3]);
        assert_eq!(failing(|world| world.rows[0].charge = ChargeId("ch_2".into())), [1]);
        assert_eq!(failing(|world| world.rows[0].order_id = "ord_broke".into()), [1]);
        assert_eq!(failing(|world| world.confirmations[0].key = "other".into()), [2]);
        assert_eq!(failing(|world| world.confirmations[0].order_id = "ord_nobody".into()), [2]);
        assert_eq!(failing(|world| drop(world.orders.remove(1))), [0]);
    }
}
