//! Steps that run at most once: what is known of an attempt that has begun.

use super::tests::{attempt_failed, completed, replay, request, started, step_started, timer_set};
use super::*;
use crate::journal::AttemptFailed;

/// R6: of an attempt that has begun and has no outcome it is known in which life that was.
#[test]
fn r06_an_attempt_that_has_begun_is_known_in_the_next_life() {
    let mut live = replay([]);
    let claim = live.claim(request("a"));
    assert_eq!((live.next_delivery(), live.begun(claim)), (Delivery::Nothing, Begun::No));
    live.apply(step_started(0, "a", 1)).expect("it has not begun");
    assert_eq!(live.begun(claim), Begun::Now);
    live.apply(attempt_failed(0, "a", 1)).expect("the attempt that has begun");
    assert_eq!((live.begun(claim), live.due(claim)), (Begun::No, Some(Timestamp(7))));
    assert_eq!(live.first_failure(claim), Some(Timestamp(0)));
    live.apply(step_started(0, "a", 2)).expect("the next one");
    assert_eq!((live.due(claim), live.timer(claim)), (None, None), "it waits for nothing any more");

    let mut next = replay([attempt_failed(0, "a", 1), step_started(0, "a", 2)]);
    let claim = next.claim(request("a"));
    assert_eq!((next.next_delivery(), next.begun(claim)), (Delivery::Nothing, Begun::Before));
    assert_eq!(next.begin(claim), Begin::Attempt { attempt: 2, not_before: None });
    let recovered = || Event::Recovered { code: None, at: 0 };
    assert_eq!(replay([recovered(), step_started(0, "a", 1)]).recoveries(), 1, "what only begins is no progress");

    let told = |events: Vec<Event>| {
        let all: Vec<Event> = std::iter::once(started()).chain(events).collect();
        let refused = Replay::of_journal(all.iter().cloned()).expect_err("the journal contradicts itself");
        assert_eq!(Whole::of(&all), Err(refused.clone()));
        refused.to_string()
    };
    let told = [
        told(vec![step_started(0, "a", 1), step_started(0, "a", 1)]),
        told(vec![step_started(0, "a", 2)]),
        told(vec![completed(0, "a"), step_started(0, "a", 2)]),
        told(vec![step_started(0, "a", 1), attempt_failed(0, "a", 2)]),
        told(vec![timer_set(0, "a", 7), step_started(0, "a", 1)]),
    ];
    expect_test::expect![[r#"
        event StepStarted at position 2 can't stand there: a has begun already
        event StepStarted at position 1 can't stand there: attempt 2 of a follows 0 failed ones
        event StepStarted at position 2 can't stand there: a has its one outcome already
        event AttemptFailed at position 2 can't stand there: attempt 2 of a follows 0 failed ones
        event StepStarted at position 2 can't stand there: a is a timer, not a step"#]]
    .assert_eq(&told.join("\n"));
    let whole = Whole::of(&[started(), attempt_failed(0, "a", 1), step_started(0, "a", 2)]).expect("legal");
    assert!(whole.timers.is_empty(), "the attempt has begun");
}

/// What `Retry::max_elapsed` is counted from.
#[test]
fn r11_the_first_failure_is_the_first() {
    let mut replay = replay([failed_at(0, 1, 7), failed_at(0, 2, 9)]);
    let (failed, new) = (replay.claim(request("a")), replay.claim(request("b")));
    assert_eq!((replay.first_failure(failed), replay.first_failure(new)), (Some(Timestamp(7)), None));
}

fn failed_at(claim: u32, attempt: u32, at: u64) -> Event {
    let Event::AttemptFailed(failed) = attempt_failed(claim, "a", attempt) else { panic!("a failed attempt") };
    Event::AttemptFailed(AttemptFailed { at, ..failed })
}
