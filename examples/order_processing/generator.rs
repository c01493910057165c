//! Makes `orders.jsonl`. Run `order_processing generate` to print it again.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::orders::{CARD_ACCEPTED, CARD_DECLINED, Cents, Item, Order};

/// How many orders the committed file has.
const ORDERS_COUNT: usize = 600;
/// What the committed file was made from.
const SEED: u64 = 2024;

const CATALOGUE: [(&str, u64); 12] = [
    ("WIDGET-A", 2_999),
    ("GADGET-B", 4_999),
    ("BOLT-M6", 7),
    ("WASHER-M6", 3),
    ("LAMP-DESK", 3_450),
    ("CABLE-USB-C", 1_295),
    ("CHAIR-OAK", 18_900),
    ("DESK-OAK", 64_900),
    ("PAPER-A4", 549),
    ("PEN-BLUE", 125),
    ("MUG-WHITE", 899),
    ("GIFT-WRAP", 1),
];

/// Writes the committed orders, one JSON object a line.
pub fn write_orders(mut out: impl Write) -> io::Result<()> {
    for order in generate(SEED, ORDERS_COUNT) {
        writeln!(out, "{}", serde_json::to_string(&order)?)?;
    }
    Ok(())
}

/// The order of the documentation: two widgets and a gadget.
pub fn seed_order() -> Order {
    let item = |sku: &str, quantity, cents| Item { sku: sku.into(), quantity, unit_price_cents: Cents(cents) };
    Order {
        order_id: "ord_abc123".into(),
        user_id: "user_42".into(),
        card: CARD_ACCEPTED.into(),
        items: vec![item("WIDGET-A", 2, 2_999), item("GADGET-B", 1, 4_999)],
    }
}

/// The same orders for the same seed, all with different ids. About one in nine has a card that is declined.
fn generate(seed: u64, count: usize) -> Vec<Order> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut orders = vec![seed_order()];
    let mut ids = BTreeSet::from([seed_order().order_id]);
    while orders.len() < count {
        let order = random_order(&mut rng);
        if ids.insert(order.order_id.clone()) {
            orders.push(order);
        }
    }
    orders
}

fn random_order(rng: &mut fastrand::Rng) -> Order {
    let suffix: String = (0..6).map(|_| rng.alphanumeric().to_ascii_lowercase()).collect();
    let user = rng.u32(1..=200);
    let card = if rng.u32(0..9) == 0 { CARD_DECLINED } else { CARD_ACCEPTED };
    let items = (0..rng.usize(1..=4)).map(|_| random_item(rng)).collect();
    Order { order_id: format!("ord_{suffix}"), user_id: format!("user_{user}"), card: card.into(), items }
}

fn random_item(rng: &mut fastrand::Rng) -> Item {
    let (sku, cents) = CATALOGUE[rng.usize(..CATALOGUE.len())];
    Item { sku: sku.into(), quantity: rng.u32(1..=9), unit_price_cents: Cents(cents) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_orders_are_what_the_generator_prints() {
        let mut printed = Vec::new();
        write_orders(&mut printed).unwrap();
        assert!(printed == include_bytes!("orders.jsonl"), "run `order_processing generate` and compare");
    }

    #[test]
    fn the_committed_orders_can_all_be_processed() {
        let orders = generate(SEED, ORDERS_COUNT);
        assert!(orders.len() >= 500);
        assert!(orders.iter().all(|order| order.check().is_ok()));
        assert!(orders.iter().filter(|order| order.card == CARD_DECLINED).count() >= 20);
    }
}
