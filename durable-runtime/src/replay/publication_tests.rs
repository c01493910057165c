//! Publications: recorded once, compared on replay, and told to nobody.

use super::tests::{completed, replay, request, started};
use super::*;
use crate::journal::Published;
use crate::payload::Codec;

fn published(claim: u32, key: &str) -> Event {
    let Some(operation) = completed(claim, key).operation().cloned() else { panic!("an operation") };
    let operation = Operation { kind: OperationKind::Publication, ..operation };
    Event::Published(Published { operation, value: value(r#""begun""#), at: 9 })
}

fn value(json: &str) -> Payload {
    Payload::of_parts(Codec::Json, json.as_bytes().to_vec())
}

fn publication(name: &'static str) -> Request {
    Request { kind: OperationKind::Publication, ..request(name) }
}

#[test]
fn nobody_is_told_of_a_publication_and_it_is_not_left_over() {
    let mut replay = replay([published(0, "a"), completed(1, "b"), published(2, "a#2")]);
    let claim = replay.claim(publication("a"));
    let step = replay.claim(request("b"));
    assert!(replay.is_recorded(claim) && replay.is_completed(claim) && replay.is_repeating());
    assert!(matches!(replay.next_delivery(), Delivery::Deliver { claim, .. } if claim == step));
    assert!(replay.is_repeating(), "another publication is recorded");
    replay.claim(publication("a"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert!(!replay.is_repeating());
    assert_eq!(replay.now(), Timestamp(0), "the code was not told of it");
}

/// R9.
#[test]
fn r09_a_recorded_publication_that_is_not_asked_for_is_missed() {
    for returns in [false, true] {
        let mut replay = replay([published(0, "a"), published(1, "a#2")]);
        replay.claim(publication("a"));
        let divergence = if returns {
            replay.end()
        } else {
            match replay.next_delivery() {
                Delivery::Diverged(divergence) => Some(*divergence),
                other => panic!("{other:?}"),
            }
        };
        let divergence = divergence.expect("the second one is missing");
        let expected = if returns { Difference::LeftOver } else { Difference::NotClaimed };
        assert_eq!((divergence.difference, divergence.key().as_deref()), (expected, Some("a#2")));
    }
}

#[test]
fn r09_another_value_or_another_kind_of_operation_is_a_divergence() {
    let claims = [
        (Request { digest: 77, ..publication("a") }, Difference::Arguments),
        (request("a"), Difference::Kind),
        (publication("b"), Difference::Key),
    ];
    for (claimed, expected) in claims {
        let mut replay = replay([published(0, "a")]);
        let claim = replay.claim(claimed);
        if expected == Difference::Arguments {
            assert!(replay.differs(claim));
        }
        let Delivery::Diverged(divergence) = replay.next_delivery() else { panic!("{expected:?}") };
        assert_eq!(divergence.difference, expected);
        if expected == Difference::Arguments {
            let recorded = divergence.recorded.and_then(|(_, operation)| operation.arguments);
            assert_eq!(recorded.map(|arguments| arguments.to_string()).as_deref(), Some(r#"["begun"]"#));
        }
    }
}

#[test]
fn a_publication_is_recorded_once_and_has_nothing_else() {
    let mut replay = replay([published(0, "a"), completed(1, "b")]);
    let told = |illegal: Illegal| illegal.why;
    let again = replay.apply(published(0, "a")).map_err(told);
    assert_eq!(again, Err("a has its one outcome already".to_owned()));
    let other = replay.apply(published(2, "a")).map_err(told);
    assert_eq!(other, Err("the key a belongs to claim 0, not 2".to_owned()));
    let step = replay.apply(published(1, "b")).map_err(told);
    assert_eq!(step, Err("b has its one outcome already".to_owned()));
    let Event::Published(new) = published(2, "c") else { unreachable!() };
    let kind = Published { operation: Operation { kind: OperationKind::Step, ..new.operation }, ..new };
    let kind = replay.apply(Event::Published(kind)).map_err(told);
    assert_eq!(kind, Err("c is a step, not a publication".to_owned()));
    replay.apply(published(2, "c")).expect("a new one");
}

/// R12: what is published is progress, and can be so only once.
#[test]
fn r12_a_publication_is_progress() {
    let mut replay = Replay::of_journal([started(), Event::Recovered { code: None, at: 1 }]).expect("a journal");
    assert_eq!(replay.recoveries(), 1);
    replay.apply(published(0, "a")).expect("it is legal");
    assert_eq!(replay.recoveries(), 0);
}

#[test]
fn by_key_a_publication_that_is_gone_is_passed_over() {
    let mut replay = replay([published(0, "a"), published(1, "a#2"), published(2, "b")]);
    replay.match_by_key();
    let new = replay.claim(publication("new"));
    let b = replay.claim(publication("b"));
    let a = replay.claim(publication("a"));
    replay.seal();
    assert_eq!([new, b, a].map(|claim| replay.is_recorded(claim)), [false, true, true]);
    assert_eq!(replay.operation(new).map(|operation| operation.claim), Some(3), "above all recorded ones");
    assert_eq!(replay.end(), None);
}

#[test]
fn a_long_value_is_shown_as_long_arguments_are() {
    let long = format!("\"{}\"", "ä".repeat(1_000));
    let shown = Arguments::of_recorded(&value(&long)).expect("it is JSON");
    assert_eq!(Some(shown.to_string()), Arguments::of(&("ä".repeat(1_000),)).map(|shown| shown.to_string()));
    assert!(Arguments::of_recorded(&Payload::of_parts(Codec::Bincode, vec![7])).is_none());
}
