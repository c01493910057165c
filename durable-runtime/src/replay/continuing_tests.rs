//! Continuing as new: what is taken along, what is left behind, and that the rest can't reach what comes then.

use std::collections::BTreeMap;

use super::signal_tests::{signal, taken};
use super::tests::{completed, started};
use super::*;
use crate::chance::child_token;
use crate::journal::{ChildEnd, Kept, Published, Queued, Started};
use crate::payload::Codec;

fn value(number: u64) -> Payload {
    Payload::encode(Codec::Json, &number, 64).expect("a number can be encoded")
}

fn next(number: u64) -> Next {
    Next {
        version: 2,
        fingerprint: 3,
        patches: vec!["new".into()],
        input: value(number),
        input_digest: number,
        at: 1_000,
    }
}

fn first(change: impl FnOnce(&mut Started)) -> Event {
    let Event::Started(mut first) = started() else { panic!("the first event") };
    change(&mut first);
    Event::Started(first)
}

fn published(claim: u32, key: &str, said: u64) -> Event {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    let operation = Operation { kind: OperationKind::Publication, ..operation };
    Event::Published(Published { operation, value: value(said), at: said })
}

/// What goes on, which must be a journal.
fn goes_on(events: &[Event], number: u64) -> Vec<Event> {
    let events = continued(events, next(number)).expect("they begin with Started");
    Replay::of_journal(events.clone()).expect("it can be a run's");
    Whole::of(&events).expect("it can be a run's");
    events
}

fn started_of(events: &[Event]) -> &Started {
    match events.first() {
        Some(Event::Started(started)) => started,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_the_same_run_with_another_input_and_the_present_code() {
    let before = first(|started| {
        (started.at, started.seed, started.correlation) = (10, 7, Some("basket".into()));
        started.tags = BTreeMap::from([("team".into(), "red".into())]);
        (started.input, started.input_digest) = (value(1), 1);
        started.timeout = Some(5_000);
    });
    let events = goes_on(&[before, completed(0, "a"), completed(1, "b")], 2);
    let after = started_of(&events);
    assert_eq!(events.len(), 1, "what it has done is gone");
    assert_eq!((&*after.function, after.version, after.fingerprint), ("f", 2, 3));
    assert_eq!(
        (&after.input, after.input_digest, after.at, &*after.patches),
        (&value(2), 2, 1_000, &["new".into()][..])
    );
    assert_eq!((after.correlation.as_deref(), after.tags.len()), (Some("basket"), 1));
    assert_eq!((after.first_digest(), &*after.first_input(), after.created_at()), (1, "1", Timestamp(10)));
    assert_eq!((after.part(), after.deadline(after.at)), (2, Some(5_010)), "its time goes on to run");
    let third = goes_on(&events, 3);
    let third = started_of(&third);
    assert_eq!((third.part(), third.first_digest(), third.created_at()), (3, 1, Timestamp(10)));
    assert_eq!(third.deadline(third.at), Some(5_010));
    let seeds = [7, after.seed, third.seed];
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2], "{seeds:?}");
}

#[test]
fn one_whose_time_is_up_ends_at_once() {
    let before = first(|started| started.timeout = Some(5));
    let events = goes_on(&[before], 2);
    assert_eq!(started_of(&events).deadline(1_000), Some(1_000));
}

#[test]
fn its_place_in_a_queue_and_its_deadline_stay() {
    let queued = Queued { name: "mail".into(), priority: 1, key: Some("ada".into()) };
    let before = first(|started| (started.queue, started.timeout) = (Some(Box::new(queued.clone())), Some(50)));
    let begun = Event::Begun { at: 20, deadline: Some(70) };
    let events = goes_on(&[before, begun.clone(), completed(0, "a")], 2);
    assert_eq!(started_of(&events).queue.as_deref(), Some(&queued));
    assert_eq!(events[1..], [begun]);
    let replay = Replay::of_journal(events).expect("legal");
    assert_eq!(
        (replay.stage(), replay.deadline(), replay.now()),
        (Stage::Running, Some(Timestamp(70)), Timestamp(1_000))
    );
}

#[test]
fn signals_that_were_not_taken_go_along_in_their_order() {
    let received = |name, id, said| Event::SignalReceived(signal(name, id, said));
    let before = [
        started(),
        received("a", None, 1),
        received("b", Some("b1"), 2),
        received("a", None, 3),
        taken(0, "a", 1),
        received("a", Some("a3"), 4),
    ];
    let events = goes_on(&before, 2);
    assert_eq!(events[1..], [received("b", Some("b1"), 2), received("a", None, 3), received("a", Some("a3"), 4)]);
    let replay = Replay::of_journal(events).expect("legal");
    assert_eq!(replay.next_signal("a"), Some((Position(2), Timestamp(3))));
    let again = Incoming::Signal(signal("a", Some("a3"), 4));
    assert_eq!(replay.judge(&again, 10), Sent::Again);
}

#[test]
fn a_signal_that_was_taken_is_known_when_it_is_sent_again() {
    let received = |id, said| Event::SignalReceived(signal("a", Some(id), said));
    let mut events = vec![started(), received("first", 1), taken(0, "a", 1)];
    for part in 2..5 {
        events = goes_on(&events, part);
        let replay = Replay::of_journal(events.clone()).expect("legal");
        let judged = |id, said| replay.judge(&Incoming::Signal(signal("a", Some(id), said)), 10);
        assert_eq!(
            (judged("first", 1), judged("first", 2), judged("other", 1)),
            (Sent::Again, Sent::Conflicts, Sent::New)
        );
        assert_eq!(replay.next_signal("a"), None);
        assert!(continued(&events, next(9)).is_some_and(|events| started_of(&events).continued.is_some()));
        let mut again = Replay::of_journal(events.clone()).expect("legal");
        again.apply(received("first", 1)).expect_err("it was taken in another part");
    }
}

#[test]
fn the_newest_thousand_are_remembered() {
    let mut events = vec![started()];
    for number in 0..1_200_u32 {
        let position = events.len() as u64;
        events.push(Event::SignalReceived(signal("a", Some(&format!("id {number}")), number)));
        let key = if number == 0 { "a".to_owned() } else { format!("a#{}", number + 1) };
        events.push(taken(number, &key, position));
    }
    let events = goes_on(&events, 2);
    let signals = &started_of(&events).continued.as_ref().expect("it has").signals;
    assert_eq!((signals.len(), &*signals[0].id, &*signals[999].id), (1_000, "id 200", "id 1199"));
}

#[test]
fn the_latest_value_of_each_name_goes_along_and_the_numbers_go_on() {
    let before = [
        started(),
        published(0, "stage", 1),
        published(1, "stage#2", 2),
        published(2, "percent", 3),
        completed(3, "a"),
    ];
    let kept = |name: &str, number, said| {
        Event::Kept(Kept { name: name.to_owned().into(), number, value: value(said), published_at: said, at: 1_000 })
    };
    let mut events = goes_on(&before, 2);
    assert_eq!(events[1..], [kept("percent", 0, 3), kept("stage", 1, 2)]);
    events.push(published(0, "stage", 4));
    let events = goes_on(&events, 3);
    assert_eq!(events[1..], [kept("percent", 0, 3), kept("stage", 2, 4)]);
}

/// The peers' case: the end of something from before says nothing to what comes then.
#[test]
fn continue_as_new_ignores_old_completions() {
    let before = Replay::of_journal([started()]).expect("legal");
    let events = goes_on(&[started()], 2);
    let replay = Replay::of_journal(events).expect("legal");
    let of_before = before.as_parent("r", &"child".into(), true);
    assert_eq!(of_before.token, child_token(before.seed(), "child"));
    let end = ChildEnd::Cancelled { reason: String::new() };
    let ended = Incoming::Child(EndOfChild { parent: of_before.clone(), end, at: 1 });
    assert_eq!(replay.judge(&ended, 10), Sent::NoSuchChild);
    assert_ne!(replay.as_parent("r", &"child".into(), true), of_before);
}

#[test]
fn only_a_run_that_has_continued_as_new_has_kept_something() {
    let kept = Event::Kept(Kept { name: "a".into(), number: 0, value: value(1), published_at: 0, at: 0 });
    let mut replay = Replay::of_journal([started()]).expect("legal");
    replay.apply(kept.clone()).expect_err("it has not");
    let mut replay = Replay::of_journal(goes_on(&[started()], 2)).expect("legal");
    replay.apply(kept.clone()).expect("at its beginning");
    replay.apply(kept.clone()).expect("of as many names as it likes");
    replay.apply(completed(0, "a")).expect("it goes on");
    replay.apply(kept).expect_err("it has begun");
}

#[test]
fn what_does_not_begin_a_run_does_not_continue() {
    assert_eq!(continued(&[], next(1)), None);
    assert_eq!(continued(&[completed(0, "a")], next(1)), None);
}
