//! Signals: received, given out, and refused.

use super::tests::{completed, replay, request, started};
use super::*;
use crate::clock::Timestamp;
use crate::journal::{Cancelled, SignalReceived, SignalTaken};
use crate::payload::Codec;

fn value(value: u32) -> Payload {
    Payload::encode(Codec::Json, &value, 64).expect("a number can be encoded")
}

pub(super) fn signal(name: &str, id: Option<&str>, said: u32) -> SignalReceived {
    let id = id.map(|id| id.to_owned().into());
    let at = u64::from(said);
    SignalReceived { name: name.to_owned().into(), id, value: value(said), digest: u64::from(said), at }
}

fn received(name: &str, said: u32) -> Event {
    Event::SignalReceived(signal(name, None, said))
}

pub(super) fn taken(claim: u32, key: &str, received: u64) -> Event {
    let Some(mut operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    operation.kind = OperationKind::Signal;
    Event::SignalTaken(SignalTaken { operation, received, at: 9 })
}

fn wait(name: &'static str) -> Request {
    Request { kind: OperationKind::Signal, ..request(name) }
}

fn given(claim: ClaimNumber, said: u32, replayed: bool) -> Delivery {
    Delivery::Deliver { claim, answer: Answer::Signal(value(said)), replayed }
}

#[test]
fn signals_of_a_name_are_given_out_in_order_and_those_of_others_are_not_touched() {
    let mut replay = replay([received("a", 1), received("b", 2), received("a", 3)]);
    assert_eq!(replay.untold().len(), 3);
    assert_eq!(replay.next_signal("a"), Some((Position(1), Timestamp(1))));
    assert_eq!(replay.next_signal("b"), Some((Position(2), Timestamp(2))));
    assert_eq!(replay.next_signal("c"), None);
    let first = replay.claim(wait("a"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing, "what is received is told to nobody by itself");
    replay.apply(taken(0, "a", 1)).expect("the next one");
    assert_eq!(replay.next_delivery(), given(first, 1, false));
    assert_eq!((replay.delivered(), replay.now()), (Position(5), Timestamp(9)));
    let second = replay.claim(wait("a"));
    assert_eq!(replay.next_signal("a"), Some((Position(3), Timestamp(3))));
    replay.apply(taken(1, "a#2", 3)).expect("the next one");
    assert_eq!(replay.next_delivery(), given(second, 3, false));
    assert_eq!(replay.next_signal("a"), None);
    assert_eq!(replay.untold().into_iter().collect::<Vec<_>>(), [Position(2)]);
}

#[test]
fn a_replay_gives_the_same_signals() {
    let mut replay = replay([received("a", 1), received("a", 2), taken(0, "a", 1), taken(1, "a#2", 2)]);
    let waits = [replay.claim(wait("a")), replay.claim(wait("a"))];
    assert_eq!(replay.next_delivery(), given(waits[0], 1, true));
    assert_eq!(replay.next_delivery(), given(waits[1], 2, true));
    assert_eq!(replay.end().map(|divergence| divergence.difference), None);
}

#[test]
fn one_that_is_sent_again_is_known_by_its_id_and_by_what_it_says() {
    let replay = replay([Event::SignalReceived(signal("a", Some("i"), 1)), received("a", 1)]);
    let judge = |signal, signals_max| replay.judge(&Incoming::Signal(signal), signals_max);
    assert_eq!(judge(signal("a", Some("i"), 1), 2), Sent::Again);
    assert_eq!(judge(signal("a", Some("i"), 2), 2), Sent::Conflicts, "another value");
    assert_eq!(judge(signal("b", Some("i"), 1), 2), Sent::Conflicts, "another name");
    assert_eq!(judge(signal("a", Some("j"), 1), 3), Sent::New);
    assert_eq!(judge(signal("a", None, 1), 3), Sent::New, "without an id, each is another one");
    assert_eq!(judge(signal("a", None, 1), 2), Sent::TooMany);
}

/// By the replay, and by the judge of whole journals.
#[test]
fn what_no_run_can_have_recorded_of_signals_is_refused() {
    let told = |events: Vec<Event>| {
        let all: Vec<Event> = std::iter::once(started()).chain(events).collect();
        let refused = Replay::of_journal(all.iter().cloned()).expect_err("the journal contradicts itself");
        assert_eq!(Whole::of(&all), Err(refused.clone()));
        refused.to_string()
    };
    let with_id = |said| Event::SignalReceived(signal("a", Some("i"), said));
    let told = [
        told(vec![with_id(1), with_id(1)]),
        told(vec![with_id(1), with_id(2)]),
        told(vec![taken(0, "a", 1)]),
        told(vec![received("a", 1), taken(0, "a", 2)]),
        told(vec![received("a", 1), received("a", 2), taken(0, "a", 2)]),
        told(vec![received("a", 1), taken(0, "b", 1)]),
        told(vec![received("a", 1), taken(0, "ab", 1)]),
        told(vec![received("a", 1), taken(0, "a", 1), taken(1, "a#2", 1)]),
        told(vec![received("a", 1), received("a", 2), taken(0, "a", 1), taken(0, "a", 2)]),
        told(vec![received("a", 1), completed(0, "a"), taken(0, "a", 1)]),
    ];
    expect_test::expect![[r#"
        event SignalReceived at position 2 can't stand there: a signal with its id is recorded already
        event SignalReceived at position 2 can't stand there: a signal with its id is recorded already
        event SignalTaken at position 1 can't stand there: what position 1 has is not the next signal for a
        event SignalTaken at position 2 can't stand there: what position 2 has is not the next signal for a
        event SignalTaken at position 3 can't stand there: what position 2 has is not the next signal for a
        event SignalTaken at position 2 can't stand there: what position 1 has is not the next signal for b
        event SignalTaken at position 2 can't stand there: what position 1 has is not the next signal for ab
        event SignalTaken at position 3 can't stand there: what position 1 has is not the next signal for a#2
        event SignalTaken at position 4 can't stand there: a has its one outcome already
        event SignalTaken at position 3 can't stand there: a has its one outcome already"#]]
    .assert_eq(&told.join("\n"));
}

/// A signal is no progress of the run (R12); taking it is.
#[test]
fn r12_what_others_send_is_no_progress() {
    let recovered = || Event::Recovered { code: None, at: 0 };
    assert_eq!(replay([recovered(), received("a", 1), recovered()]).recoveries(), 2);
    assert_eq!(replay([recovered(), received("a", 1), taken(0, "a", 2)]).recoveries(), 0);
}

/// What is received wants the run to be woken, which the store may list as long as it was not seen.
#[test]
fn a_whole_journal_has_its_signals_among_the_timers() {
    let whole = Whole::of(&[started(), received("a", 5), taken(0, "a", 1)]).expect("legal");
    assert_eq!(whole.timers.into_iter().collect::<Vec<_>>(), [(Position(1), Timestamp(5))]);
}

/// A run is cancelled once, and not when it has ended.
#[test]
fn a_run_is_cancelled_only_if_it_has_not_ended() {
    let cancelled = || Cancelled { reason: "enough".to_owned(), at: 0 };
    let judge = |replay: &Replay| replay.judge(&Incoming::Cancel(cancelled()), 0);
    assert_eq!(judge(&replay([received("a", 1)])), Sent::New);
    let ended = replay([Event::Cancelled(cancelled())]);
    assert_eq!((judge(&ended), ended.stage()), (Sent::Again, Stage::Finished));
    let whole = Whole::of(&[started(), Event::Cancelled(cancelled())]).expect("legal");
    assert!(whole.cancelled && !Whole::of(&[started()]).expect("legal").cancelled);
}
