//! What a store refuses, and that a refusal changes nothing: S1, S3, S6, S7, S8.

use std::sync::Barrier;

use super::{StoreHarness, append, commit, frames, look, reopen, run, tidy_up};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, Record, Refused, RunStatus, Store};

fn with_fence(fence: u64, append: Append) -> Append {
    Append { fence: Fence(fence), ..append }
}

fn fence_of(store: &dyn Store, run: &RunId) -> Fence {
    store.head(run).expect("head").expect("the run exists").fence
}

/// S1: records, timers, clears and status of an append come together or not at all, whatever else is in the commit.
///
/// # Panics
/// When the store breaks the rule.
pub fn s01_append_is_all_or_nothing(harness: &dyn StoreHarness) {
    let store = harness.open();
    let (kept, refused) = (run("kept"), run("refused"));
    let timer = Record { frame: b"timer".to_vec(), due: Some(Timestamp(5)) };
    for id in [&kept, &refused] {
        let mut create = append(id, 0, &["started"], RunStatus::Suspended);
        create.records.push(timer.clone());
        assert_eq!(commit(&*store, create), Ok(()));
    }
    let before = look(&*store);

    // Everything an append can change, on a run at the right position and on one at the wrong position.
    let change = |id: &RunId, expected: u64| Append {
        records: vec![Record { frame: b"new".to_vec(), due: Some(Timestamp(1)) }, timer.clone()],
        clears: vec![Position(1)],
        fence: Fence(9),
        ..append(id, expected, &[], RunStatus::Completed)
    };
    let answers = store.commit(&[change(&refused, 1), change(&kept, 2), change(&refused, 3)]).expect("commit");
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err(), "{answers:?}");

    let check = |store: &dyn Store| {
        let after = look(store);
        assert_eq!(after.runs[1], before.runs[1], "a refused append changed its run");
        assert_eq!(after.dues, before.dues[1..], "only the timer of the refused append's run is left");
        assert_eq!(frames(store, &kept), ["started", "timer", "new", "timer"]);
        let head = &after.heads[0];
        assert_eq!((head.status, head.fence, head.length), (RunStatus::Completed, Fence(9), Position(4)));
    };
    check(&*store);
    check(&*reopen(harness, store));
}

/// S3 (R13): an append that expects another length than the run has is told the length and changes nothing.
///
/// # Panics
/// When the store breaks the rule.
pub fn s03_a_wrong_position_changes_nothing(harness: &dyn StoreHarness) {
    let store = harness.open();
    let (id, unknown) = (run("a"), run("b"));
    assert_eq!(commit(&*store, append(&id, 0, &["0", "1", "2"], RunStatus::Running)), Ok(()));
    let before = look(&*store);
    let nothing = append(&unknown, 0, &[], RunStatus::Running);
    let refusal = Refused::WrongPosition { expected: Position(0), found: Position(0) };
    assert_eq!(commit(&*store, nothing), Err(refusal), "without records no run begins");
    let wrong = |id: &RunId, expected: u64, found: u64| {
        let answer = commit(&*store, with_fence(7, append(id, expected, &["wrong"], RunStatus::Failed)));
        let refusal = Refused::WrongPosition { expected: Position(expected), found: Position(found) };
        assert_eq!(answer, Err(refusal));
        assert_eq!(look(&*store), before, "a refused append changed something");
    };
    for expected in [0, 1, 2, 4, 5, u64::MAX] {
        wrong(&id, expected, 3);
    }
    for expected in [1, u64::MAX] {
        wrong(&unknown, expected, 0);
    }
    let both = commit(&*store, with_fence(0, append(&id, 2, &["wrong"], RunStatus::Failed)));
    assert_eq!(
        both,
        Err(Refused::WrongPosition { expected: Position(2), found: Position(3) }),
        "position is told first"
    );

    // Later appends of a commit see the earlier ones, and not the refused ones.
    let steps = [(3, "3"), (3, "again"), (5, "gap"), (4, "4"), (5, "5")];
    let appends: Vec<Append> = steps.map(|(at, frame)| append(&id, at, &[frame], RunStatus::Running)).into();
    let answers: Vec<bool> = store.commit(&appends).expect("commit").iter().map(Result::is_ok).collect();
    assert_eq!(answers, [true, false, false, true, true]);
    let store = reopen(harness, store);
    assert_eq!(frames(&*store, &id), ["0", "1", "2", "3", "4", "5"]);
}

/// S6: of any number of creations of one id, together or apart, exactly one is applied.
///
/// # Panics
/// When the store breaks the rule.
pub fn s06_create_is_idempotent_by_id(harness: &dyn StoreHarness) {
    const CALLERS: usize = 16;
    let store = harness.open();
    let exists = Err(Refused::WrongPosition { expected: Position(0), found: Position(1) });

    let once = run("once");
    let creations = ["first", "second"].map(|frame| append(&once, 0, &[frame], RunStatus::Running));
    assert_eq!(store.commit(&creations).expect("commit"), [Ok(()), exists], "two in one commit");
    assert_eq!(commit(&*store, append(&once, 0, &["third"], RunStatus::Running)), exists, "in a later commit");
    assert_eq!(frames(&*store, &once), ["first"]);

    let raced = run("raced");
    let barrier = Barrier::new(CALLERS);
    let created = std::thread::scope(|scope| {
        let create = || {
            barrier.wait();
            commit(&*store, append(&raced, 0, &["created"], RunStatus::Running)).is_ok()
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(create)).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).filter(|created| *created).count()
    });
    assert_eq!(created, 1, "of {CALLERS} concurrent creations");

    let finished = run("finished");
    assert_eq!(commit(&*store, append(&finished, 0, &["result"], RunStatus::Completed)), Ok(()));
    tidy_up(&*store);
    let store = reopen(harness, store);
    for id in [&once, &raced, &finished] {
        assert_eq!(commit(&*store, append(id, 0, &["late"], RunStatus::Running)), exists, "{id} after reopening");
    }
}

/// S7 (R13): the highest fence that wrote is kept; writing with the same one or a higher one is allowed.
///
/// # Panics
/// When the store breaks the rule.
pub fn s07_fences_only_grow(harness: &dyn StoreHarness) {
    let mut store = harness.open();
    let id = run("fenced");
    for (position, fence) in [0, 0, 3, 3, 4, u64::MAX].into_iter().enumerate() {
        let next = with_fence(fence, append(&id, position as u64, &["x"], RunStatus::Running));
        assert_eq!(commit(&*store, next), Ok(()), "fence {fence}");
        assert_eq!(fence_of(&*store, &id), Fence(fence));
        store = reopen(harness, store);
        assert_eq!(fence_of(&*store, &id), Fence(fence), "after reopening");
    }
}

/// S8 (R13): a fence below the run's is refused, told the present one, and changes nothing, finished runs included.
///
/// # Panics
/// When the store breaks the rule.
pub fn s08_a_stale_fence_is_refused(harness: &dyn StoreHarness) {
    let mut store = harness.open();
    let (active, halted) = (run("active"), run("halted"));
    for (id, status) in [(&active, RunStatus::Running), (&halted, RunStatus::Halted)] {
        assert_eq!(commit(&*store, with_fence(5, append(id, 0, &["x"], status))), Ok(()));
    }
    for round in ["fresh", "tidied", "reopened", "compacted"] {
        match round {
            "tidied" => tidy_up(&*store),
            "reopened" => store = reopen(harness, store),
            "compacted" => store.compact().expect("compact"),
            _ => {}
        }
        let before = look(&*store);
        for id in [&active, &halted] {
            for given in [0, 4] {
                let answer = commit(&*store, with_fence(given, append(id, 1, &["stale"], RunStatus::Running)));
                let stale = Refused::StaleFence { given: Fence(given), current: Fence(5) };
                assert_eq!(answer, Err(stale), "{id}, {round}");
            }
        }
        assert_eq!(look(&*store), before, "{round}: a refused append changed something");
    }
    // A new owner takes over in the middle of a commit: the old one's next append is refused.
    let change_of_owner = [
        with_fence(6, append(&active, 1, &["new owner"], RunStatus::Running)),
        with_fence(5, append(&active, 2, &["old owner"], RunStatus::Running)),
    ];
    let stale = Err(Refused::StaleFence { given: Fence(5), current: Fence(6) });
    assert_eq!(store.commit(&change_of_owner).expect("commit"), [Ok(()), stale]);
}
