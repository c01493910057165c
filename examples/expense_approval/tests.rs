//! Crash tests. Time is virtual: days take as long as microseconds.

use std::time::Duration;

use durable_runtime::testing::{self, Exploration};

use crate::approval::{Decision, Ended, Expense, approve};
use crate::office::Office;

const DAY: Duration = Duration::from_hours(24);

fn asked() -> Exploration<approve> {
    let expense = Expense { by: "Ada".to_owned(), cents: 119_000, day: DAY };
    testing::explore(approve, expense).dependency_with(Office::default)
}

fn decision(by: &str, is_approved: bool) -> Decision {
    Decision { by: by.to_owned(), is_approved }
}

/// The process dies at every boundary, and the click is sent until it is acknowledged, sometimes once more.
#[test]
fn who_is_approved_is_paid_once() {
    asked().signal_after(DAY, "decision", decision("Grace", true)).check(|world| {
        assert_eq!(*world.output(), Ended::Approved { by: "Grace".to_owned() });
        let office = world.dependency::<Office>();
        assert_eq!((office.payments(), office.letters().len()), (1, 1));
    });
}

/// The director is asked after three days; what the manager says on the fifth counts all the same, and the director's
/// answer on the sixth comes too late.
#[test]
fn the_first_answer_counts() {
    asked()
        .signal_after(5 * DAY, "decision", decision("Grace", false))
        .signal_after(6 * DAY, "decision", decision("Alan", true))
        .check(|world| {
            assert_eq!(*world.output(), Ended::Rejected { by: "Grace".to_owned() });
            let office = world.dependency::<Office>();
            assert_eq!((office.payments(), office.letters().len()), (0, 2));
        });
}

#[test]
fn what_nobody_answers_is_forgotten() {
    asked().check(|world| {
        assert_eq!(*world.output(), Ended::Forgotten);
        assert_eq!(world.dependency::<Office>().letters().len(), 2);
    });
}
