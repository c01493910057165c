//! Crash tests. Time is virtual: weeks take as long as microseconds.

use std::time::Duration;

use durable_runtime::testing::{self, Crash};

use crate::customer::Customer;
use crate::dunning::{Ended, Invoice, collect};

const DAY: Duration = Duration::from_hours(24);

fn invoice() -> Invoice {
    Invoice { number: "1".to_owned(), cents: 11_900, day: DAY }
}

#[test]
fn who_pays_gets_no_further_reminder() {
    testing::explore(collect, invoice()).dependency_with(|| Customer::paying_after(2)).check(|world| {
        assert!(matches!(world.output(), Ended::Paid { .. }), "{:?}", world.output());
        assert_eq!(world.dependency::<Customer>().letters(), ["invoice", "reminder 1"]);
    });
}

#[test]
fn who_never_pays_gets_three_reminders_each_once() {
    testing::explore(collect, invoice()).dependency_with(|| Customer::paying_after(99)).check(|world| {
        assert!(matches!(world.output(), Ended::HandedOver { .. }), "{:?}", world.output());
        let letters = world.dependency::<Customer>().letters();
        assert_eq!(letters, ["invoice", "reminder 1", "reminder 2", "reminder 3"]);
    });
}

/// The process dies when a sleep has just ended, before anybody knows.
#[test]
fn a_reminder_is_sent_fourteen_days_after_the_letter_before() {
    let world = testing::explore(collect, invoice())
        .dependency_with(|| Customer::paying_after(2))
        .crash(Crash::Unsynced, "sleep")
        .run();
    let Ended::Paid { seen_at } = world.output() else { panic!("{:?}", world.output()) };
    let started_at = durable_runtime::Timestamp(1_798_761_600_000);
    assert_eq!(seen_at.since(started_at), 28 * DAY);
    assert_eq!(world.lives(), 2);
}
