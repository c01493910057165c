//! Forks: who the code is told to be, while it asks for what those before had asked for and is told what they were.

use super::tests::{attempt_failed, completed, delivers, request, started};
use super::*;
use crate::id::RunId;
use crate::journal::{
    ChildEnd, ChildEnded, ChildStarted, Fork, PromiseSettled, PromiseTaken, Settlement, SignalReceived, SignalTaken,
};
use crate::payload::Codec;

/// Forked from `s`, behind four records, which was forked from `r`, behind two. Of the second the outcome is not recorded.
fn forked_twice() -> Replay {
    let fork = |run: &'static str, records, seed, at| Fork { run: run.into(), from: "x".into(), records, seed, at };
    let Event::Started(begun) = started() else { panic!("it is the beginning") };
    let forks = vec![fork("r", 3, 10, 50), fork("s", 5, 20, 90)];
    let begun = Event::Started(crate::journal::Started { forks, seed: 30, ..begun });
    let behind =
        [completed(0, "a"), attempt_failed(1, "b", 1), completed(2, "c"), completed(3, "d"), completed(4, "e")];
    Replay::of_journal(std::iter::once(begun).chain(behind)).expect("a legal journal")
}

fn is(replay: &Replay, life: usize, seed: u128, now: u64) {
    assert_eq!((replay.told(), replay.now()), (Told { life, seed }, Timestamp(now)));
}

#[test]
fn the_code_is_who_it_was_while_it_asks_for_or_is_told_the_same() {
    let mut replay = forked_twice();
    assert_eq!(replay.lives(), ["r", "s"].map(|run| RunId::new(run).ok()));
    is(&replay, 0, 10, 0);
    let first = replay.claim(request("a"));
    is(&replay, 0, 10, 0);
    delivers(&mut replay, first);
    // It has not asked for the second one, which was asked for then.
    is(&replay, 0, 10, 0);
    replay.claim(request("b"));
    is(&replay, 1, 20, 50);

    let mut replay = forked_twice();
    let (first, _) = (replay.claim(request("a")), replay.claim(request("b")));
    // It was not told of the first one.
    is(&replay, 0, 10, 0);
    delivers(&mut replay, first);
    is(&replay, 1, 20, 50);
    let (third, fourth) = (replay.claim(request("c")), replay.claim(request("d")));
    delivers(&mut replay, third);
    is(&replay, 1, 20, 50);
    delivers(&mut replay, fourth);
    is(&replay, 2, 30, 90);
}

/// Changed code asks for what it likes; only what it was told counts.
#[test]
fn by_key_the_code_is_who_it_was_while_it_is_told_the_same() {
    let mut replay = forked_twice();
    replay.match_by_key();
    let first = replay.claim(request("a"));
    is(&replay, 0, 10, 0);
    delivers(&mut replay, first);
    is(&replay, 1, 20, 50);
}

#[test]
fn a_run_that_is_no_fork_is_itself() {
    let replay = super::tests::replay([completed(0, "a")]);
    assert!(replay.lives().is_empty());
    is(&replay, 0, 0, 0);
}

fn of(claim: u32, key: &str, kind: OperationKind) -> Operation {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    Operation { kind, ..operation }
}

fn received(name: &'static str) -> Event {
    let value = Payload::of_parts(Codec::Json, b"7".to_vec());
    Event::SignalReceived(SignalReceived { name: name.into(), id: None, value, digest: 0, at: 0 })
}

fn taken(claim: u32, key: &str, received: u64) -> Event {
    Event::SignalTaken(SignalTaken { operation: of(claim, key, OperationKind::Signal), received, at: 0 })
}

fn asked(claim: u32, key: &str, attached: bool) -> Event {
    let (child, function) = ("c".into(), "f".into());
    let operation = of(claim, key, OperationKind::Child);
    Event::ChildStarted(ChildStarted { operation, child, function, attached, at: 0 })
}

/// What a fork from there has behind its beginning, and what it says of the runs that it was forked from.
fn kept(events: &[Event], from: &str) -> (Vec<Event>, Vec<(String, u64)>) {
    let run = RunId::new("r").expect("an id");
    let mut fork = forked(&run, events, from, 1, 9).expect("there is such an operation");
    let behind = fork.split_off(1);
    let Some(Event::Started(begun)) = fork.pop() else { panic!("it is the beginning") };
    (behind, begun.forks.into_iter().map(|fork| (fork.run.to_string(), fork.records)).collect())
}

#[test]
fn what_was_sent_for_the_operation_is_left_out_and_the_rest_keeps_its_place() {
    let settled = |key: &'static str| {
        let settlement = Settlement::Rejected("no".into());
        Event::PromiseSettled(PromiseSettled { key: key.into(), settlement, at: 0 })
    };
    let told =
        |claim, key| Event::PromiseTaken(PromiseTaken { operation: of(claim, key, OperationKind::Promise), at: 0 });
    let events = [started(), received("t"), received("s"), settled("p"), taken(0, "s", 2), told(1, "p")];
    assert_eq!(kept(&events, "s").0, [received("t"), settled("p")]);
    assert_eq!(kept(&events, "p").0, [received("t"), received("s"), taken(0, "s", 2)]);
}

#[test]
fn a_child_that_had_not_ended_is_left_out_and_what_is_behind_it_moves_up() {
    let ended = Event::ChildEnded(ChildEnded {
        operation: of(1, "b", OperationKind::Child),
        end: ChildEnd::Cancelled { reason: "lost".to_owned() },
        at: 0,
    });
    let (open, over, detached) = (asked(0, "a", true), asked(1, "b", true), asked(2, "c", false));
    let events = [
        started(),
        open,
        over.clone(),
        ended.clone(),
        detached.clone(),
        received("s"),
        taken(3, "s", 5),
        completed(4, "x"),
    ];
    assert_eq!(kept(&events, "x").0, [over, ended, detached, received("s"), taken(3, "s", 4)]);
}

#[test]
fn a_fork_is_of_those_of_whom_it_has_something() {
    let fork = |run: &'static str, records| Fork { run: run.into(), from: "x".into(), records, seed: 0, at: 0 };
    let Event::Started(begun) = started() else { panic!("it is the beginning") };
    let forks = vec![fork("o", 2), fork("p", 2), fork("q", 9)];
    let begun = Event::Started(crate::journal::Started { forks, ..begun });
    let events = [begun, completed(0, "a"), completed(1, "b"), completed(2, "c")];
    let expected = [("o", 2), ("q", 3), ("r", 3)].map(|(run, records)| (run.to_owned(), records));
    assert_eq!(kept(&events, "c").1, expected);
}
