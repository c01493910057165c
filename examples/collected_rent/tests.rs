//! Crash tests. Time is virtual: years take as long as microseconds.

use std::time::Duration;

use durable_runtime::testing;

use crate::bank::Bank;
use crate::lease::{Change, Lease, collects_rent};

const DAY: Duration = Duration::from_hours(24);

/// The tenth year has begun when the tenant moves out.
#[test]
fn each_month_is_paid_once_whatever_year_it_is_in() {
    let lease = Lease { tenant: "ada".to_owned(), cents: 10, month: 30 * DAY, paid: 0 };
    let explored = testing::explore(collects_rent, lease)
        .dependency_with(Bank::default)
        // A day after the last month of the first year, or hours later if the sender is late.
        .signal_after((12 * 30 + 1) * DAY, "change", Change::Rent { cents: 12 })
        .signal_after((26 * 30 + 1) * DAY, "change", Change::MovesOut)
        .worlds_max(400)
        .seeds(0..40)
        .check(|world| {
            assert_eq!(*world.output(), 12 * 10 + 14 * 12);
            let payments = world.dependency::<Bank>().payments();
            assert_eq!(payments.iter().map(|payment| payment.cents).sum::<u64>(), *world.output());
            assert_eq!((payments.len(), world.journal().length() < 40), (26, true));
        });
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}
