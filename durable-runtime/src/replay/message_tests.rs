//! The message of each kind of divergence, as a whole: read each as somebody who is woken by it (R9).

use std::collections::HashMap;

use expect_test::{Expect, expect};
use serde::Serialize;
use serde_json::json;

use super::tests::{delivers, request, started};
use super::*;
use crate::function::{CallSite, OnChange};
use crate::id::RunId;
use crate::journal::{CodeId, Outcome, StepCompleted};
use crate::payload::{Codec, Payload};

const UNCHANGED: CodeChange = CodeChange {
    function: "checkout",
    versions: (1, 1),
    fingerprints: (0xaaaa, 0xaaaa),
    since: None,
    on_change: OnChange::Halt,
    call_sites: &[],
};

const CHANGED: CodeChange = CodeChange { fingerprints: (0xaaaa, 0xbbbb), ..UNCHANGED };

#[test]
fn only_changed_code_that_may_resume_goes_by_keys() {
    assert!(CodeChange { on_change: OnChange::Resume, ..CHANGED }.is_by_key());
    assert!(!CodeChange { on_change: OnChange::Resume, ..UNCHANGED }.is_by_key());
    assert!(!CHANGED.is_by_key());
    assert!(!UNCHANGED.is_by_key());
}

fn digest<A: Serialize>(arguments: &A) -> u64 {
    crate::value::digest(arguments).expect("it has a digest").0
}

/// A completed step in the journal.
fn recorded<A: Serialize>(claim: u32, key: &str, arguments: &A) -> Event {
    let operation = Operation {
        claim,
        key: key.into(),
        kind: OperationKind::Step,
        digest: digest(arguments),
        site: Site { file: "src/checkout.rs".into(), line: 10 + claim, column: 9 },
        arguments: Arguments::of(arguments),
    };
    let outcome = Outcome::Ok(Payload::encode(Codec::Json, &1, 64).expect("a number can be encoded"));
    Event::StepCompleted(StepCompleted { operation, attempts: 1, outcome, began_at: 0, at: 0 })
}

/// Asks for a step as `ctx.run` does.
fn ask<A: Serialize>(replay: &mut Replay, name: &'static str, arguments: &A) {
    let site = Site { file: "src/checkout.rs".into(), line: 20, column: 9 };
    let claim = replay.claim(Request { digest: digest(arguments), site, ..request(name) });
    if replay.differs(claim) {
        replay.show(claim, Arguments::of(arguments));
    }
}

/// A run that recorded three steps.
fn run() -> Replay {
    let steps =
        [recorded(0, "price", &("u_1", 3)), recorded(1, "charge", &("u_1", 750)), recorded(2, "ship", &("u_1",))];
    Replay::of_journal(std::iter::once(started()).chain(steps)).expect("a legal journal")
}

/// The same, when its first step was delivered.
fn run_behind_the_first_step() -> Replay {
    let mut replay = run();
    ask(&mut replay, "price", &("u_1", 3));
    delivers(&mut replay, 0);
    replay
}

#[track_caller]
fn diverged(replay: &mut Replay) -> Divergence {
    match replay.next_delivery() {
        Delivery::Diverged(divergence) => *divergence,
        other => panic!("a divergence expected, not {other:?}"),
    }
}

#[track_caller]
fn check(divergence: &Divergence, change: &CodeChange, expected: &Expect) {
    let message = divergence.explain(&RunId::new("ord_abc123").expect("an id"), change);
    let is_trimmed = message.lines().all(|line| line.trim_end() == line);
    assert!(is_trimmed, "a line ends with a space: {message:?}");
    expected.assert_eq(&message);
}

#[test]
fn renamed_in_changed_code() {
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "charge_card", &("u_1", 750));
    let sites = &[CallSite { name: "price", file: "src/checkout.rs", line: 18 }];
    check(
        &diverged(&mut replay),
        &CodeChange { call_sites: sites, ..CHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `charge_card` where step `charge` is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  step `charge_card` at src/checkout.rs:20:9
                        arguments: the same
              note:     step `charge_card` is recorded nowhere in this run: it was inserted, or it is step `charge` under another name
              note:     no `ctx.run` in checkout's own body is named `charge`
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn the_code_that_started_the_run_after_other_code_went_on_with_it() {
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "ship", &("u_1",));
    check(
        &diverged(&mut replay),
        &CodeChange { since: Some(CodeId { version: 2, fingerprint: 0xcccc }), ..UNCHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `ship` where step `charge` is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  step `ship` at src/checkout.rs:20:9
                        arguments: ["u_1"]
              note:     step `ship` is recorded as well, as record 4 of 4: something before it was removed, or the order has changed
              cause:    other code of checkout has gone on with the run since it was started (version 2, fingerprint 000000000000cccc), and the present code, which started it (version 1, fingerprint 000000000000aaaa), does not fit what that one recorded
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that went on with the run last (version 2)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn only_what_recorded_something_of_an_operation_has_gone_on_with_a_run() {
    let code = |version| CodeId { version, fingerprint: 7 };
    let recovered = |version| Event::Recovered { code: Some(code(version)), at: 0 };
    let step = |claim, key| recorded(claim, key, &());
    let Event::Started(first) = started() else { panic!("it is Started") };
    let first = CodeId { version: first.version, fingerprint: first.fingerprint };
    let mut events = vec![started(), step(0, "a"), recovered(2)];
    assert_eq!(went_on_since(&events, first), None);
    events.extend([recovered(3), step(1, "b"), recovered(4)]);
    assert_eq!(went_on_since(&events, first), Some(code(3)));
    assert_eq!(went_on_since(&events, code(3)), None);
    events.extend([Event::Recovered { code: Some(first), at: 0 }, step(2, "c")]);
    assert_eq!(went_on_since(&events, first), Some(code(3)), "though the first one has gone on, too");
}

#[test]
fn renamed_in_unchanged_code() {
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "charge_card", &("u_1", 750));
    check(
        &diverged(&mut replay),
        &UNCHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `charge_card` where step `charge` is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  step `charge_card` at src/checkout.rs:20:9
                        arguments: the same
              note:     step `charge_card` is recorded nowhere in this run: it was inserted, or it is step `charge` under another name
              cause:    the code of checkout is the one that started the run (version 1, fingerprint 000000000000aaaa), so it is not deterministic: it depends on a clock, on randomness, on the order of a hash map, or on state outside of its run. Or a helper or a type that it uses has changed, which the fingerprint does not see
              do this:  one of these, deploy that, then resume the run:
                        1. move what is not deterministic into a step, `ctx.run("name", async || { … })`
                        2. if a helper or a type has changed: go back to the old one, or keep both with `ctx.patched("some-id")`"#]],
    );
}

#[test]
fn another_argument_deep_inside() {
    #[derive(Serialize)]
    struct Order<'a> {
        id: &'a str,
        note: Option<&'a str>,
        lines: Vec<serde_json::Value>,
    }
    let order = |price: u32, note| Order {
        id: "ord_1",
        note,
        lines: vec![json!({"sku": "a"}), json!({"sku": "b", "unit price": 1}), json!({"sku": "c", "price": price})],
    };
    let mut replay = Replay::of_journal([started(), recorded(0, "charge", &(order(250, None), "EUR"))]).expect("legal");
    ask(&mut replay, "charge", &(order(275, Some("gift")), "EUR"));
    check(
        &diverged(&mut replay),
        &CHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code passes other arguments to step `charge` than those recorded
              recorded: step `charge` at src/checkout.rs:10:9, record 2 of 2
                        arguments: [{"id":"ord_1","note":null,"lines":[{"sku":"a"},{"sku":"b","unit price":1},{"price":250,"sku":"c"}]},"EUR"]
              current:  step `charge` at src/checkout.rs:20:9
                        arguments: [{"id":"ord_1","note":"gift","lines":[{"sku":"a"},{"sku":"b","unit price":1},{"price":275,"sku":"c"}]},"EUR"]
              differs:  arguments[0].lines[2].price: 250 recorded, 275 now
                        arguments[0].note: nothing recorded, "gift" now
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`"#]],
    );
}

#[test]
fn many_other_arguments() {
    let list = |from: u32| (from..from + 14).collect::<Vec<_>>();
    let mut replay = Replay::of_journal([started(), recorded(0, "charge", &(list(0),))]).expect("legal");
    ask(&mut replay, "charge", &(list(5),));
    check(
        &diverged(&mut replay),
        &CodeChange { on_change: OnChange::Resume, ..CHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code passes other arguments to step `charge` than those recorded
              recorded: step `charge` at src/checkout.rs:10:9, record 2 of 2
                        arguments: [[0,1,2,3,4,5,6,7,8,9,10,11,12,13]]
              current:  step `charge` at src/checkout.rs:20:9
                        arguments: [[5,6,7,8,9,10,11,12,13,14,15,16,17,18]]
              differs:  arguments[0][0]: 0 recorded, 5 now
                        arguments[0][1]: 1 recorded, 6 now
                        arguments[0][2]: 2 recorded, 7 now
                        arguments[0][3]: 3 recorded, 8 now
                        arguments[0][4]: 4 recorded, 9 now
                        arguments[0][5]: 5 recorded, 10 now
                        arguments[0][6]: 6 recorded, 11 now
                        arguments[0][7]: 7 recorded, 12 now
                        arguments[0][8]: 8 recorded, 13 now
                        arguments[0][9]: 9 recorded, 14 now
                        … and 4 more
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`"#]],
    );
}

#[test]
fn another_argument_in_a_text_that_is_cut() {
    let text = |end: &str| format!("{}{end}{}", "beginning ".repeat(4), "end ".repeat(400));
    let mut replay = Replay::of_journal([started(), recorded(0, "send", &(text("old "),))]).expect("legal");
    ask(&mut replay, "send", &(text("new "),));
    let message = diverged(&mut replay).explain(&RunId::new("ord_abc123").expect("an id"), &UNCHANGED);
    let differs = message.lines().find(|line| line.contains("differs:")).expect("the difference is shown");
    expect!["  differs:  at byte 42: `…g beginning beginning beginning old end end end end end end end …` recorded, `…g beginning beginning beginning new end end end end end end end …` now"].assert_eq(differs);
}

#[test]
fn arguments_that_differ_where_they_are_not_kept() {
    let long = |end: u32| ("x".repeat(2_000), end);
    let mut replay = Replay::of_journal([started(), recorded(0, "send", &long(1))]).expect("legal");
    ask(&mut replay, "send", &long(2));
    let message = diverged(&mut replay).explain(&RunId::new("ord_abc123").expect("an id"), &UNCHANGED);
    let differs = message.lines().find(|line| line.contains("differs:")).expect("the difference is shown");
    expect!["  differs:  behind the first 1024 bytes, which are all that is kept of them and are equal"]
        .assert_eq(differs);
}

#[test]
fn arguments_whose_difference_json_does_not_show() {
    let mut replay = Replay::of_journal([started(), recorded(0, "scale", &(f64::NAN,))]).expect("legal");
    ask(&mut replay, "scale", &(f64::INFINITY,));
    let message = diverged(&mut replay).explain(&RunId::new("ord_abc123").expect("an id"), &UNCHANGED);
    let differs = message.lines().find(|line| line.contains("differs:")).expect("the difference is shown");
    expect!["  differs:  in something that JSON does not show, such as bytes and a list of numbers, or NaN"]
        .assert_eq(differs);
}

#[test]
fn a_hash_map_and_a_field_that_is_null_are_no_other_arguments() {
    let pairs = (0..64).map(|number| (number.to_string(), number));
    let (one, other): (HashMap<_, _>, HashMap<_, _>) = (pairs.clone().collect(), pairs.rev().collect());
    let mut replay =
        Replay::of_journal([started(), recorded(0, "send", &(one, json!({"a": 1, "b": null})))]).expect("legal");
    ask(&mut replay, "send", &(other, json!({"a": 1})));
    delivers(&mut replay, 0);
}

#[test]
fn reordered() {
    const SITES: &[CallSite] = &[
        CallSite { name: "ship", file: "src/checkout.rs", line: 20 },
        CallSite { name: "charge", file: "src/checkout.rs", line: 22 },
        CallSite { name: "charge", file: "src/checkout.rs", line: 25 },
    ];
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "ship", &("u_1",));
    check(
        &diverged(&mut replay),
        &CodeChange { call_sites: SITES, ..CHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `ship` where step `charge` is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  step `ship` at src/checkout.rs:20:9
                        arguments: ["u_1"]
              note:     step `ship` is recorded as well, as record 4 of 4: something before it was removed, or the order has changed
              note:     in checkout's own body, `ctx.run` of `charge` is now at src/checkout.rs:22, src/checkout.rs:25
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn asked_for_at_another_place_than_recorded() {
    let mut replay = Replay::of_journal([started(), recorded(1, "charge", &("u_1", 750))]).expect("legal");
    ask(&mut replay, "charge", &("u_1", 750));
    check(
        &diverged(&mut replay),
        &CHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `charge` as operation 1, which is recorded as operation 2
              recorded: step `charge` at src/checkout.rs:11:9, record 2 of 2
                        arguments: ["u_1",750]
              current:  step `charge` at src/checkout.rs:20:9
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn inserted() {
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "discount", &("u_1",));
    check(
        &diverged(&mut replay),
        &CodeChange { versions: (1, 2), ..CHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `discount` where step `charge` is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  step `discount` at src/checkout.rs:20:9
                        arguments: ["u_1"]
              note:     step `discount` is recorded nowhere in this run: it was inserted, or it is step `charge` under another name
              cause:    the code of checkout has changed since the run was started (version 1 then, 2 now; fingerprint 000000000000aaaa then, 000000000000bbbb now)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn removed_and_the_code_waits_for_something_else() {
    let mut replay = run_behind_the_first_step();
    check(
        &diverged(&mut replay),
        &CHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code waits, and has not asked for step `charge`, which is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              latest:   step `price` at src/checkout.rs:20:9
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn left_over_at_the_end() {
    let mut replay = run_behind_the_first_step();
    let sites = &[CallSite { name: "", file: "src/checkout.rs", line: 18 }];
    let divergence = replay.end().expect("two steps are left over");
    check(
        &divergence,
        &CodeChange { versions: (1, 2), call_sites: sites, ..UNCHANGED },
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code returned, and never asked for step `charge`, which is recorded
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              latest:   step `price` at src/checkout.rs:20:9
              cause:    a new version of checkout was deployed since the run was started (version 1 then, 2 now), though the text of its body is the same: what has changed is a helper or a type that it uses, or nothing, and then it is not deterministic
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`
                        3. let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = "resume")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"#]],
    );
}

#[test]
fn a_branch_that_lost_its_race_asked_for_something_else() {
    let mut replay = run_behind_the_first_step();
    ask(&mut replay, "charge", &("u_1", 750));
    ask(&mut replay, "unheard of", &());
    check(
        &diverged(&mut replay),
        &UNCHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for step `unheard of` where step `ship` is recorded
              recorded: step `ship` at src/checkout.rs:12:9, record 4 of 4
                        arguments: ["u_1"]
              current:  step `unheard of` at src/checkout.rs:20:9
              note:     step `unheard of` is recorded nowhere in this run: it was inserted, or it is step `ship` under another name
              cause:    the code of checkout is the one that started the run (version 1, fingerprint 000000000000aaaa), so it is not deterministic: it depends on a clock, on randomness, on the order of a hash map, or on state outside of its run. Or a helper or a type that it uses has changed, which the fingerprint does not see
              do this:  one of these, deploy that, then resume the run:
                        1. move what is not deterministic into a step, `ctx.run("name", async || { … })`
                        2. if a helper or a type has changed: go back to the old one, or keep both with `ctx.patched("some-id")`"#]],
    );
}

#[test]
fn waiting_for_what_is_no_operation() {
    let replay = run_behind_the_first_step();
    check(
        &replay.waits_for_nothing(),
        &UNCHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code waits for something that is not an operation of the run, so nothing recorded can wake it
              recorded: 4 records, all of them replayed
              latest:   step `price` at src/checkout.rs:20:9
              do this:  move what the code waits for into a step, `ctx.run("name", async || { … })`, deploy that, then resume the run"#]],
    );
    check(
        &run().waits_for_nothing(),
        &CHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code waits for something that is not an operation of the run, so nothing recorded can wake it
              recorded: 4 records, all of them replayed
              latest:   the code has asked for nothing
              do this:  move what the code waits for into a step, `ctx.run("name", async || { … })`, deploy that, then resume the run"#]],
    );
}

#[test]
fn another_kind() {
    let mut replay = run_behind_the_first_step();
    let site = Site { file: "src/checkout.rs".into(), line: 20, column: 9 };
    replay.claim(Request { kind: OperationKind::Timer, digest: digest(&("u_1", 750)), site, ..request("charge") });
    check(
        &diverged(&mut replay),
        &CHANGED,
        &expect![[r#"
            run `ord_abc123` of `checkout` can't go on: its code asks for timer `charge`, which is recorded as step `charge`
              recorded: step `charge` at src/checkout.rs:11:9, record 3 of 4
                        arguments: ["u_1",750]
              current:  timer `charge` at src/checkout.rs:20:9
              cause:    the code of checkout has changed since the run was started (fingerprint 000000000000aaaa then, 000000000000bbbb now; version 1 both times)
              do this:  one of these, deploy that, then resume the run:
                        1. go back to the code that started the run (version 1)
                        2. keep the old way for this run: `if ctx.patched("some-id") { /* new */ } else { /* old */ }`"#]],
    );
}
