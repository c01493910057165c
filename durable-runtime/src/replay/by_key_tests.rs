//! `on_change = "resume"`: every small program recorded by older code, continued by every other one (R3).

use super::tests::{completed, delivers, diverges, replay, request, started};
use super::*;
use crate::journal::{Outcome, StepCompleted};
use crate::payload::{Codec, Payload};

/// Branches that are joined, each a list of steps one after the other.
type Program = &'static [&'static [&'static str]];

/// All ways through something that is decided step by step, one after the other.
#[derive(Default)]
struct Choices {
    /// What was chosen of how many, at each decision.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    fn choose(&mut self, options: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, options));
        }
        let (chosen, of) = self.made[self.next];
        assert_eq!(of, options, "what can be chosen depends on earlier choices only");
        self.next += 1;
        chosen
    }

    /// On to the next way through; `false` when all were taken.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((chosen, of)) = self.made.pop() {
            if chosen + 1 < of {
                self.made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// One life of a program on a journal.
struct Life<'a> {
    journal: &'a mut Vec<Event>,
    replay: Replay,
    /// What it did that must be the same in the next life: claims and deliveries.
    trace: Vec<String>,
}

impl<'a> Life<'a> {
    fn new(journal: &'a mut Vec<Event>, is_by_key: bool) -> Self {
        let mut replay = Replay::of_journal(journal.iter().cloned()).expect("a legal journal");
        if is_by_key {
            replay.match_by_key();
        }
        Self { journal, replay, trace: Vec::new() }
    }

    /// Runs the program to its end, or until it crashes. `true` if it ended.
    fn run(&mut self, program: Program, choices: &mut Choices) -> bool {
        // The step that each branch waits for, and how many it has behind it.
        let mut branches: Vec<(Option<ClaimNumber>, usize)> = vec![(None, 0); program.len()];
        loop {
            for (branch, steps) in branches.iter_mut().zip(program) {
                if branch.0.is_none() && branch.1 < steps.len() {
                    branch.0 = Some(self.replay.claim(request(steps[branch.1])));
                    self.trace.push(format!("claim {}", steps[branch.1]));
                }
            }
            let waiting: Vec<_> = branches.iter().filter_map(|branch| branch.0).collect();
            if waiting.is_empty() {
                assert_eq!(self.replay.end(), None);
                return true;
            }
            match self.replay.next_delivery() {
                Delivery::Deliver { claim, answer, .. } => {
                    let key = self.replay.key(claim).expect("it was claimed");
                    assert_eq!(
                        Some(answer),
                        recorded(self.journal, &key).cloned().map(Answer::Step),
                        "the recorded outcome of {key}"
                    );
                    self.trace.push(format!("deliver {key}"));
                    let branch = branches.iter_mut().find(|branch| branch.0 == Some(claim)).expect("someone waits");
                    *branch = (None, branch.1 + 1);
                }
                Delivery::Nothing => {
                    self.complete(waiting[choices.choose(waiting.len())]);
                    if choices.choose(2) == 1 {
                        return false;
                    }
                }
                Delivery::Cancel => panic!("nobody cancels it"),
                Delivery::Diverged(divergence) => panic!("{divergence:?}"),
            }
        }
    }

    /// A step's body runs, and its outcome is recorded: a value that no other execution has.
    fn complete(&mut self, claim: ClaimNumber) {
        assert_eq!(self.replay.begin(claim), Begin::Attempt { attempt: 1, not_before: None });
        let operation = self.replay.operation(claim).expect("it was claimed").clone();
        assert_eq!(recorded(self.journal, &operation.key), None, "{} ran again", operation.key);
        let value = Payload::encode(Codec::Json, &self.journal.len(), 64).expect("a number can be encoded");
        let event = Event::StepCompleted(StepCompleted {
            operation,
            attempts: 1,
            outcome: Outcome::Ok(value),
            began_at: 0,
            at: 0,
        });
        self.replay.apply(event.clone()).expect("legal");
        self.journal.push(event);
    }
}

fn recorded<'a>(journal: &'a [Event], key: &str) -> Option<&'a Outcome> {
    journal.iter().find_map(|event| match event {
        Event::StepCompleted(event) if &*event.operation.key == key => Some(&event.outcome),
        _ => None,
    })
}

/// Lets the old code record, in every order, as much as it likes; then the new code goes on, and crashes or not behind
/// each of its records. Returns in how many ways.
fn check(old: Program, new: Program) -> usize {
    let mut choices = Choices::default();
    let mut ways = 0;
    loop {
        ways += 1;
        let mut journal = vec![started()];
        let has_begun = choices.choose(2) == 1;
        let has_ended = has_begun && Life::new(&mut journal, false).run(old, &mut choices);
        let mut before: Vec<String> = Vec::new();
        let mut is_over = has_ended;
        while !is_over {
            let mut life = Life::new(&mut journal, true);
            is_over = life.run(new, &mut choices);
            assert!(life.trace.starts_with(&before), "{before:?} became {:?}", life.trace);
            before = life.trace;
        }
        if !has_ended {
            let all = new.concat();
            assert!(all.iter().all(|step| recorded(&journal, step).is_some()), "{journal:?}");
        }
        if !choices.advance() {
            return ways;
        }
    }
}

#[test]
fn changed_code_goes_on_with_what_is_recorded_whatever_crashes_and_no_recorded_step_runs_again() {
    const OLD: &[Program] = &[&[&["a", "b", "c"]], &[&["a", "b"], &["c"]], &[&["a"], &["b"], &["c"]]];
    const NEW: &[Program] = &[
        // The same, inserted, removed, reordered, renamed.
        &[&["a", "b", "c"]],
        &[&["new", "a", "b", "c"]],
        &[&["a", "new", "b", "c"]],
        &[&["a", "c"]],
        &[&["c", "b", "a"]],
        &[&["a", "renamed", "c"]],
        &[],
        // The same with branches.
        &[&["c"], &["b", "a"]],
        &[&["new", "a"], &["b", "c"]],
        &[&["a", "new"], &["c", "renamed"]],
        &[&["c"], &["a"], &["new", "b"]],
    ];
    let mut ways = 0;
    for old in OLD {
        for new in NEW {
            ways += check(old, new);
        }
    }
    assert!(ways > 1_000, "only {ways} ways were tried");
}

fn by_key(events: impl IntoIterator<Item = Event>) -> Replay {
    let mut replay = replay(events);
    replay.match_by_key();
    replay
}

#[test]
fn what_is_not_asked_for_is_passed_over() {
    let mut replay = by_key([completed(0, "a"), completed(1, "b"), completed(2, "c")]);
    let c = replay.claim(request("c"));
    delivers(&mut replay, c);
    let b = replay.claim(request("b"));
    delivers(&mut replay, b);
    assert_eq!(replay.delivered(), Position(4), "it knows all up to c, though b came last");
    assert_eq!(replay.end(), None);
}

/// Nothing is ahead once all that is recorded was asked for, in whatever order.
#[test]
fn a_patch_that_is_asked_about_at_the_end_takes_the_new_path() {
    let at_the_end = |asked: &[&'static str]| {
        let mut replay = by_key([completed(0, "a"), completed(1, "b")]);
        for name in asked {
            let claim = replay.claim(request(name));
            delivers(&mut replay, claim);
        }
        replay.patch("p", 9)
    };
    assert_eq!(at_the_end(&["b", "a"]), Path::NewIfRecorded);
    assert_eq!(at_the_end(&["b"]), Path::Old);
    assert_eq!(at_the_end(&[]), Path::Old);
}

#[test]
fn new_operations_are_numbered_behind_all_recorded_ones() {
    let mut replay = by_key([completed(3, "a"), completed(1, "b")]);
    let claims = ["new", "a", "newer"].map(|name| replay.claim(request(name)));
    replay.seal();
    let numbers = claims.map(|claim| replay.operation(claim).map(|operation| operation.claim));
    assert_eq!(numbers, [Some(4), Some(3), Some(5)]);
}

#[test]
fn a_recorded_step_of_another_kind_diverges_by_key_as_well() {
    let mut replay = by_key([completed(0, "a"), completed(1, "b")]);
    replay.claim(Request { kind: OperationKind::Timer, ..request("b") });
    diverges(&mut replay, Difference::Kind);
}

#[test]
fn a_recorded_step_with_other_arguments_diverges_by_key_as_well() {
    let mut replay = by_key([completed(0, "a"), completed(1, "b")]);
    replay.claim(Request { digest: 1, ..request("b") });
    let divergence = diverges(&mut replay, Difference::Arguments);
    assert_eq!(divergence.key(), Some("b".into()));
}

#[test]
fn an_attempt_that_failed_is_counted_by_key() {
    let mut replay = by_key([completed(0, "a"), super::tests::attempt_failed(1, "b", 1)]);
    let new = replay.claim(request("new"));
    let b = replay.claim(request("b"));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
    assert_eq!(replay.begin(new), Begin::Attempt { attempt: 1, not_before: None });
    assert_eq!(replay.begin(b), Begin::Attempt { attempt: 2, not_before: Some(7) });
    assert_eq!((replay.timer(new), replay.timer(b)), (None, Some(Position(2))));
}

#[test]
fn arguments_are_kept_only_while_they_may_be_shown() {
    let mut replay = by_key([completed(0, "gone"), completed(1, "a")]);
    for name in ["a", "new"] {
        let claim = replay.claim(request(name));
        assert!(replay.differs(claim), "it is not known yet");
        replay.show(claim, Arguments::of(&("x".repeat(1_000),)));
        replay.seal();
        assert_eq!(replay.operation(claim).and_then(|operation| operation.arguments.clone()), None, "of {name}");
    }
}

/// The limit of keys: one that is inserted before another of the same name takes its number, and so its outcome.
#[test]
fn a_step_inserted_before_another_of_its_name_gets_the_other_ones_outcome() {
    let mut replay = by_key([completed(0, "pay")]);
    let inserted = replay.claim(request("pay"));
    delivers(&mut replay, inserted);
    let other = replay.claim(request("pay"));
    assert_eq!(replay.key(other), Some("pay#2".into()));
    assert_eq!(replay.next_delivery(), Delivery::Nothing);
}
