//! Promises: settled once, by whoever is first, and told.

use super::tests::{completed, replay, request, started};
use super::*;
use crate::chance::promise_token;
use crate::journal::{PromiseSettled, PromiseTaken, Settlement, TimerFired, TimerSet};
use crate::payload::Codec;

fn resolution(value: u32) -> Settlement {
    let digest = u64::from(value);
    Settlement::Resolved { value: Payload::encode(Codec::Json, &value, 64).expect("a number can be encoded"), digest }
}

fn rejection(reason: &'static str) -> Settlement {
    Settlement::Rejected(reason.into())
}

fn settled(key: &'static str, settlement: Settlement) -> PromiseSettled {
    PromiseSettled { key: key.into(), settlement, at: 5 }
}

pub(super) fn resolved(key: &'static str, value: u32) -> Event {
    Event::PromiseSettled(settled(key, resolution(value)))
}

fn operation(claim: u32, key: &str) -> Operation {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    Operation { kind: OperationKind::Promise, ..operation }
}

fn taken(claim: u32, key: &str) -> Event {
    Event::PromiseTaken(PromiseTaken { operation: operation(claim, key), at: 9 })
}

fn set(claim: u32, key: &str) -> Event {
    Event::TimerSet(TimerSet { operation: operation(claim, key), due: 7, at: 1 })
}

fn fired(claim: u32, key: &str) -> Event {
    Event::TimerFired(TimerFired { operation: operation(claim, key), at: 8 })
}

fn promise(name: &'static str) -> Request {
    Request { kind: OperationKind::Promise, ..request(name) }
}

#[test]
fn what_somebody_has_made_of_a_promise_is_told_once() {
    let mut replay = replay([set(0, "a"), resolved("a", 1), resolved("b", 2)]);
    assert_eq!(replay.untold().into_iter().collect::<Vec<_>>(), [Position(2), Position(3)]);
    assert_eq!(replay.next_settlement("a"), Some((Position(2), Timestamp(5))));
    assert_eq!(replay.next_settlement("c"), None);
    let claim = replay.claim(promise("a"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing, "what comes from outside is told to nobody by itself");
    assert_eq!(replay.timer(claim), Some(Position(1)));
    replay.apply(taken(0, "a")).expect("it is settled");
    assert_eq!((replay.next_settlement("a"), replay.timer(claim)), (None, None));
    let answer = Answer::Promise(resolution(1));
    assert_eq!(replay.next_delivery(), Delivery::Deliver { claim, answer, replayed: false });
    assert_eq!(replay.untold().into_iter().collect::<Vec<_>>(), [Position(3)]);
}

#[test]
fn a_replay_tells_the_same() {
    let rejected = Event::PromiseSettled(settled("b", rejection("no")));
    let mut replay = replay([rejected, set(0, "a"), taken(1, "b"), fired(0, "a")]);
    let claims = [replay.claim(promise("a")), replay.claim(promise("b"))];
    let answers = [(claims[1], Answer::Promise(rejection("no"))), (claims[0], Answer::Fired)];
    for (claim, answer) in answers {
        assert_eq!(replay.next_delivery(), Delivery::Deliver { claim, answer, replayed: true });
    }
    assert_eq!(replay.end().map(|divergence| divergence.difference), None);
}

/// The first who comes is recorded, and the others are told what he made of it, and when.
#[test]
fn whoever_comes_later_is_told_what_the_promise_is() {
    let rejected = Event::PromiseSettled(settled("b", rejection("no")));
    let replay = replay([resolved("a", 1), rejected, set(0, "c"), fired(0, "c"), set(1, "d"), completed(2, "e")]);
    let judge = |key: &'static str, settlement, token: u128| {
        let token = promise_token(replay.seed(), key) ^ token;
        replay.judge(&Incoming::Promise { settled: settled(key, settlement), token }, 0)
    };
    let is = |state, at, as_asked| Sent::Settled(Settled { state, at: Timestamp(at), as_asked });
    assert_eq!(judge("a", resolution(1), 0), is(PromiseState::Resolved, 5, true));
    assert_eq!(judge("a", resolution(2), 0), is(PromiseState::Resolved, 5, false));
    assert_eq!(judge("a", rejection("no"), 0), is(PromiseState::Resolved, 5, false));
    assert_eq!(judge("b", rejection("no"), 0), is(PromiseState::Rejected, 5, true));
    assert_eq!(judge("b", rejection("never"), 0), is(PromiseState::Rejected, 5, false));
    assert_eq!(judge("c", resolution(1), 0), is(PromiseState::TimedOut, 7, false));
    for open in ["d", "e", "f"] {
        assert_eq!(judge(open, resolution(1), 0), Sent::New, "{open}");
    }
    for key in ["a", "c", "d"] {
        assert_eq!(judge(key, resolution(1), 1), Sent::NoSuchPromise, "whose id was made up: {key}");
    }
}

/// By the replay, and by the judge of whole journals.
#[test]
fn what_no_run_can_have_recorded_of_promises_is_refused() {
    let told = |events: Vec<Event>| {
        let all: Vec<Event> = std::iter::once(started()).chain(events).collect();
        let refused = Replay::of_journal(all.iter().cloned()).expect_err("the journal contradicts itself");
        assert_eq!(Whole::of(&all), Err(refused.clone()));
        refused.to_string()
    };
    let mut signal = operation(0, "a");
    signal.kind = OperationKind::Signal;
    let told = [
        told(vec![resolved("a", 1), resolved("a", 1)]),
        told(vec![resolved("a", 1), Event::PromiseSettled(settled("a", rejection("no")))]),
        told(vec![resolved("a", 1), taken(0, "a"), resolved("a", 1)]),
        told(vec![set(0, "a"), fired(0, "a"), resolved("a", 1)]),
        told(vec![taken(0, "a")]),
        told(vec![resolved("b", 1), taken(0, "a")]),
        told(vec![resolved("a", 1), taken(0, "a"), taken(0, "a")]),
        told(vec![set(0, "a"), resolved("a", 1), fired(0, "a")]),
        told(vec![set(0, "a"), fired(0, "a"), taken(0, "a")]),
        told(vec![fired(0, "a")]),
        told(vec![set(0, "a"), set(0, "a")]),
        told(vec![resolved("a", 1), Event::PromiseTaken(PromiseTaken { operation: signal, at: 0 })]),
    ];
    expect_test::expect![[r#"
        event PromiseSettled at position 2 can't stand there: the promise is settled already
        event PromiseSettled at position 2 can't stand there: the promise is settled already
        event PromiseSettled at position 3 can't stand there: the promise is settled already
        event PromiseSettled at position 3 can't stand there: the promise is settled already
        event PromiseTaken at position 1 can't stand there: a is not settled
        event PromiseTaken at position 2 can't stand there: a is not settled
        event PromiseTaken at position 3 can't stand there: a has its one outcome already
        event TimerFired at position 3 can't stand there: a is settled, and does not fire
        event PromiseTaken at position 3 can't stand there: a has its one outcome already
        event TimerFired at position 1 can't stand there: a was never set
        event TimerSet at position 2 can't stand there: a is set already
        event PromiseTaken at position 2 can't stand there: a is a signal, not a promise"#]]
    .assert_eq(&told.join("\n"));
}

/// That a promise is settled is no progress of the run (R12); taking it is.
#[test]
fn r12_settling_a_promise_is_no_progress() {
    let recovered = || Event::Recovered { code: None, at: 0 };
    assert_eq!(replay([recovered(), resolved("a", 1), recovered()]).recoveries(), 2);
    assert_eq!(replay([recovered(), resolved("a", 1), taken(0, "a")]).recoveries(), 0);
}

/// What is settled wants the run to be woken; its time is not to come any more once that was told.
#[test]
fn a_whole_journal_has_its_promises_among_the_timers() {
    let timers = |events: Vec<Event>| Whole::of(&events).expect("legal").timers.into_iter().collect::<Vec<_>>();
    let both = [(Position(1), Timestamp(7)), (Position(2), Timestamp(5))];
    assert_eq!(timers(vec![started(), set(0, "a"), resolved("a", 1)]), both);
    assert_eq!(timers(vec![started(), set(0, "a"), resolved("a", 1), taken(0, "a")]), both[1..]);
    assert_eq!(timers(vec![started(), set(0, "a"), fired(0, "a")]), []);
}

#[test]
fn what_became_of_a_promise_is_said_in_a_word() {
    let states = [PromiseState::Resolved, PromiseState::Rejected, PromiseState::TimedOut];
    assert_eq!(states.map(|state| state.to_string()).join(", "), "resolved, rejected, timed out");
}
