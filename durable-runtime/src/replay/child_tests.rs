//! Children: started once, and what is made of the end of one.

use super::tests::{completed, replay, request, started};
use super::*;
use crate::chance::child_token;
use crate::halt::HaltReason;
use crate::journal::{ChildEnd, ChildEnded, ChildStarted, Halted};

fn operation(claim: u32, key: &str) -> Operation {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    Operation { kind: OperationKind::Child, ..operation }
}

fn asked(claim: u32, key: &'static str, attached: bool) -> Event {
    let (child, function) = (format!("r:{key}").into(), "f".into());
    Event::ChildStarted(ChildStarted { operation: operation(claim, key), child, function, attached, at: 1 })
}

fn end() -> ChildEnd {
    ChildEnd::Cancelled { reason: "lost".to_owned() }
}

fn ended(claim: u32, key: &str) -> Event {
    Event::ChildEnded(ChildEnded { operation: operation(claim, key), end: end(), at: 4 })
}

fn child(name: &'static str) -> Request {
    Request { kind: OperationKind::Child, ..request(name) }
}

fn end_of(replay: &Replay, key: &'static str, token: u128) -> Incoming {
    let token = child_token(replay.seed(), key) ^ token;
    let parent = Parent { run: "r".into(), key: key.into(), token, attached: true };
    Incoming::Child(EndOfChild { parent, end: end(), at: 4 })
}

#[test]
fn the_end_of_a_child_is_told_once_and_a_replay_tells_the_same() {
    let mut live = replay([asked(0, "a", true)]);
    let claim = live.claim(child("a"));
    assert_eq!(live.next_delivery(), Delivery::Nothing);
    assert!(live.has_open_children() && !live.is_completed(claim));
    assert_eq!((live.begun(claim), live.begun_at(claim)), (Begun::Before, Some(Position(1))));
    let incoming = end_of(&live, "a", 0);
    assert_eq!(live.judge(&incoming, 0), Sent::New);
    let event = live.event_of(incoming.clone(), true).expect("it has such a child");
    assert_eq!(event, ended(0, "a"));
    live.apply(event).expect("it was started");
    assert!(!live.has_open_children());
    assert_eq!(live.judge(&incoming, 0), Sent::Again);
    let answer = Answer::Child(end());
    assert_eq!(live.next_delivery(), Delivery::Deliver { claim, answer: answer.clone(), replayed: false });

    let mut again = replay([asked(0, "a", true), ended(0, "a")]);
    let claim = again.claim(child("a"));
    assert_eq!(again.next_delivery(), Delivery::Deliver { claim, answer, replayed: true });
}

/// One that had this run's id before, or that was started by something else, is none of its business.
#[test]
fn the_end_of_a_strangers_child_is_not_recorded() {
    let replay = replay([asked(0, "a", true), completed(1, "b"), asked(2, "c", false)]);
    assert_eq!(replay.judge(&end_of(&replay, "a", 1), 0), Sent::NoSuchChild, "of another run of this id");
    assert_eq!(replay.judge(&end_of(&replay, "b", 0), 0), Sent::NoSuchChild, "that is a step");
    assert_eq!(replay.judge(&end_of(&replay, "d", 0), 0), Sent::NoSuchChild, "nobody has asked for it");
    assert_eq!(replay.judge(&end_of(&replay, "c", 0), 0), Sent::Again, "nobody waits for one that is not attached");
    assert!(replay.has_open_children());
    let parent = replay.as_parent("r", &Arc::from("a"), true);
    assert_eq!(Incoming::Child(EndOfChild { parent, end: end(), at: 4 }), end_of(&replay, "a", 0));
}

#[test]
fn the_children_that_have_not_ended_are_known_from_the_journal() {
    let events =
        [started(), asked(0, "a", true), asked(1, "b", true), asked(2, "c", false), ended(0, "a"), asked(3, "d", true)];
    assert_eq!(open_children(&events), ["r:b", "r:d"]);
}

/// By the replay, and by the judge of whole journals.
#[test]
fn what_no_run_can_have_recorded_of_children_is_refused() {
    let told = |events: Vec<Event>| {
        let all: Vec<Event> = std::iter::once(started()).chain(events).collect();
        let refused = Replay::of_journal(all.iter().cloned()).expect_err("the journal contradicts itself");
        assert_eq!(Whole::of(&all), Err(refused.clone()));
        refused.why
    };
    assert_eq!(told(vec![ended(0, "a")]), "a was never started");
    assert_eq!(told(vec![asked(0, "a", true), asked(0, "a", true)]), "a is started already");
    assert_eq!(told(vec![asked(0, "a", true), ended(0, "a"), ended(0, "a")]), "a has its one outcome already");
    assert_eq!(told(vec![asked(0, "a", false), ended(0, "a")]), "a has its one outcome already");
    let mut step = operation(0, "a");
    step.kind = OperationKind::Step;
    let stranger = Event::ChildEnded(ChildEnded { operation: step, end: end(), at: 4 });
    assert_eq!(told(vec![asked(0, "a", true), stranger]), "a is a step, not a child run");
}

/// A halted run is told, too; and it counts as progress (R12) that a child has ended.
#[test]
fn a_halted_run_is_told_of_the_end_of_a_child() {
    let halted = Halted { reason: HaltReason::Panic, step: None, message: String::new(), at: 0 };
    let replay = replay([asked(0, "a", true), Event::Halted(halted), ended(0, "a")]);
    assert_eq!((replay.stage(), replay.is_timer(Position(3))), (Stage::Halted, false));
    let recovered = || Event::Recovered { code: None, at: 0 };
    let events = [started(), asked(0, "a", true), recovered(), recovered(), ended(0, "a"), recovered()];
    assert_eq!(Replay::of_journal(events).expect("a legal journal").recoveries(), 1);
}

/// Who has started whom is known from the journal; the record of an end does not repeat with what the child was asked for.
#[test]
fn a_run_knows_its_parent_and_what_it_has_started() {
    let parent = Parent { run: "p".into(), key: "k".into(), token: 7, attached: true };
    let Event::Started(begun) = started() else { panic!("it is the beginning") };
    let begun = Event::Started(crate::journal::Started { parent: Some(parent.clone()), ..begun });
    let arguments = Arguments::of(&("apples",));
    let Event::ChildStarted(asked) = asked(0, "a", true) else { panic!("a child") };
    let operation = Operation { arguments: arguments.clone(), ..asked.operation };
    assert!(arguments.is_some());
    let first = Event::ChildStarted(ChildStarted { operation, ..asked });
    let mut replay = Replay::of_journal([begun, first, completed(1, "b")]).expect("a legal journal");
    assert_eq!(replay.parent(), Some(&parent));
    let event = replay.event_of(end_of(&replay, "a", 0), true).expect("it has such a child");
    assert_eq!(event, ended(0, "a"));
    let (child, step) = (replay.claim(child("a")), replay.claim(request("b")));
    assert_eq!((replay.child(child), replay.child(step)), (Some("r:a"), None));
    assert_eq!(super::tests::replay([]).parent(), None);
}
