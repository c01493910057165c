//! What outlives closing, damage, deletion and odd names: S2, S11, S12, S13, S14.

use super::{StoreHarness, append, commit, frames, look, reopen, run, tidy_up};
use crate::clock::Timestamp;
use crate::id::{Position, RUN_ID_BYTES_MAX, RunId};
use crate::store::{Append, Record, Refused, RunStatus, Store, StoreError};
use crate::testing::Random;

/// S2: everything acknowledged is there after the store was closed without any farewell, deletions included.
///
/// # Panics
/// When the store breaks the rule.
pub fn s02_ok_means_durable(harness: &dyn StoreHarness) {
    let id = run("kept");
    for round in 0..10_u64 {
        let store = harness.open();
        let expected: Vec<String> = (0..round * 3).map(|record| record.to_string()).collect();
        if round > 0 {
            assert_eq!(frames(&*store, &id), expected, "round {round}");
            assert_eq!(store.head(&run("deleted")).expect("head"), None, "round {round}: a deleted run came back");
        }
        for record in round * 3..round * 3 + 3 {
            assert_eq!(commit(&*store, append(&id, record, &[&record.to_string()], RunStatus::Running)), Ok(()));
        }
        let finished = run(&format!("finished {round}"));
        assert_eq!(commit(&*store, append(&finished, 0, &["x"], RunStatus::Completed)), Ok(()));
        assert_eq!(commit(&*store, append(&run("deleted"), 0, &["x"], RunStatus::Running)), Ok(()));
        assert!(store.delete(&run("deleted")).expect("delete"));
    }
    let store = harness.open();
    assert_eq!(store.list(Some(RunStatus::Completed), None, usize::MAX).expect("list").len(), 10);
}

/// S11 (R12): a damaged frame costs at most its own run, which is named or comes back with only that frame different
/// (frames carry a checksum of their own, which the journal layer checks); all else works.
///
/// # Panics
/// When the store breaks the rule.
pub fn s11_corrupt_bytes_give_a_typed_error(harness: &dyn StoreHarness) {
    let ids = ["active", "bystander", "finished", "long"].map(run);
    let statuses = [RunStatus::Running, RunStatus::Suspended, RunStatus::Completed, RunStatus::Halted];
    let store = harness.open();
    // No two frames are alike, so that a harness can find one by its bytes.
    let appends: Vec<Append> = std::iter::zip(&ids, statuses)
        .map(|(id, status)| {
            let texts: Vec<String> =
                (0..if id == &ids[3] { 2_000 } else { 3 }).map(|at| format!("<{id} {at}>")).collect();
            append(id, 0, &texts.iter().map(String::as_str).collect::<Vec<_>>(), status)
        })
        .collect();
    assert!(store.commit(&appends).expect("commit").iter().all(Result::is_ok));
    tidy_up(&*store);
    assert!(store.corrupt().is_empty(), "all is well before the damage");
    let intact = look(&*store);
    drop(store);

    for (which, position) in [(0, 1), (2, 2), (3, 1_999)] {
        let (id, position) = (&ids[which], Position(position));
        if !harness.corrupt_frame(id, position) {
            return;
        }
        let store = harness.open();
        match store.read(id) {
            Err(StoreError::Corrupt { run, .. }) => assert_eq!(&run, id, "the error names another run"),
            Err(error) => panic!("{id}: damage gave another error: {error}"),
            Ok(None) => panic!("{id}: damage made the run disappear"),
            Ok(Some(stored)) => {
                let frames = stored.frames.iter().zip(&intact.runs[which].frames).enumerate();
                let differing: Vec<usize> = frames.filter(|(_, (now, then))| now != then).map(|(at, _)| at).collect();
                assert_eq!(differing, [usize::try_from(position.0).expect("small")], "{id}: other frames differ");
            }
        }
        let bystander = store.read(&ids[1]).expect("read");
        assert_eq!(bystander.as_ref(), Some(&intact.runs[1]), "another run was affected");
        let other = run(&format!("new {which}"));
        assert_eq!(commit(&*store, append(&other, 0, &["x"], RunStatus::Running)), Ok(()), "after the damage");
        drop(store);
    }
    let store = harness.open();
    for id in &ids {
        assert!(store.delete(id).expect("a corrupt run can be deleted"), "{id}");
        assert_eq!(commit(&*store, append(id, 0, &["anew"], RunStatus::Running)), Ok(()));
        assert_eq!(frames(&*store, id), ["anew"]);
    }
    assert!(store.corrupt().is_empty(), "the corrupt runs are gone");
}

/// S12: whatever a store showed, it shows again after reopening, tidied or compacted or not.
///
/// # Panics
/// When the store breaks the rule.
pub fn s12_everything_again_after_reopen(harness: &dyn StoreHarness) {
    let mut store = harness.open();
    let statuses =
        [RunStatus::Running, RunStatus::Suspended, RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled];
    let mut random = Random::new(12);
    for round in 0..6 {
        for number in 0..30 {
            let id = run(&format!("{number}"));
            let length = store.head(&id).expect("head").map_or(0, |head| head.length.0);
            let mut next = append(&id, length, &["one", "two"], statuses[random.below(4)]);
            next.records[0].due = Some(Timestamp(random.number() % 50));
            next.clears = vec![Position(random.number() % (length + 1))];
            assert_eq!(commit(&*store, next), Ok(()));
        }
        assert!(store.delete(&run(&format!("{round}"))).expect("delete"));
        let before = look(&*store);
        store = reopen(harness, store);
        assert_eq!(look(&*store), before, "round {round}: reopened");
        tidy_up(&*store);
        assert_eq!(look(&*store), before, "round {round}: tidied");
        store = reopen(harness, store);
        assert_eq!(look(&*store), before, "round {round}: tidied and reopened");
        if round % 2 == 1 {
            store.compact().expect("compact");
            assert_eq!(look(&*store), before, "round {round}: compacted");
            store = reopen(harness, store);
            assert_eq!(look(&*store), before, "round {round}: compacted and reopened");
        }
    }
}

/// S13: after deleting nearly everything and compacting, nearly all the space is free again.
///
/// # Panics
/// When the store breaks the rule.
pub fn s13_space_of_deleted_runs_is_given_back(harness: &dyn StoreHarness) {
    const RUNS: usize = 64;
    let store = harness.open();
    let id = |number: usize| run(&format!("run {number}"));
    let mut random = Random::new(13);
    for number in 0..RUNS {
        // Noise, so that a store that compresses has nothing to gain.
        let records = vec![Record { frame: random.bytes(64 << 10), due: None }; 2];
        let status = if number % 2 == 0 { RunStatus::Completed } else { RunStatus::Running };
        let create = Append { records, ..append(&id(number), 0, &[], status) };
        assert_eq!(commit(&*store, create), Ok(()));
    }
    tidy_up(&*store);
    let full = harness.bytes();
    for number in 4..RUNS {
        assert!(store.delete(&id(number)).expect("delete"), "{number}");
    }
    let before = look(&*store);
    assert_eq!(before.heads.len(), 4);
    store.compact().expect("compact");
    assert_eq!(look(&*store), before, "compacted");
    let store = reopen(harness, store);
    assert_eq!(look(&*store), before, "compacted and reopened");
    if let (Some(full), Some(left)) = (full, harness.bytes()) {
        assert!(left < full / 4, "{left} bytes are left of {full} with a sixteenth of the runs");
    }
    for number in 4..RUNS {
        assert_eq!(store.head(&id(number)).expect("head"), None, "{number} came back");
    }
    assert_eq!(commit(&*store, append(&id(4), 0, &["anew"], RunStatus::Running)), Ok(()));
}

/// S14: any id that [`RunId`] admits is kept exactly: NUL, separators, any script, prefixes of one another.
///
/// # Panics
/// When the store breaks the rule.
pub fn s14_hostile_ids_are_stored_exactly(harness: &dyn StoreHarness) {
    let short = ["a", "a\0", "a\0\0", "a\0a", "aa", "a/b", "a/", "/", "..", "\0", "\0\0", "\0\u{1}", "\u{1}"];
    let odd =
        ["a\u{10ffff}", "\u{ff}", "\u{7f}", "é", "e\u{301}", "訂單", "🦀", "'; DROP TABLE runs; --", " ", "\n", "%00"];
    let long = ["x".repeat(RUN_ID_BYTES_MAX), "x".repeat(RUN_ID_BYTES_MAX - 1), "\0".repeat(RUN_ID_BYTES_MAX)];
    let mut ids: Vec<RunId> =
        short.iter().chain(&odd).copied().chain(long.iter().map(String::as_str)).map(run).collect();

    let store = harness.open();
    for (number, id) in ids.iter().enumerate() {
        let status = if number % 2 == 0 { RunStatus::Suspended } else { RunStatus::Completed };
        let mut create = append(id, 0, &[id.as_str()], status);
        create.records[0].due = Some(Timestamp(1));
        assert_eq!(commit(&*store, create), Ok(()), "{id:?}");
    }
    let unfinished: Vec<RunId> = {
        let mut unfinished: Vec<RunId> = ids.iter().step_by(2).cloned().collect();
        unfinished.sort();
        unfinished
    };
    ids.sort();
    let check = |store: &dyn Store, when: &str| {
        let listed = store.list(None, None, usize::MAX).expect("list").into_iter().map(|head| head.run);
        assert!(listed.eq(ids.iter().cloned()), "{when}: not the ids in the order of their bytes");
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(frames(store, id), [id.as_str()], "{when}: {id:?}");
            let next = store.list(None, Some(id), 1).expect("list").into_iter().next().map(|head| head.run);
            assert_eq!(next.as_ref(), ids.get(at + 1), "{when}: what follows {id:?}");
        }
        let dues = store.due(Timestamp(1), usize::MAX).expect("due").into_iter().map(|due| due.run);
        assert!(dues.eq(unfinished.iter().cloned()), "{when}: timers");
    };
    check(&*store, "created");
    tidy_up(&*store);
    check(&*store, "tidied");
    let store = reopen(harness, store);
    check(&*store, "reopened");
    store.compact().expect("compact");
    check(&*store, "compacted");
    for (at, id) in ids.iter().enumerate() {
        let exists = Refused::WrongPosition { expected: Position(0), found: Position(1) };
        assert_eq!(commit(&*store, append(id, 0, &["x"], RunStatus::Running)), Err(exists), "{id:?}");
        assert!(store.delete(id).expect("delete"), "{id:?}");
        let left = store.list(None, None, usize::MAX).expect("list").into_iter().map(|head| head.run);
        assert!(left.eq(ids[at + 1..].iter().cloned()), "deleting {id:?} touched another run");
    }
}
