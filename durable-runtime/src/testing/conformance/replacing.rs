//! Runs that are replaced: S1, S3, S5, S7, S8, S10, S13.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{END_OF_TIME, Seen, StoreHarness, append, commit, frames, look, parts, reopen, run, tidy_up};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, DueTimer, Record, Refused, RunStatus, Store};
use crate::testing::Random;

/// As [`append`], in place of all that the run has.
fn replace(run: &RunId, expected: u64, frames: &[&str], status: RunStatus) -> Append {
    Append { replaces: true, ..append(run, expected, frames, status) }
}

/// As [`replace`], for a run that sleeps: of the new records the first is due at the time given.
fn replace_and_sleep(run: &RunId, expected: u64, frames: &[&str], due: u64) -> Append {
    let mut append = replace(run, expected, frames, RunStatus::Suspended);
    append.records[0].due = Some(Timestamp(due));
    append
}

/// Five runs of three records, wherever a store may have put them: one that goes on, one that sleeps, one that slept and
/// goes on, one that was halted, and one that has ended.
fn runs_of_every_kind(harness: &dyn StoreHarness) -> (std::sync::Arc<dyn Store>, [RunId; 5]) {
    let store = harness.open();
    let ids = ["active", "asleep", "awake", "ended", "halted"].map(run);
    let statuses =
        [RunStatus::Running, RunStatus::Suspended, RunStatus::Suspended, RunStatus::Completed, RunStatus::Halted];
    for (id, status) in ids.iter().zip(statuses) {
        let mut create = append(id, 0, &["0", "1"], status);
        create.records[1].due = Some(Timestamp(5));
        assert_eq!(commit(&*store, create), Ok(()));
    }
    // Then those that sleep, too, are where a store has what it does not need soon.
    tidy_up(&*store);
    store.compact().expect("compact");
    for (id, status) in [(&ids[0], RunStatus::Running), (&ids[2], RunStatus::Running)] {
        assert_eq!(commit(&*store, append(id, 2, &["2"], status)), Ok(()));
    }
    (store, ids)
}

fn length(store: &dyn Store, id: &RunId) -> u64 {
    store.head(id).expect("head").expect("the run exists").length.0
}

/// Whatever a store has of it, it has the same after housekeeping and reopening.
fn outlasts_everything(
    harness: &dyn StoreHarness,
    mut store: std::sync::Arc<dyn Store>,
    seen: &Seen,
) -> std::sync::Arc<dyn Store> {
    assert_eq!(&look(&*store), seen, "looked at twice");
    store = reopen(harness, store);
    assert_eq!(&look(&*store), seen, "reopened");
    tidy_up(&*store);
    assert_eq!(&look(&*store), seen, "tidied");
    store = reopen(harness, store);
    assert_eq!(&look(&*store), seen, "tidied and reopened");
    store.compact().expect("compact");
    assert_eq!(&look(&*store), seen, "compacted");
    store = reopen(harness, store);
    assert_eq!(&look(&*store), seen, "compacted and reopened");
    store
}

/// S1, S12: an append that replaces leaves the run with its own records, timers, fence and status, and with nothing of
/// what was there before, wherever the store had it; one that is refused changes nothing.
///
/// # Panics
/// When the store breaks the rule.
pub fn s01_a_replacement_takes_the_place_of_all_records(harness: &dyn StoreHarness) {
    let (store, ids) = runs_of_every_kind(harness);
    let before = look(&*store);
    let refused = &ids[4];
    let appends: Vec<Append> = ids
        .iter()
        .map(|id| {
            let expected = if id == refused { 1 } else { length(&*store, id) };
            Append { fence: Fence(9), ..replace_and_sleep(id, expected, &["anew", id.as_str()], 7) }
        })
        .collect();
    let answers = store.commit(&appends).expect("commit");
    let wrong = Err(Refused::WrongPosition { expected: Position(1), found: Position(2) });
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Ok(()), wrong]);

    let after = look(&*store);
    for (id, run) in ids.iter().zip(&after.runs).filter(|(id, _)| *id != refused) {
        assert_eq!(frames(&*store, id), ["anew", id.as_str()]);
        let head = &run.head;
        assert_eq!((head.status, head.fence, head.length), (RunStatus::Suspended, Fence(9), Position(2)), "{id}");
    }
    assert_eq!(after.runs[4], before.runs[4], "a refused replacement changed its run");
    let due = |id: &RunId| DueTimer { due: Timestamp(7), run: id.clone(), position: Position(0) };
    assert_eq!(after.dues, ids[..4].iter().map(due).collect::<Vec<_>>());
    let store = outlasts_everything(harness, store, &after);

    // It goes on like any other run.
    for id in &ids[..4] {
        let next = Append { fence: Fence(9), ..append(id, 2, &["more"], RunStatus::Completed) };
        assert_eq!(commit(&*store, next), Ok(()));
        assert_eq!(frames(&*store, id), ["anew", id.as_str(), "more"]);
    }
    let seen = look(&*store);
    let store = outlasts_everything(harness, store, &seen);
    assert!(ids.iter().all(|id| store.delete(id).expect("delete")));
    let store = reopen(harness, store);
    assert_eq!(look(&*store).heads, [], "what was replaced came back when what replaced it was deleted");
}

/// S1, S3, S4: appends of one commit that replace and that don't are applied in order, each to what the ones before left.
///
/// # Panics
/// When the store breaks the rule.
pub fn s01_replacements_share_a_commit_with_other_appends(harness: &dyn StoreHarness) {
    let (store, ids) = runs_of_every_kind(harness);
    let mut appends = Vec::new();
    let mut expected = Vec::new();
    for id in &ids {
        let at = length(&*store, id);
        let wrong = |expected: u64, found: u64| {
            Err(Refused::WrongPosition { expected: Position(expected), found: Position(found) })
        };
        // The last one is of the very first record of another run, between whose frames these are.
        appends.extend([
            append(id, at, &["of the old ones"], RunStatus::Halted),
            replace_and_sleep(id, at + 1, &["a", "b", "c", "d", "e"], 3),
            append(id, at + 9, &["refused"], RunStatus::Failed),
            append(id, 5, &["f"], RunStatus::Suspended),
            replace(id, 5, &["refused"], RunStatus::Failed),
            replace_and_sleep(id, 6, &["A", "B"], 4),
            append(id, 2, &["C", id.as_str()], RunStatus::Suspended),
            append(&run(&format!("{id}, another")), 0, &["x", "y"], RunStatus::Running),
        ]);
        expected.extend([Ok(()), Ok(()), wrong(at + 9, 5), Ok(()), wrong(5, 6), Ok(()), Ok(()), Ok(())]);
    }
    assert_eq!(store.commit(&appends).expect("commit"), expected);
    for id in &ids {
        assert_eq!(frames(&*store, id), ["A", "B", "C", id.as_str()]);
        assert_eq!(frames(&*store, &run(&format!("{id}, another"))), ["x", "y"]);
    }
    let seen = look(&*store);
    let due = |id: &RunId| DueTimer { due: Timestamp(4), run: id.clone(), position: Position(0) };
    assert_eq!(seen.dues, ids.iter().map(due).collect::<Vec<_>>());
    outlasts_everything(harness, store, &seen);

    // The very append that begins a run can be replaced by the next one.
    let store = harness.open();
    let both =
        [append(&run("new"), 0, &["0", "1"], RunStatus::Running), replace(&run("new"), 2, &["2"], RunStatus::Running)];
    assert_eq!(store.commit(&both).expect("commit"), [Ok(()), Ok(())]);
    assert_eq!(frames(&*reopen(harness, store), &run("new")), ["2"]);
}

/// S3, S7, S8: a run is replaced only by records, if it exists, has the length that is expected, and was not written
/// by a later owner; its fence stays or grows.
///
/// # Panics
/// When the store breaks the rule.
pub fn s03_a_replacement_of_something_else_is_refused(harness: &dyn StoreHarness) {
    let (store, ids) = runs_of_every_kind(harness);
    let before = look(&*store);
    let refused = |append: Append, refusal: Refused| {
        let id = append.run.clone();
        assert_eq!(commit(&*store, append), Err(refusal), "{id}");
        assert_eq!(look(&*store), before, "a refused replacement changed something");
    };
    let wrong =
        |expected: u64, found: u64| Refused::WrongPosition { expected: Position(expected), found: Position(found) };
    let unknown = run("unknown");
    for expected in [0, 1, u64::MAX] {
        refused(replace(&unknown, expected, &["new"], RunStatus::Running), wrong(expected, 0));
        refused(replace(&unknown, expected, &[], RunStatus::Running), wrong(expected, 0));
    }
    for id in &ids {
        let length = length(&*store, id);
        for expected in [0, 1, length + 1] {
            refused(replace(id, expected, &["new"], RunStatus::Running), wrong(expected, length));
        }
        refused(replace(id, length, &[], RunStatus::Running), wrong(length, length));
        let stale = Append { fence: Fence(0), ..replace(id, length, &["new"], RunStatus::Running) };
        refused(stale.clone(), Refused::StaleFence { given: Fence(0), current: Fence(1) });
        refused(Append { expected: Position(1), ..stale }, wrong(1, length));
    }

    let mut store = store;
    for id in &ids {
        let mut at = length(&*store, id);
        for (fence, frames) in [(3, &["a", "b"][..]), (3, &["c"]), (u64::MAX, &["d"])] {
            let next = Append { fence: Fence(fence), ..replace(id, at, frames, RunStatus::Suspended) };
            assert_eq!(commit(&*store, next), Ok(()));
            at = frames.len() as u64;
            for housekeeping in [|_: &dyn Store| {}, |store: &dyn Store| tidy_up(store)] {
                housekeeping(&*store);
                store = reopen(harness, store);
                let stale = Append { fence: Fence(fence - 1), ..append(id, at, &["stale"], RunStatus::Running) };
                let current = Fence(fence);
                assert_eq!(commit(&*store, stale), Err(Refused::StaleFence { given: Fence(fence - 1), current }));
            }
        }
    }
}

/// S5: who reads while a run is replaced sees all of the old records and timers, or all of the new ones.
///
/// # Panics
/// When the store breaks the rule.
pub fn s05_readers_see_the_old_records_or_the_new_ones(harness: &dyn StoreHarness) {
    const ROUNDS: u64 = 60;
    let store = harness.open();
    let id = run("replaced");
    // In each round all frames are the same, as many as the round says, and one timer is set.
    let count = |round: u64| 1 + round % 4;
    let of = |round: u64| {
        let text = "x".repeat(usize::try_from(round * 97).expect("small")) + &round.to_string();
        vec![text; usize::try_from(count(round)).expect("small")]
    };
    let next = |round: u64, expected: u64| {
        let (texts, replaces) = (of(round), round > 0);
        let mut append =
            append(&id, expected, &texts.iter().map(String::as_str).collect::<Vec<_>>(), RunStatus::Suspended);
        append.records[0].due = Some(Timestamp(round));
        Append { replaces, ..append }
    };
    assert_eq!(commit(&*store, next(0, 0)), Ok(()));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                assert_eq!(commit(&*store, next(round, count(round - 1))), Ok(()));
                assert_eq!(frames(&*store, &id), of(round), "its own write");
                if round % 3 > 0 {
                    tidy_up(&*store);
                }
                if round % 7 == 0 {
                    store.compact().expect("compact");
                }
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            let seen = frames(&*store, &id);
            let round: u64 = seen[0].trim_start_matches('x').parse().expect("a number");
            assert_eq!(seen, of(round), "of several rounds");
            let ends = store.ends(&id).expect("ends").expect("the run exists");
            assert!(ends.first == ends.last, "the ends of several rounds");
            let part = store.read_part(&id, Position(0), usize::MAX).expect("read_part").expect("the run exists");
            assert_eq!(part.frames.len() as u64, part.head.length.0, "a part of several rounds");
            let dues = store.due(END_OF_TIME, usize::MAX).expect("due");
            assert_eq!(dues.len(), 1, "the timers of one round: {dues:?}");
            assert_eq!(store.list(Some(RunStatus::Suspended), None, usize::MAX).expect("list").len(), 1);
        }
    });
    assert_eq!(parts(&*store, &id, 0).len() as u64, count(ROUNDS));
    assert!(store.corrupt().is_empty());
}

/// S10: of a run that was replaced only the new records' timers are listed, and `clears` are positions of those.
///
/// # Panics
/// When the store breaks the rule.
pub fn s10_a_replaced_run_has_its_new_timers_only(harness: &dyn StoreHarness) {
    let (store, ids) = runs_of_every_kind(harness);
    for id in &ids {
        let mut next = replace(id, length(&*store, id), &["0", "1", "2", "3"], RunStatus::Suspended);
        for (record, due) in next.records.iter_mut().zip([6, 5, 4, 3]) {
            record.due = Some(Timestamp(due));
        }
        // The old record 1 was due at 5, too; 9 is nobody's.
        next.clears = [2, 0, 9].map(Position).into();
        assert_eq!(commit(&*store, next), Ok(()));
    }
    let due = |(due, position): (u64, u64)| {
        let timers = ids.iter().map(move |id| (Timestamp(due), id.clone(), Position(position)));
        timers.map(|(due, run, position)| DueTimer { due, run, position }).collect::<Vec<_>>()
    };
    let seen = look(&*store);
    assert_eq!(seen.dues, [(3, 3), (5, 1)].map(due).concat());
    let store = outlasts_everything(harness, store, &seen);

    // Silent while it does not sleep, and the same when it does again.
    for id in &ids {
        let next = replace_and_sleep(id, 4, &["0", "1"], 8);
        assert_eq!(commit(&*store, Append { status: RunStatus::Running, ..next }), Ok(()));
    }
    assert_eq!(look(&*store).dues, []);
    tidy_up(&*store);
    let store = reopen(harness, store);
    assert_eq!(look(&*store).dues, []);
    for id in &ids {
        assert_eq!(commit(&*store, append(id, 2, &[], RunStatus::Suspended)), Ok(()));
    }
    let seen = look(&*store);
    assert_eq!(seen.dues, due((8, 0)));
    outlasts_everything(harness, store, &seen);
}

/// S13: a run that is replaced again and again takes up no more than one that has its last records only.
///
/// # Panics
/// When the store breaks the rule.
pub fn s13_space_of_replaced_runs_is_given_back(harness: &dyn StoreHarness) {
    const ROUNDS: u64 = 40;
    let store = harness.open();
    let ids = ["active", "asleep"].map(run);
    let statuses = [RunStatus::Running, RunStatus::Suspended];
    // Noise, so that a store that compresses has nothing to gain.
    let mut random = Random::new(13);
    let mut most = None;
    for round in 0..ROUNDS {
        for (id, status) in ids.iter().zip(statuses) {
            let bytes = if round + 1 < ROUNDS { 128 << 10 } else { 100 };
            let records = vec![Record { frame: random.bytes(bytes), due: None }];
            let next = append(id, round.min(1), &[], status);
            assert_eq!(commit(&*store, Append { records, replaces: round > 0, ..next }), Ok(()));
        }
        tidy_up(&*store);
        most = most.max(harness.bytes());
    }
    let before = look(&*store);
    store.compact().expect("compact");
    let store = reopen(harness, store);
    assert_eq!(look(&*store), before, "compacted and reopened");
    if let (Some(most), Some(left)) = (most, harness.bytes()) {
        assert!(left < most / 4, "{left} bytes are left of {most} with two records of 100 bytes");
    }
}
