//! What is planned to be undone, and that a run is to be cancelled: told in its place, and held against what begins.

use super::past::forked;
use super::tests::{attempt_failed, completed, delivers, replay, request};
use super::*;
use crate::id::RunId;
use crate::journal::{Cancelled, Finished, Started, UndoPlanned};
use crate::payload::Codec;

fn planned(claim: u32, key: &str) -> Event {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    Event::UndoPlanned(UndoPlanned { operation, at: 3 })
}

fn cancelled() -> Cancelled {
    Cancelled { reason: "enough".to_owned(), at: 4 }
}

fn requested() -> Event {
    Event::CancelRequested(cancelled())
}

fn finished() -> Event {
    let result = Payload::of_parts(Codec::Json, b"7".to_vec());
    Event::Finished(Finished { result, failed: false, at: 0 })
}

/// The code is told where it was told first, between the outcomes before and behind it.
#[test]
fn r03_a_cancel_is_told_in_its_place() {
    let mut replay = replay([completed(0, "a"), requested(), completed(1, "b")]);
    let (first, second) = (replay.claim(request("a")), replay.claim(request("b")));
    assert!(replay.is_repeating() && !replay.is_next_live());
    delivers(&mut replay, first);
    assert!(!replay.is_cancel_told());
    assert_eq!(replay.next_delivery(), Delivery::Cancel);
    assert!(replay.is_cancel_told());
    assert_eq!(replay.delivered(), Position(3));
    replay.progress(first);
    delivers(&mut replay, second);
    assert_eq!(replay.next_delivery(), Delivery::Nothing, "it is told once");
    assert!(!replay.is_diverged(), "what the code does because of it is no surprise");
}

/// Nothing begins between the request and the word of it, neither live nor when it is replayed.
#[test]
fn r05_no_step_begins_once_a_cancel_is_recorded_and_before_it_is_told() {
    let mut live = replay([]);
    let claim = live.claim(request("a"));
    assert_eq!(live.next_delivery(), Delivery::Nothing);
    live.apply(requested()).expect("it is running");
    assert_eq!((live.begin(claim), live.is_next_live()), (Begin::Wait, true));
    assert_eq!(live.next_delivery(), Delivery::Cancel);
    assert_eq!(live.begin(claim), Begin::Attempt { attempt: 1, not_before: None });

    let mut again = replay([requested()]);
    let claim = again.claim(request("a"));
    assert_eq!(again.begin(claim), Begin::Wait);
    assert_eq!(again.untold(), [Position(1)].into(), "it need not wake the run any more");
    assert_eq!(again.next_delivery(), Delivery::Cancel);
    assert!(again.untold().is_empty());
}

#[test]
fn what_is_planned_is_open_until_it_has_its_outcome() {
    let mut replay = replay([planned(0, "a"), attempt_failed(1, "b", 1)]);
    let claim = replay.claim(request("a"));
    replay.claim(request("b"));
    assert!(replay.has_undos() && !replay.was_told());
    assert!(replay.is_recorded(claim) && !replay.is_completed(claim));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert_eq!(replay.begin(claim), Begin::Attempt { attempt: 1, not_before: None });
    replay.apply(attempt_failed(0, "a", 1)).expect("it is run as any other step");
    assert!(replay.has_undos());
    let second = Event::StepCompleted(crate::journal::StepCompleted {
        attempts: 2,
        ..match completed(0, "a") {
            Event::StepCompleted(completed) => completed,
            other => panic!("{other:?}"),
        }
    });
    replay.apply(second).expect("it is run as any other step");
    assert!(!replay.has_undos() && replay.was_told());
}

/// A cancel ends a run at once only if there is nothing to undo, and that is known.
#[test]
fn what_is_recorded_of_a_cancel_depends_on_what_is_to_be_undone() {
    let cancel = || Incoming::Cancel(cancelled());
    let none = replay([completed(0, "a")]);
    assert_eq!(none.event_of(cancel(), true), Some(Event::Cancelled(cancelled())));
    assert_eq!(none.event_of(cancel(), false), Some(requested()));
    let some = replay([planned(0, "a")]);
    assert_eq!(some.event_of(cancel(), true), Some(requested()));
    assert_eq!((some.judge(&cancel(), 0), some.cancel_reason()), (Sent::New, None));
    let asked = replay([requested()]);
    assert_eq!((asked.judge(&cancel(), 0), asked.cancel_reason()), (Sent::Again, Some("enough")));
}

#[test]
fn a_run_that_is_to_be_cancelled_does_not_finish_and_is_asked_once() {
    let mut replay = replay([requested()]);
    for event in [finished(), requested()] {
        let illegal = replay.apply(event).expect_err("it is to be cancelled");
        assert_eq!(illegal.why, "the run is to be cancelled");
    }
    replay.apply(Event::Cancelled(cancelled())).expect("that is its end");
    assert_eq!(replay.stage(), Stage::Finished);
    let known = super::tests::replay([planned(0, "a")]).apply(planned(0, "a")).expect_err("it is planned already");
    assert_eq!(known.why, "a is recorded already");
}

#[test]
fn a_fork_is_cancelled_only_if_something_was_undone_already() {
    let run = RunId::new("r").expect("an id");
    let before = [super::tests::started(), planned(0, "a"), planned(1, "b"), requested()];
    let is_cancelled = |events: &[Event], from: &str| {
        let fork = forked(&run, events, from, 1, 9).expect("there is such an operation");
        fork.contains(&requested())
    };
    let late: Vec<_> = before.iter().cloned().chain([completed(2, "c")]).collect();
    assert!(!is_cancelled(&late, "c"));
    let undone: Vec<_> = before.iter().cloned().chain([completed(1, "b"), completed(2, "c")]).collect();
    assert!(is_cancelled(&undone, "c"));
    assert!(!is_cancelled(&undone, "a"));
}

/// Else a run that is woken by it, when the clock is set back meanwhile, would not be woken by it again.
#[test]
fn r14_a_deadline_is_a_timer_until_the_run_is_to_be_cancelled() {
    let Event::Started(started) = super::tests::started() else { unreachable!("see there") };
    let begun = |started| Replay::of_journal([Event::Started(started)]).expect("a legal journal");
    let mut timed = begun(Started { timeout: Some(7), ..started.clone() });
    assert_eq!((timed.deadline(), timed.is_timer(Position(0))), (Some(Timestamp(7)), true));
    timed.apply(requested()).expect("it was not before");
    assert_eq!((timed.deadline(), timed.is_timer(Position(0))), (None, false));

    let mut later = begun(Started { timeout: Some(7), not_before: Some(3), ..started });
    assert_eq!((later.deadline(), later.is_timer(Position(0))), (None, false));
    later.apply(Event::Begun { at: 5, deadline: Some(12) }).expect("it has not begun");
    assert_eq!((later.deadline(), later.is_timer(Position(1))), (Some(Timestamp(12)), true));
}
