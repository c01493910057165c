//! Which path of a patch a run takes: of its journal, at each place where it may be cut.

use expect_test::expect;

use super::tests::{attempt_failed, completed, delivers, diverges, request, started};
use super::*;
use crate::function::OnChange;
use crate::id::RunId;
use crate::journal::{Patched, Started};

fn replay(events: impl IntoIterator<Item = Event>) -> Replay {
    Replay::of_journal(std::iter::once(started()).chain(events)).expect("a legal journal")
}

fn marker() -> Event {
    Event::Patched(Patched { id: "p".into(), at: 0 })
}

/// Asks as `ctx.patched` does.
fn patched(replay: &mut Replay) -> bool {
    match replay.patch("p", 9) {
        Path::New => true,
        Path::Old => false,
        Path::TooMany => panic!("too many patches"),
        Path::NewIfRecorded => {
            replay.apply(marker()).expect("a legal marker");
            true
        }
    }
}

/// Claims a step, and takes its delivery if it is recorded.
fn step(replay: &mut Replay, name: &'static str) {
    let claim = replay.claim(request(name));
    if replay.is_completed(claim) {
        delivers(replay, claim);
    }
}

#[test]
fn a_run_of_a_program_that_has_the_patch_takes_the_new_path_whatever_is_recorded() {
    let Event::Started(old) = started() else { panic!("the first event") };
    let started = Event::Started(Started { patches: vec!["o".into(), "p".into()], ..old });
    for events in [vec![], vec![completed(0, "a")], vec![completed(0, "a"), completed(1, "b")]] {
        let mut replay = Replay::of_journal(std::iter::once(started.clone()).chain(events)).expect("legal");
        assert_eq!(replay.patch("p", 9), Path::New, "and nothing is recorded of it");
        step(&mut replay, "a");
        assert_eq!(replay.patch("p", 9), Path::New);
    }
}

#[test]
fn the_patches_that_the_program_of_a_run_had_are_those_that_are_recorded() {
    let Event::Started(old) = started() else { panic!("the first event") };
    let started = Event::Started(Started { patches: vec!["o".into()], ..old });
    let mut replay = Replay::of_journal([started, completed(0, "a"), completed(1, "b")]).expect("legal");
    step(&mut replay, "a");
    assert_eq!(replay.patch("o", 9), Path::New);
    assert_eq!(replay.patch("p", 9), Path::Old, "another one than the program had");
}

/// The code: a, then either b, or the patch's new path.
#[test]
fn an_older_run_takes_the_new_path_only_if_it_recorded_nothing_beyond_that_place() {
    let journals = [
        (vec![], true),
        (vec![completed(0, "a")], true),
        (vec![completed(0, "a"), attempt_failed(1, "b", 1)], false),
        (vec![completed(0, "a"), completed(1, "b")], false),
        (vec![completed(0, "a"), completed(1, "b"), completed(2, "c")], false),
    ];
    for (events, expected) in journals {
        let told = format!("{events:?}");
        let mut replay = replay(events);
        step(&mut replay, "a");
        assert_eq!(patched(&mut replay), expected, "{told}");
    }
}

#[test]
fn a_marker_anywhere_in_the_journal_means_the_new_path() {
    for marked in 0..3 {
        let mut events = vec![completed(0, "a"), completed(1, "b")];
        events.insert(marked, marker());
        let mut replay = replay(events);
        step(&mut replay, "a");
        assert_eq!(replay.patch("p", 9), Path::New);
        step(&mut replay, "b");
        assert_eq!(replay.next_delivery(), Delivery::Nothing, "a marker is not delivered, and nobody need ask for it");
    }
}

#[test]
fn a_marker_needs_no_question() {
    let mut replay = replay([marker(), completed(0, "a")]);
    step(&mut replay, "a");
    assert_eq!(replay.end(), None);
}

#[test]
fn the_first_answer_stays() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    step(&mut replay, "a");
    assert!(!patched(&mut replay), "b is ahead");
    step(&mut replay, "b");
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert!(!patched(&mut replay), "though nothing is ahead any more");
    assert!(matches!(replay.patch("another", 9), Path::NewIfRecorded));
}

/// The code: two branches, a and b, of which each asks when its step is done.
#[test]
fn concurrent_branches_get_one_answer() {
    let both = |events: Vec<Event>| {
        let mut replay = replay(events);
        let claims = ["a", "b"].map(|name| replay.claim(request(name)));
        let mut answers = Vec::new();
        while let Delivery::Deliver { claim, .. } = replay.next_delivery() {
            assert!(claims.contains(&claim));
            answers.push(patched(&mut replay));
        }
        answers
    };
    assert_eq!(both(vec![completed(0, "a")]), [true]);
    assert_eq!(both(vec![completed(0, "a"), completed(1, "b")]), [false, false], "older code went on behind a");
    assert_eq!(both(vec![completed(1, "b"), marker(), completed(0, "a")]), [true, true]);
}

#[test]
fn a_patch_is_recorded_once_and_while_the_run_goes_on() {
    let mut replay = replay([marker()]);
    let illegal = replay.apply(marker()).expect_err("the second marker of a patch");
    expect!["event Patched at position 2 can't stand there: the patch is recorded already"]
        .assert_eq(&illegal.to_string());
    replay.apply(Event::Patched(Patched { id: "q".into(), at: 0 })).expect("another patch");
}

#[test]
fn a_patch_is_no_progress() {
    let recovered = || Event::Recovered { code: None, at: 0 };
    assert_eq!(replay([recovered(), marker(), recovered()]).recoveries(), 2);
}

#[test]
fn no_step_begins_behind_a_retired_patch() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    step(&mut replay, "a");
    assert!(!patched(&mut replay));
    step(&mut replay, "b");
    let live = replay.claim(request("live"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    replay.apply(completed(live, "live")).expect("it is legal");
    assert!(matches!(replay.next_delivery(), Delivery::Deliver { .. }));
    replay.retired_patch("p");
    let next = replay.claim(request("c"));
    assert_eq!(replay.begin(next), Begin::Wait, "it is live, and yet has diverged");
    diverges(&mut replay, Difference::RetiredPatch("p"));
    assert!(replay.end().is_some());
}

#[test]
fn the_message_of_a_retired_patch() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    step(&mut replay, "a");
    assert!(!patched(&mut replay));
    replay.retired_patch("p");
    let change = CodeChange {
        function: "checkout",
        versions: (1, 1),
        fingerprints: (1, 2),
        since: None,
        on_change: OnChange::Halt,
        call_sites: &[],
    };
    let divergence = diverges(&mut replay, Difference::RetiredPatch("p"));
    expect![[r#"
        run `ord_abc123` of `checkout` can't go on: it took the old path of patch `p`, and its code has only the new one
          recorded: step `b` at src/f.rs:2:5, record 3 of 3
          latest:   step `a` at src/f.rs:9:5
          cause:    the run was beyond `ctx.deprecate_patch("p")` before there was a patch `p`, and goes on as it began
          do this:  bring the old path back, `if ctx.patched("p") { … } else { … }`, for as long as there are runs like this one, deploy that, then resume the run"#]].assert_eq(&divergence.explain(&RunId::new("ord_abc123").expect("an id"), &change));
}

#[test]
fn too_many_patches_have_no_answer_and_those_before_keep_theirs() {
    let mut replay = replay([marker()]);
    assert_eq!(replay.patch("p", 2), Path::New);
    assert_eq!(replay.patch("q", 2), Path::NewIfRecorded);
    assert_eq!(replay.patch("r", 2), Path::TooMany);
    assert_eq!(replay.patch("p", 2), Path::New);
}
