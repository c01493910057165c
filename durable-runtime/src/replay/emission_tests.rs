//! What was emitted: who is to deliver it, and until when.

use super::tests::{completed, replay, started};
use super::*;
use crate::journal::{ChildStarted, Emitted, Fork, Started};
use crate::payload::Codec;

fn operation(claim: u32, key: &str) -> Operation {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    Operation { kind: OperationKind::Emission, ..operation }
}

fn emitted(claim: u32, key: &str, said: u32) -> Event {
    let value = Payload::encode(Codec::Json, &said, 64).expect("a number can be encoded");
    Event::Emitted(Emitted { operation: operation(claim, key), value, at: u64::from(said) })
}

fn delivered(claim: u32, key: &str, attached: bool) -> Event {
    let (operation, child, function) = (operation(claim, key), "r:a".into(), "f".into());
    Event::ChildStarted(ChildStarted { operation, child, function, attached, at: 0 })
}

fn keys<'a>(emissions: impl IntoIterator<Item = &'a Emission>) -> Vec<(String, u64)> {
    emissions.into_iter().map(|emission| (emission.operation.key.to_string(), emission.at)).collect()
}

#[test]
fn an_emission_is_open_until_its_delivery_is_a_run() {
    let events = [emitted(0, "a", 1), completed(1, "b"), emitted(2, "a#2", 2), delivered(0, "a", false)];
    for (length, expected) in [(0, vec![]), (1, vec![("a", 1)]), (3, vec![("a", 1), ("a#2", 2)]), (4, vec![("a#2", 2)])]
    {
        let expected: Vec<_> = expected.into_iter().map(|(key, at)| (key.to_owned(), at)).collect();
        let prefix: Vec<Event> = [started()].into_iter().chain(events[..length].iter().cloned()).collect();
        assert_eq!(keys(&undelivered(&prefix)), expected, "of the events");
        assert_eq!(keys(replay(events[..length].iter().cloned()).emissions()), expected, "of the replay");
        Whole::of(&prefix).expect("it can be a run's");
    }
}

#[test]
fn what_no_run_can_have_recorded_of_emissions_is_refused() {
    let mut replay = replay([emitted(0, "a", 1), completed(1, "b")]);
    let mut refuses = |event: Event, why: &str| {
        let illegal = replay.apply(event).expect_err(why);
        assert!(illegal.why.contains(why), "{illegal}");
    };
    refuses(emitted(0, "a", 1), "emitted already");
    refuses(delivered(2, "c", false), "never emitted");
    refuses(delivered(0, "a", true), "never emitted");
    refuses(delivered(1, "b", false), "one outcome already");
    replay.apply(delivered(0, "a", false)).expect("it is delivered");
    replay.apply(delivered(0, "a", false)).expect_err("twice");
    assert_eq!(replay.emissions().count(), 0);
}

#[test]
fn what_a_fork_has_from_another_run_is_for_that_one_to_deliver() {
    let Event::Started(first) = started() else { panic!("the first event") };
    let fork = Fork { run: "r".into(), from: "c".into(), records: 3, seed: 0, at: 0 };
    let started = Event::Started(Started { forks: vec![fork], ..first });
    let events = [started, emitted(0, "a", 1), completed(1, "b"), emitted(2, "a#2", 2)];
    assert_eq!(keys(&undelivered(&events)), [("a#2".to_owned(), 2)]);
    assert_eq!(keys(Replay::of_journal(events).expect("legal").emissions()), [("a#2".to_owned(), 2)]);
}

#[test]
fn an_emission_is_compared_as_every_operation_is() {
    let mut replay = replay([emitted(0, "a", 1)]);
    let site = operation(0, "a").site;
    let claim = replay.claim(Request { name: "a".into(), kind: OperationKind::Publication, digest: 0, site });
    replay.seal();
    assert!(replay.is_recorded(claim));
    let divergence = replay.end().expect("it was no publication");
    assert_eq!(divergence.difference, Difference::Kind);
}
