//! Crash tests.

use durable_runtime::testing;

use crate::order::{Order, REFUSED, sells};

#[test]
fn each_order_that_is_paid_is_announced_and_no_other() {
    for (number, is_paid) in [(7, true), (REFUSED, false)] {
        let order = Order { number, cents: 1_990 };
        let explored = testing::explore(sells, order).worlds_max(600).check(move |world| {
            assert_eq!(world.output().is_ok(), is_paid);
            let expected = if is_paid { vec![order] } else { Vec::new() };
            assert_eq!(world.emitted::<Order>("orders"), expected);
        });
        println!("{explored}");
    }
}
