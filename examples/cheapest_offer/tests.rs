//! Crash tests: the function as it is, and what the explorer says of a step that is wrong.

use std::time::Duration;

use durable_runtime::testing::{self, World};

use crate::booking::{Booked, book_cheapest};
use crate::hotels::{Hotel, Hotels};

/// Each world begins with a new one. The cheapest hotel is too slow.
fn town() -> Hotels {
    Hotels::new([
        Hotel::new("Astoria", 14_900, Duration::ZERO),
        Hotel::new("Central", 11_900, Duration::ZERO),
        Hotel::new("Dorint", 8_900, Duration::from_secs(5)),
    ])
}

fn booked(hotel: &str, cents: u64) -> Booked {
    Booked { hotel: hotel.to_owned(), cents }
}

/// What was paid for is what was returned, once, and nobody keeps a room for a guest who does not come.
fn assert_books_are_right(world: &World<Option<Booked>>) {
    let hotels = world.dependency::<Hotels>();
    assert_eq!(hotels.booked(), world.output().iter().cloned().collect::<Vec<_>>(), "rooms that are booked");
    assert_eq!(hotels.kept(), [], "rooms that are kept for nobody");
}

#[test]
fn one_room_is_booked_and_none_is_kept() {
    testing::explore(book_cheapest, town().names()).dependency_with(town).check(|world| {
        assert_eq!(*world.output(), Some(booked("Central", 11_900)));
        assert_books_are_right(world);
    });
}

#[test]
fn when_a_hotel_has_no_room_after_all_the_next_one_is_booked() {
    let town = || {
        let astoria = Hotel::new("Astoria", 14_900, Duration::ZERO);
        Hotels::new([astoria, Hotel::new("Bellevue", 9_900, Duration::ZERO).gives_away()])
    };
    testing::explore(book_cheapest, town().names()).dependency_with(town).check(|world| {
        assert_eq!(*world.output(), Some(booked("Astoria", 14_900)));
        assert_books_are_right(world);
    });
}

#[test]
fn when_no_hotel_has_a_room_nothing_is_kept() {
    let town = || Hotels::new([Hotel::new("Bellevue", 9_900, Duration::ZERO).gives_away()]);
    testing::explore(book_cheapest, town().names()).dependency_with(town).check(|world| {
        assert_eq!(*world.output(), None);
        assert_books_are_right(world);
    });
}

/// The hotel that is too slow keeps a room all the same, until it is told.
#[test]
fn a_hotel_that_does_not_answer_in_time_is_told_too() {
    let world = testing::explore(book_cheapest, town().names()).dependency_with(town).run();
    assert_eq!(world.executions("keep_room#3"), 2, "it is asked twice");
    assert!(world.journal().outline().contains(r#"release_room#2 ["Dorint"] = null"#), "{}", world.journal().outline());
}

/// A step that makes up another id for each attempt: the room that is kept under it is never released.
#[test]
#[should_panic(expected = "rooms that are kept for nobody")]
fn an_id_that_is_another_one_for_each_attempt_is_found() {
    testing::explore(book_cheapest, town().names())
        .dependency_with(town)
        .fake("keep_room", |call| {
            let id = match call.attempt() {
                1 => call.step().run_id().to_string(),
                attempt => format!("{}, again: {attempt}", call.step().run_id()),
            };
            call.step().dependency::<Hotels>().of(&call.argument::<String>(0)).keep_now(&id)
        })
        .check(assert_books_are_right);
}
