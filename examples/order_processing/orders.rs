//! What an order is, and what it costs.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::iter::Sum;
use std::path::Path;
use std::{fmt, ops};

use serde::{Deserialize, Serialize};

use crate::errors::OrderError;

/// The sales tax, in percent of the subtotal.
const TAX_PERCENT: u64 = 8;

/// The test card that every bank accepts.
pub const CARD_ACCEPTED: &str = "tok_visa";
/// The test card that no bank accepts.
pub const CARD_DECLINED: &str = "tok_chargeDeclined";

/// An amount of money in whole cents: no floats, so nothing is ever lost in a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cents(pub u64);

impl ops::Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), ops::Add::add)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// An order as the shop hands it in: one line of `orders.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names that the shop uses")]
pub struct Order {
    pub order_id: String,
    pub user_id: String,
    pub card: String,
    pub items: Vec<Item>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub sku: String,
    pub quantity: u32,
    pub unit_price_cents: Cents,
}

/// What the customer is told when all is done, and what a second call with the same order gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub order_id: String,
    pub total: Cents,
    pub charge: ChargeId,
}

/// The gateway's name for a charge it made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChargeId(pub String);

impl fmt::Display for ChargeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Order {
    /// Refuses an order that nobody can charge or ship.
    pub fn check(&self) -> Result<(), OrderError> {
        let invalid = |reason: &str| Err(OrderError::Invalid { reason: reason.to_owned() });
        if self.items.is_empty() {
            return invalid("an order must have at least one item");
        }
        if self.items.iter().any(|item| item.quantity == 0) {
            return invalid("every item must be ordered at least once");
        }
        self.total().map(|_| ())
    }

    /// The price of all items plus tax. The tax is computed once, on the subtotal, and half a cent is rounded up.
    pub fn total(&self) -> Result<Cents, OrderError> {
        let subtotal = self
            .items
            .iter()
            .try_fold(0_u64, |sum, item| item.unit_price_cents.0.checked_mul(item.quantity.into())?.checked_add(sum));
        subtotal
            .and_then(|subtotal| subtotal.checked_add(subtotal.checked_mul(TAX_PERCENT)?.checked_add(50)? / 100))
            .map(Cents)
            .ok_or_else(|| OrderError::Invalid { reason: "the total is more than can be charged".to_owned() })
    }
}

/// Reads the first `limit` orders of a file with one JSON object a line.
pub fn read_orders(path: &Path, limit: usize) -> Result<Vec<Order>, Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("can't open {}: {error}", path.display()))?;
    BufReader::new(file).lines().take(limit).map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::seed_order;

    fn order(items: &[(u32, u64)]) -> Order {
        let item = |&(quantity, cents)| Item { sku: "SKU".into(), quantity, unit_price_cents: Cents(cents) };
        Order { items: items.iter().map(item).collect(), ..seed_order() }
    }

    #[test]
    fn the_seed_order_costs_118_dollars_77() {
        assert_eq!(seed_order().total(), Ok(Cents(11_877)));
        assert_eq!(Cents(11_877).to_string(), "$118.77");
    }

    #[test]
    fn tax_is_rounded_once_and_half_a_cent_goes_up() {
        // 8% of 6 cents is 0.48, of 7 cents 0.56, of 50 cents exactly 4, of 1,256.25 dollars exactly 100.5.
        assert_eq!(order(&[(1, 6)]).total(), Ok(Cents(6)));
        assert_eq!(order(&[(1, 7)]).total(), Ok(Cents(8)));
        assert_eq!(order(&[(1, 50)]).total(), Ok(Cents(54)));
        // Per item this would be 0 cents of tax; on the subtotal of 12 cents it is 0.96.
        assert_eq!(order(&[(1, 6), (1, 6)]).total(), Ok(Cents(13)));
        assert_eq!(order(&[(25, 25)]).total(), Ok(Cents(675)));
    }

    #[test]
    fn an_order_that_cannot_be_charged_is_refused() {
        assert_eq!(order(&[(2, 100)]).check(), Ok(()));
        for refused in [order(&[]), order(&[(0, 100)]), order(&[(1, u64::MAX)]), order(&[(2, u64::MAX / 2)])] {
            assert!(matches!(refused.check(), Err(OrderError::Invalid { .. })), "{refused:?}");
        }
    }
}
