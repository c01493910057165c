//! The pure core, by rule. Whole programs are tested through the runtime in the `tests` package.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::legality::CLAIM_NUMBER_MAX;
use super::*;
use crate::halt::HaltReason;
use crate::journal::event::AttemptError;
use crate::journal::{
    AttemptFailed, Cancelled, CodeId, Finished, Halted, Outcome, Patched, Started, StepCompleted, StepStarted,
    TimerFired, TimerSet,
};
use crate::payload::{Codec, Payload};

fn payload(value: u32) -> Payload {
    Payload::encode(Codec::Json, &value, 64).expect("a number can be encoded")
}

pub(super) fn started() -> Event {
    Event::Started(Started {
        function: "f".into(),
        version: 1,
        fingerprint: 1,
        input: payload(0),
        input_digest: 0,
        at: 0,
        patches: Vec::new(),
        seed: 0,
        tags: BTreeMap::new(),
        correlation: None,
        forks: Vec::new(),
        parent: None,
        not_before: None,
        timeout: None,
        queue: None,
        continued: None,
    })
}

fn site(line: u32) -> Site {
    Site { file: "src/f.rs".into(), line, column: 5 }
}

fn operation(claim: u32, key: &str, digest: u64) -> Operation {
    Operation { claim, key: key.into(), kind: OperationKind::Step, digest, site: site(claim + 1), arguments: None }
}

pub(super) fn completed(claim: u32, key: &str) -> Event {
    Event::StepCompleted(StepCompleted {
        operation: operation(claim, key, 0),
        attempts: 1,
        outcome: Outcome::Ok(payload(claim)),
        began_at: 0,
        at: 0,
    })
}

pub(super) fn attempt_failed(claim: u32, key: &str, attempt: u32) -> Event {
    Event::AttemptFailed(AttemptFailed {
        operation: operation(claim, key, 0),
        attempt,
        error: AttemptError::TimedOut,
        retry_at: 7,
        at: 0,
    })
}

pub(super) fn step_started(claim: u32, key: &str, attempt: u32) -> Event {
    Event::StepStarted(StepStarted { operation: operation(claim, key, 0), attempt, at: 0 })
}

fn timer(claim: u32, key: &str) -> Operation {
    Operation { kind: OperationKind::Timer, ..operation(claim, key, 0) }
}

pub(super) fn timer_set(claim: u32, key: &str, due: u64) -> Event {
    Event::TimerSet(TimerSet { operation: timer(claim, key), due, at: 0 })
}

fn timer_fired(claim: u32, key: &str, at: u64) -> Event {
    Event::TimerFired(TimerFired { operation: timer(claim, key), at })
}

pub(super) fn halted() -> Event {
    Event::Halted(Halted { reason: HaltReason::Panic, step: None, message: String::new(), at: 0 })
}

pub(super) fn cancelled() -> Event {
    Event::Cancelled(Cancelled { reason: "enough".to_owned(), at: 0 })
}

pub(super) fn finished() -> Event {
    Event::Finished(Finished { result: payload(0), failed: false, at: 0 })
}

pub(super) fn request(name: &'static str) -> Request {
    Request { name: Cow::Borrowed(name), kind: OperationKind::Step, digest: 0, site: site(9) }
}

pub(super) fn replay(events: impl IntoIterator<Item = Event>) -> Replay {
    Replay::of_journal(std::iter::once(started()).chain(events)).expect("a legal journal")
}

fn keys(replay: &Replay) -> Vec<String> {
    (0..).map_while(|claim| replay.key(claim)).map(|key| key.to_string()).collect()
}

#[track_caller]
pub(super) fn delivers(replay: &mut Replay, expected: ClaimNumber) {
    match replay.next_delivery() {
        Delivery::Deliver { claim, .. } => assert_eq!(claim, expected),
        other => panic!("expected claim {expected}, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn diverges(replay: &mut Replay, expected: Difference) -> Divergence {
    match replay.next_delivery() {
        Delivery::Diverged(divergence) => {
            assert_eq!(divergence.difference, expected, "{divergence:?}");
            *divergence
        }
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn r4_later_claims_of_a_name_are_numbered() {
    let mut replay = replay([]);
    for name in ["pay", "ship", "pay", "pay", "ship"] {
        replay.claim(request(name));
    }
    assert_eq!(keys(&replay), ["pay", "ship", "pay#2", "pay#3", "ship#2"]);
}

#[test]
fn r4_renaming_the_newest_claim_gives_its_old_name_back() {
    let mut replay = replay([]);
    let first = replay.claim(request("pay"));
    assert!(replay.rename(first, "charge".into()));
    let second = replay.claim(request("pay"));
    assert!(replay.rename(second, "charge".into()));
    replay.claim(request("pay"));
    assert_eq!(keys(&replay), ["charge", "charge#2", "pay"]);
}

#[test]
fn r4_a_sealed_claim_keeps_its_name() {
    let mut replay = replay([]);
    let first = replay.claim(request("pay"));
    let second = replay.claim(request("ship"));
    assert!(!replay.rename(first, "charge".into()), "another claim came in between");
    replay.seal();
    assert!(!replay.rename(second, "send".into()), "it was polled");
    assert_eq!(keys(&replay), ["pay", "ship"]);
}

#[test]
fn r3_completions_are_delivered_in_the_order_of_the_journal() {
    let mut replay = replay([completed(1, "b"), completed(2, "c"), completed(0, "a")]);
    for name in ["a", "b", "c"] {
        replay.claim(request(name));
    }
    for claim in [1, 2, 0] {
        delivers(&mut replay, claim);
    }
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
}

#[test]
fn r3_live_facts_are_delivered_like_recorded_ones() {
    let mut replay = replay([completed(0, "a")]);
    replay.claim(request("a"));
    replay.claim(request("b"));
    assert!(!replay.is_next_live());
    let Delivery::Deliver { claim: 0, replayed: true, .. } = replay.next_delivery() else {
        panic!("a is delivered, and was in the journal at the start")
    };
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert!(!replay.is_next_live());
    replay.apply(completed(1, "b")).expect("legal");
    assert!(replay.is_next_live());
    let Delivery::Deliver { claim: 1, replayed: false, .. } = replay.next_delivery() else {
        panic!("b is delivered, and was not in the journal at the start")
    };
    assert_eq!(replay.delivered(), Position(3));
}

/// R9.
#[test]
fn no_step_begins_before_the_journal_is_replayed() {
    let mut replay = replay([completed(1, "b"), attempt_failed(2, "c", 1)]);
    let a = replay.claim(request("a"));
    replay.claim(request("b"));
    assert_eq!(replay.begin(a), Begin::Wait);
    delivers(&mut replay, 1);
    assert_eq!(replay.begin(a), Begin::Wait, "c is recorded and was not claimed yet");
    let c = replay.claim(request("c"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert_eq!(replay.begin(a), Begin::Attempt { attempt: 1, not_before: None });
    assert_eq!(replay.begin(c), Begin::Attempt { attempt: 2, not_before: Some(7) }, "R11");
}

/// Neither a step whose outcome is recorded begins again, nor does anything behind a known disagreement.
#[test]
fn r6_what_has_ended_does_not_begin_again() {
    let mut replay = replay([completed(0, "a")]);
    let a = replay.claim(request("a"));
    let b = replay.claim(request("b"));
    delivers(&mut replay, a);
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert_eq!([a, b].map(|claim| replay.begin(claim) == Begin::Wait), [true, false]);
    assert_eq!([a, b].map(|claim| replay.is_recorded(claim)), [true, false]);
    assert_eq!([a, b].map(|claim| replay.is_completed(claim)), [true, false]);
    assert_eq!(replay.claims(), 2);
}

/// What the code logs meanwhile was logged before.
#[test]
fn code_repeats_until_it_has_come_to_what_is_not_recorded() {
    let mut completing = replay([completed(0, "a")]);
    assert!(completing.is_repeating());
    completing.claim(request("a"));
    assert!(completing.is_repeating(), "its outcome is ahead");
    delivers(&mut completing, 0);
    assert!(!completing.is_repeating(), "what it does now, it has not done before");
    completing.claim(request("b"));
    assert_eq!(completing.next_delivery(), Delivery::Nothing);
    completing.apply(completed(1, "b")).expect("legal");
    assert!(!completing.is_repeating(), "an outcome that is new");

    let mut retrying = replay([attempt_failed(0, "a", 1)]);
    assert!(retrying.is_repeating());
    retrying.claim(request("a"));
    assert!(!retrying.is_repeating());
}

/// A thousand steps' arguments would fill the memory (R14).
#[test]
fn arguments_are_kept_until_they_are_compared() {
    let shown = |claim: u32, key: &str| {
        let arguments = Some(Arguments { text: "[1]".to_owned(), is_cut: false });
        let Event::StepCompleted(event) = completed(claim, key) else { panic!("a completion") };
        Event::StepCompleted(StepCompleted { operation: Operation { arguments, ..event.operation }, ..event })
    };
    let kept =
        |replay: &Replay| replay.recorded.values().map(|one| one.operation.arguments.is_some()).collect::<Vec<_>>();
    let mut live = replay([]);
    live.claim(request("a"));
    live.claim(request("b"));
    for (claim, key) in [(0, "a"), (1, "b"), (2, "c")] {
        live.apply(shown(claim, key)).expect("legal");
    }
    assert_eq!(kept(&live), [false, true, true], "b can still be renamed, c was not asked for");
    live.claim(request("c"));
    assert_eq!(kept(&live), [false, false, true]);
    live.seal();
    assert_eq!(kept(&live), [false, false, false]);
}

#[test]
fn r9_another_name_at_the_same_place() {
    let mut replay = replay([completed(0, "a")]);
    replay.claim(request("x"));
    diverges(&mut replay, Difference::Key);
}

#[test]
fn r9_other_arguments() {
    let mut replay = replay([completed(0, "a")]);
    replay.claim(Request { digest: 1, ..request("a") });
    diverges(&mut replay, Difference::Arguments);
}

#[test]
fn r9_another_kind() {
    let mut replay = replay([completed(0, "a")]);
    replay.claim(Request { kind: OperationKind::Timer, ..request("a") });
    diverges(&mut replay, Difference::Kind);
}

#[test]
fn r9_recorded_at_another_place() {
    let mut replay = replay([completed(1, "b")]);
    replay.claim(request("b"));
    diverges(&mut replay, Difference::Order);
}

/// Also R3.
#[test]
fn r9_the_code_waits_without_asking_for_what_is_recorded() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    replay.claim(request("a"));
    delivers(&mut replay, 0);
    let divergence = diverges(&mut replay, Difference::NotClaimed);
    assert_eq!(divergence.key(), Some("b".into()));
}

/// Also R11.
#[test]
fn r9_a_step_that_was_being_retried_is_no_longer_asked_for() {
    let mut replay = replay([attempt_failed(1, "b", 1)]);
    replay.claim(request("a"));
    diverges(&mut replay, Difference::NotClaimed);
}

#[test]
fn r9_the_code_returns_without_asking_for_what_is_recorded() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    replay.claim(request("a"));
    delivers(&mut replay, 0);
    let divergence = replay.end().expect("b is left over");
    assert_eq!(divergence.difference, Difference::LeftOver);
}

#[test]
fn r9_a_lost_race_is_not_left_over() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    replay.claim(request("a"));
    replay.claim(request("b"));
    delivers(&mut replay, 0);
    assert_eq!(replay.end(), None);
}

#[test]
fn r9_a_mismatch_is_fatal_though_the_code_goes_on() {
    let mut replay = replay([completed(0, "a"), completed(1, "b")]);
    replay.claim(request("x"));
    replay.claim(request("b"));
    assert_eq!(replay.end().map(|divergence| divergence.difference), Some(Difference::Key));
    diverges(&mut replay, Difference::Key);
}

#[test]
fn r12_only_progress_or_an_operator_starts_the_count_of_recoveries_anew() {
    let recovered = || Event::Recovered { code: None, at: 0 };
    let count = |events: Vec<Event>| replay(events).recoveries();
    assert_eq!(count(vec![recovered(), recovered()]), 2);
    assert_eq!(count(vec![recovered(), recovered(), completed(0, "a")]), 0);
    assert_eq!(count(vec![recovered(), attempt_failed(0, "a", 1), recovered()]), 1);
    assert_eq!(count(vec![recovered(), halted(), Event::Resumed { at: 0 }]), 0);
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let refused = |events: Vec<Event>| {
        let all = std::iter::once(started()).chain(events);
        Replay::of_journal(all).expect_err("the journal contradicts itself").to_string()
    };
    let told = [
        refused(vec![completed(0, "a"), completed(0, "a")]),
        refused(vec![completed(0, "a"), attempt_failed(0, "a", 2)]),
        refused(vec![attempt_failed(0, "a", 1), completed(0, "b")]),
        refused(vec![completed(0, "a"), completed(1, "a")]),
        refused(vec![attempt_failed(0, "a", 2)]),
        refused(vec![attempt_failed(0, "a", 1), completed(0, "a")]),
        refused(vec![completed(CLAIM_NUMBER_MAX, "a"), completed(CLAIM_NUMBER_MAX + 1, "b")]),
        refused(vec![timer_fired(0, "sleep", 0)]),
        refused(vec![timer_set(0, "sleep", 7), timer_set(0, "sleep", 8)]),
        refused(vec![timer_set(0, "sleep", 7), timer_fired(0, "sleep", 7), timer_fired(0, "sleep", 7)]),
        refused(vec![timer_set(0, "sleep", 7), completed(0, "sleep")]),
        refused(vec![attempt_failed(0, "a", 1), timer_fired(0, "a", 7)]),
        refused(vec![Event::TimerSet(TimerSet { operation: operation(0, "a", 0), due: 7, at: 0 })]),
    ]
    .join("\n");
    expect_test::expect![[r#"
        event StepCompleted at position 2 can't stand there: a has its one outcome already
        event AttemptFailed at position 2 can't stand there: a has its one outcome already
        event StepCompleted at position 2 can't stand there: claim 0 has the key a, not b
        event StepCompleted at position 2 can't stand there: the key a belongs to claim 0, not 1
        event AttemptFailed at position 1 can't stand there: attempt 2 of a follows 0 failed ones
        event StepCompleted at position 2 can't stand there: attempt 1 of a follows 1 failed ones
        event StepCompleted at position 2 can't stand there: claim 2147483648 of b is beyond the highest, 2147483647
        event TimerFired at position 1 can't stand there: sleep was never set
        event TimerSet at position 2 can't stand there: sleep is set already
        event TimerFired at position 3 can't stand there: sleep has its one outcome already
        event StepCompleted at position 2 can't stand there: sleep is a timer, not a step
        event TimerFired at position 2 can't stand there: a is a step, not a timer
        event TimerSet at position 1 can't stand there: a is a step, not a timer"#]]
    .assert_eq(&told);
}

/// What chance is made of is what is recorded.
#[test]
fn the_seed_is_that_of_the_start() {
    let Event::Started(start) = started() else { panic!("a start") };
    let replay = Replay::of_journal([Event::Started(Started { seed: 7, ..start })]).expect("a legal journal");
    assert_eq!(replay.seed(), 7);
}

/// The code rests once nothing is left to be told, and not when that shows that code and journal disagree.
#[test]
fn the_code_rests_when_nothing_is_left_to_be_told() {
    let mut resting = replay([completed(0, "a")]);
    resting.claim(request("a"));
    assert!(!resting.is_at_rest());
    delivers(&mut resting, 0);
    assert!(!resting.is_at_rest());
    assert_eq!(resting.next_delivery(), Delivery::Nothing);
    assert!(resting.is_at_rest());
    resting.progress(0);
    assert!(!resting.is_at_rest(), "something foreign has woken it");
}

/// R11: a timer begins when it is recorded, and is due when it was.
#[test]
fn r11_a_timer_that_is_set_keeps_its_time() {
    let mut unset = replay([]);
    let claim = unset.claim(Request { kind: OperationKind::Timer, ..request("sleep") });
    assert_eq!((unset.next_delivery(), unset.due(claim)), (Delivery::Nothing, None));

    let mut set = replay([timer_set(0, "sleep", 7)]);
    let claim = set.claim(Request { kind: OperationKind::Timer, ..request("sleep") });
    assert_eq!((set.next_delivery(), set.due(claim)), (Delivery::Nothing, Some(Timestamp(7))));
    assert_eq!(set.timer(claim), Some(Position(1)));
    assert_eq!(set.begin(claim), Begin::Attempt { attempt: 1, not_before: Some(7) });

    set.apply(timer_fired(0, "sleep", 9)).expect("legal");
    let fired = Delivery::Deliver { claim, answer: Answer::Fired, replayed: false };
    assert_eq!((set.next_delivery(), set.timer(claim)), (fired, None));
}

/// The time that the code is told is that of the newest record that it was told, and never goes back.
#[test]
fn the_time_is_read_from_the_journal() {
    let at = |claim, key: &str, at| match completed(claim, key) {
        Event::StepCompleted(event) => Event::StepCompleted(StepCompleted { at, ..event }),
        other => other,
    };
    let mut replay = replay([at(0, "a", 30), at(1, "b", 20), at(2, "c", 40)]);
    assert_eq!(replay.now(), Timestamp(0), "of `Started`");
    let _ = ["a", "b", "c"].map(|name| replay.claim(request(name)));
    let told = [(); 3].map(|()| {
        assert!(matches!(replay.next_delivery(), Delivery::Deliver { .. }));
        replay.now().0
    });
    assert_eq!(told, [30, 30, 40]);
}

#[test]
fn a_refused_fact_changes_nothing() {
    let mut replay = replay([completed(0, "a")]);
    assert!(replay.apply(completed(0, "a")).is_err());
    assert_eq!(replay.length(), Position(2));
    replay.apply(completed(1, "b")).expect("the next fact is still welcome");
}

/// Lets the code do something after it came to rest.
#[track_caller]
fn goes_on_at_rest(act: impl FnOnce(&mut Replay)) -> Replay {
    let mut replay = replay([]);
    replay.claim(request("a"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert!(!replay.is_diverged());
    act(&mut replay);
    replay
}

#[test]
fn r9_code_that_goes_on_without_a_delivery() {
    let mut claimed = goes_on_at_rest(|replay| {
        replay.claim(request("b"));
    });
    assert!(claimed.is_diverged());
    let Delivery::Diverged(divergence) = claimed.next_delivery() else { panic!("it diverged") };
    assert_eq!(divergence.difference, Difference::ForeignWake);
    assert_eq!(divergence.current.map(|operation| operation.key), Some("b".into()));

    let mut polled = goes_on_at_rest(|replay| replay.progress(0));
    assert_eq!(polled.end().map(|divergence| divergence.difference), Some(Difference::ForeignWake));

    let mut returned = goes_on_at_rest(|_| {});
    assert_eq!(returned.end().map(|divergence| divergence.difference), Some(Difference::ForeignWake));

    let mut delivered = goes_on_at_rest(|replay| {
        replay.apply(completed(0, "a")).expect("it is legal");
        delivers(replay, 0);
        replay.claim(request("b"));
    });
    assert_eq!(delivered.next_delivery(), Delivery::Nothing);
    assert!(!delivered.is_diverged());
}

/// All short journals, most of which no run has (R12).
#[test]
fn a_whole_journal_is_judged_as_a_replay_judges_it() {
    let second = |event: Event| match event {
        Event::StepCompleted(event) => Event::StepCompleted(StepCompleted { attempts: 2, ..event }),
        event => event,
    };
    let code = CodeId { version: 1, fingerprint: 1 };
    let events = [
        started(),
        completed(0, "a"),
        completed(0, "b"),
        completed(1, "a"),
        second(completed(0, "a")),
        attempt_failed(0, "a", 1),
        attempt_failed(0, "a", 2),
        attempt_failed(1, "b", 1),
        halted(),
        Event::Resumed { at: 0 },
        Event::Recovered { code: Some(code), at: 0 },
        Event::Patched(Patched { id: "p".into(), at: 0 }),
        step_started(0, "a", 1),
        cancelled(),
        finished(),
    ];
    let (mut legal, mut with_timers) = (0, 0);
    let mut check = |journal: &[Event]| {
        let whole = Whole::of(journal);
        match Replay::of_journal(journal.iter().cloned()) {
            Err(illegal) => assert_eq!(whole, Err(illegal), "{journal:?}"),
            Ok(replay) => {
                let timers =
                    replay.recorded.values().filter_map(|recorded| Some((recorded.timer?, Timestamp(7)))).collect();
                let (failed, cancelled) = (false, matches!(journal.last(), Some(Event::Cancelled(_))));
                with_timers += usize::from(timers != BTreeMap::new());
                assert_eq!(whole, Ok(Whole { stage: replay.stage(), failed, cancelled, timers }), "{journal:?}");
                legal += 1;
            }
        }
    };
    let mut journals: Vec<Vec<Event>> = vec![Vec::new(), vec![started()]];
    for _ in 0..4 {
        let longer = |journal: &Vec<Event>| {
            events.iter().map(|event| [&journal[..], std::slice::from_ref(event)].concat()).collect::<Vec<_>>()
        };
        journals = journals.iter().flat_map(longer).collect();
        for journal in &journals {
            check(journal);
        }
        journals.retain(|journal| Whole::of(journal).is_ok());
    }
    assert!(legal > 500 && with_timers > 100, "{legal}, {with_timers}");
}
