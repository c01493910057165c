//! Crash tests.

use durable_runtime::testing;

use crate::trip::{Sellers, books_a_trip};

/// Wherever the process dies, all of the trip is booked, or nothing is left of it; and nothing is booked behind that.
#[test]
fn all_or_nothing_is_booked() {
    for (last, is_sold) in [("a car", true), ("a car on the moon", false)] {
        let parts = ["a flight", "a room", last].map(str::to_owned).to_vec();
        testing::explore(books_a_trip, parts).dependency_with(Sellers::default).check(|world| {
            let sellers = world.dependency::<Sellers>();
            assert_eq!(world.output().is_ok(), is_sold);
            assert_eq!(sellers.bookings().len(), if is_sold { 3 } else { 0 });
            let told = sellers.told();
            if !is_sold {
                let last = told.iter().rev().take(2).map(String::as_str);
                assert!(last.eq(["cancel a flight", "cancel a room"]), "{told:?}");
            }
        });
    }
}
