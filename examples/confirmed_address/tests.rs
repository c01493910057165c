//! Crash tests. Time is virtual: days take as long as microseconds.

use std::time::Duration;

use durable_runtime::testing::{self, Exploration};

use crate::address::{Ended, Mailbox, Signup, confirm};

const DAY: Duration = Duration::from_hours(24);

fn signup() -> Exploration<confirm> {
    let signup = Signup { address: "ada@example.org".to_owned(), day: DAY };
    testing::explore(confirm, signup).dependency_with(Mailbox::default)
}

/// The first of two who click counts, wherever the process dies.
#[test]
fn the_first_click_counts() {
    let refused = "it was not me";
    signup().resolve(DAY, "click", ()).reject(DAY, "click", refused).check(|world| {
        assert_eq!(*world.output(), Ended::Confirmed);
        assert!(world.dependency::<Mailbox>().link_to("ada@example.org").is_some());
    });
    signup().reject(DAY, "click", refused).resolve(DAY, "click", ()).check(|world| {
        assert_eq!(*world.output(), Ended::Refused { reason: refused.to_owned() });
    });
}

#[test]
fn after_two_days_it_is_too_late() {
    signup().resolve(3 * DAY, "click", ()).check(|world| assert_eq!(*world.output(), Ended::Expired));
}
