//! Which event may come in which stage of a run.

use super::tests::{attempt_failed, cancelled, completed, finished, halted, started, step_started, timer_set};
use super::*;
use crate::journal::{Patched, Started};

/// The whole legality table: which event may come in which stage.
#[test]
fn the_legality_table() {
    let Event::Started(at_once) = started() else { unreachable!("see above") };
    let later = Event::Started(Started { not_before: Some(7), ..at_once });
    let stages: [(Stage, Vec<Event>); 5] = [
        (Stage::Empty, vec![]),
        (Stage::Waiting, vec![later.clone()]),
        (Stage::Running, vec![started()]),
        (Stage::Halted, vec![started(), halted()]),
        (Stage::Finished, vec![started(), finished()]),
    ];
    let events = [
        started(),
        attempt_failed(0, "a", 1),
        completed(0, "a"),
        Event::Recovered { code: None, at: 0 },
        halted(),
        Event::Resumed { at: 0 },
        finished(),
        Event::Patched(Patched { id: "p".into(), at: 0 }),
        timer_set(0, "sleep", 7),
        Event::SignalReceived(super::signal_tests::signal("a", None, 1)),
        super::promise_tests::resolved("a", 1),
        step_started(0, "a", 1),
        cancelled(),
        Event::Begun { at: 0, deadline: None },
        later,
    ];
    let mut table = Vec::new();
    for (stage, before) in &stages {
        for event in &events {
            let mut replay = Replay::of_journal(before.iter().cloned()).expect("a legal beginning");
            assert_eq!(replay.stage(), *stage);
            if replay.apply(event.clone()).is_ok() {
                table.push(format!("{stage:?} + {} = {:?}\n", event.name(), replay.stage()));
            }
        }
    }
    expect_test::expect![[r#"
        Empty + Started = Running
        Empty + Started = Waiting
        Waiting + SignalReceived = Waiting
        Waiting + PromiseSettled = Waiting
        Waiting + Cancelled = Finished
        Waiting + Begun = Running
        Running + AttemptFailed = Running
        Running + StepCompleted = Running
        Running + Recovered = Running
        Running + Halted = Halted
        Running + Finished = Finished
        Running + Patched = Running
        Running + TimerSet = Running
        Running + SignalReceived = Running
        Running + PromiseSettled = Running
        Running + StepStarted = Running
        Running + Cancelled = Finished
        Halted + Resumed = Running
        Halted + SignalReceived = Halted
        Halted + PromiseSettled = Halted
        Halted + Cancelled = Finished
    "#]]
    .assert_eq(&table.concat());
}
