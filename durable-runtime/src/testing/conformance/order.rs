//! What a store returns, and in which order: S4, S5, S9, S10.

use super::{END_OF_TIME, StoreHarness, append, commit, frames, look, reopen, run, tidy_up};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, DueTimer, Record, RunStatus, Store};

/// S4: frames come back in the order they were given, across appends, commits and other runs' records in between.
///
/// # Panics
/// When the store breaks the rule.
pub fn s04_order_is_kept(harness: &dyn StoreHarness) {
    let store = harness.open();
    let ids = [run("a"), run("b"), run("c")];
    let mut expected: [Vec<String>; 3] = Default::default();
    for commit in 0..20 {
        let mut appends = Vec::new();
        for part in 0..6 {
            let which = part % ids.len();
            let texts: Vec<String> = (0..=part % 3).map(|record| format!("{commit}.{part}.{record}")).collect();
            let frames: Vec<&str> = texts.iter().map(String::as_str).collect();
            appends.push(append(&ids[which], expected[which].len() as u64, &frames, RunStatus::Running));
            expected[which].extend(texts);
        }
        let answers = store.commit(&appends).expect("commit");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    let check = |store: &dyn Store| {
        for (id, expected) in ids.iter().zip(&expected) {
            assert_eq!(&frames(store, id), expected);
        }
    };
    check(&*store);
    check(&*reopen(harness, store));
}

/// S4: a frame of any size, from nothing to 3 MiB, comes back byte for byte, while running and when finished.
///
/// # Panics
/// When the store breaks the rule.
pub fn s04_frames_of_any_size_are_kept_exactly(harness: &dyn StoreHarness) {
    const SIZES: [usize; 13] =
        [0, 1, 100, 8_100, 8_191, 8_192, 8_193, 14_000, 16_384, 131_072, 1 << 20, 3 << 20, (3 << 20) + 1];
    let store = harness.open();
    let frame = |bytes: usize| -> Vec<u8> { (0..bytes).map(|at| (at * 31 + bytes).to_le_bytes()[0]).collect() };
    let record = |bytes: usize| Record { frame: frame(bytes), due: None };
    let (together, apart, empty) = (run("together"), run("apart"), run("empty"));
    let all = Append { records: SIZES.map(record).into(), ..append(&together, 0, &[], RunStatus::Running) };
    assert_eq!(commit(&*store, all), Ok(()));
    for (position, bytes) in SIZES.into_iter().enumerate() {
        let one = append(&apart, position as u64, &[], RunStatus::Running);
        assert_eq!(commit(&*store, Append { records: vec![record(bytes)], ..one }), Ok(()));
    }
    assert_eq!(commit(&*store, append(&empty, 0, &["", "", ""], RunStatus::Running)), Ok(()));
    let check = |store: &dyn Store, when: &str| {
        for id in [&together, &apart] {
            let stored = store.read(id).expect("read").expect("the run exists");
            assert_eq!(stored.frames.len(), SIZES.len(), "{when}, {id}");
            for (found, bytes) in stored.frames.iter().zip(SIZES) {
                assert!(found == &frame(bytes), "{when}, {id}: a frame of {bytes} bytes came back differently");
            }
            check_ends(store, id, when);
        }
        assert_eq!(frames(store, &empty), ["", "", ""], "{when}");
    };
    check(&*store, "at once");
    let store = reopen(harness, store);
    check(&*store, "reopened");

    let last = SIZES.len() as u64;
    for id in [&together, &apart] {
        let halt = append(id, last, &[], RunStatus::Halted);
        assert_eq!(commit(&*store, Append { records: vec![record(77)], ..halt }), Ok(()));
    }
    tidy_up(&*store);
    let resumed = append(&apart, last + 1, &[], RunStatus::Running);
    assert_eq!(commit(&*store, Append { records: vec![record(1 << 20)], ..resumed }), Ok(()));
    store.compact().expect("compact");
    let store = reopen(harness, store);
    for (id, more) in [(&together, &[77][..]), (&apart, &[77, 1 << 20])] {
        let stored = store.read(id).expect("read").expect("the run exists");
        let sizes: Vec<usize> = SIZES.iter().chain(more).copied().collect();
        assert!(stored.frames.iter().map(Vec::len).eq(sizes.iter().copied()), "{id}: other sizes");
        let equal = stored.frames.iter().zip(&sizes).all(|(found, bytes)| found == &frame(*bytes));
        assert!(equal, "{id}: halted, tidied, compacted and reopened, a frame came back differently");
        check_ends(&*store, id, "at the end");
    }
}

/// The ends of a run are those of all its frames.
fn check_ends(store: &dyn Store, id: &RunId, when: &str) {
    let stored = store.read(id).expect("read").expect("the run exists");
    let ends = store.ends(id).expect("ends").expect("the run exists");
    let equal = (Some(&ends.first), Some(&ends.last)) == (stored.frames.first(), stored.frames.last());
    assert!(equal && ends.head == stored.head, "{when}, {id}: its ends are others than its frames have");
}

/// S5: what was acknowledged is seen by the next read, from any thread.
///
/// # Panics
/// When the store breaks the rule.
pub fn s05_reads_see_own_writes(harness: &dyn StoreHarness) {
    let store = harness.open();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let id = run(&format!("writer {writer}"));
                for position in 0..25_u64 {
                    let mut next = append(&id, position, &[&format!("{position}")], RunStatus::Suspended);
                    next.records[0].due = Some(Timestamp(position));
                    next.clears = position.checked_sub(1).map(Position).into_iter().collect();
                    assert_eq!(commit(&**store, next), Ok(()));

                    let head = store.head(&id).expect("head").expect("the run exists");
                    assert_eq!((head.length, head.status), (Position(position + 1), RunStatus::Suspended));
                    assert_eq!(frames(&**store, &id).len() as u64, position + 1);
                    let listed = store.list(Some(RunStatus::Suspended), None, usize::MAX).expect("list");
                    assert!(listed.contains(&head), "{listed:?} without {head:?}");
                    let dues = store.due(END_OF_TIME, usize::MAX).expect("due");
                    let own: Vec<Position> = dues.iter().filter(|due| due.run == id).map(|due| due.position).collect();
                    assert_eq!(own, [Position(position)]);
                }
            });
        }
    });
    let id = run("writer 0");
    assert!(store.delete(&id).expect("delete"));
    assert_eq!(store.head(&id).expect("head"), None);
    assert_eq!(store.read(&id).expect("read"), None);
    assert_eq!(store.ends(&id).expect("ends"), None);
    assert!(look(&*store).heads.iter().all(|head| head.run != id));
    assert!(!store.delete(&id).expect("delete"), "deleted twice");
}

/// S9 (R12): paging through the unfinished runs meets each exactly once, in the order of ids, while others come and go.
///
/// # Panics
/// When the store breaks the rule.
pub fn s09_the_scan_returns_each_unfinished_run_once(harness: &dyn StoreHarness) {
    let store = harness.open();
    let statuses = [RunStatus::Running, RunStatus::Halted, RunStatus::Suspended, RunStatus::Failed];
    let id = |number: usize| run(&format!("run {number:03}"));
    for number in 0..40 {
        assert_eq!(commit(&*store, append(&id(number), 0, &["x"], statuses[number % 4])), Ok(()));
    }
    // One that was halted and resumed, and one that ran and finished, count as what they are now.
    assert_eq!(commit(&*store, append(&id(1), 1, &["resumed"], RunStatus::Running)), Ok(()));
    assert_eq!(commit(&*store, append(&id(4), 1, &["finished"], RunStatus::Completed)), Ok(()));
    let unfinished = |number: &usize| (number.is_multiple_of(4) && *number != 4) || *number == 1;
    let expected: Vec<RunId> = (0..40).filter(unfinished).map(id).collect();

    let page_through = |store: &dyn Store, limit: usize, disturb: &dyn Fn(usize)| {
        let (mut seen, mut after): (Vec<RunId>, _) = (Vec::new(), None);
        for page in 0.. {
            let heads = store.list(Some(RunStatus::Running), after.as_ref(), limit).expect("list");
            assert!(heads.len() <= limit, "{} heads with a limit of {limit}", heads.len());
            assert!(heads.iter().all(|head| head.status == RunStatus::Running));
            let Some(last) = heads.last() else { return seen };
            after = Some(last.run.clone());
            seen.extend(heads.into_iter().map(|head| head.run));
            disturb(page);
        }
        seen
    };
    assert_eq!(store.list(None, None, 0).expect("list"), []);
    for limit in [1, 2, 7, 100] {
        assert_eq!(page_through(&*store, limit, &|_| {}), expected, "pages of {limit}");
    }
    let disturb = |page: usize| {
        // Appends to a run already passed, creates and finishes one behind, and tidies under the reader's feet.
        let length = store.head(&id(0)).expect("head").expect("the run exists").length.0;
        assert_eq!(commit(&*store, append(&id(0), length, &["x"], RunStatus::Running)), Ok(()));
        assert_eq!(commit(&*store, append(&run(&format!("a{page}")), 0, &["x"], RunStatus::Failed)), Ok(()));
        store.tidy().expect("tidy");
    };
    assert_eq!(page_through(&*store, 2, &disturb), expected, "with other work in between");

    let store = reopen(harness, store);
    assert_eq!(page_through(&*store, 3, &|_| {}), expected, "after reopening");
    for status in statuses {
        let listed = store.list(Some(status), None, usize::MAX).expect("list");
        let all = store.list(None, None, usize::MAX).expect("list");
        assert!(listed.iter().eq(all.iter().filter(|head| head.status == status)), "{status}");
        assert!(all.windows(2).all(|pair| pair[0].run < pair[1].run), "not in the order of ids");
    }
    let after_a_gap = store.list(None, Some(&run("run 0195")), 1).expect("list");
    assert_eq!(after_a_gap[0].run, id(20), "`after` need not exist");
}

/// S10: due timers come by time, run and position, as long as their run is suspended and nobody cleared them.
///
/// # Panics
/// When the store breaks the rule.
pub fn s10_due_timers_come_in_order(harness: &dyn StoreHarness) {
    let mut store = harness.open();
    let (a, b) = (run("a"), run("b"));
    let sleeping = |id: &RunId, expected: u64, dues: &[u64], clears: &[u64], status: RunStatus| Append {
        run: id.clone(),
        expected: Position(expected),
        fence: Fence(1),
        records: dues
            .iter()
            .map(|due| Record { frame: b"timer".to_vec(), due: (*due < 100).then_some(Timestamp(*due)) })
            .collect(),
        replaces: false,
        clears: clears.iter().copied().map(Position).collect(),
        status,
    };
    let due = |store: &dyn Store, now: u64, limit: usize| -> Vec<(u64, RunId, u64)> {
        let listed = store.due(Timestamp(now), limit).expect("due").into_iter();
        listed.map(|DueTimer { due, run, position }| (due.0, run, position.0)).collect()
    };
    let never = 100;
    assert_eq!(commit(&*store, sleeping(&b, 0, &[never, 30, 10, 20], &[], RunStatus::Suspended)), Ok(()));
    assert_eq!(commit(&*store, sleeping(&a, 0, &[20, never, 20, 40], &[], RunStatus::Suspended)), Ok(()));
    let all = [(10, &b, 2), (20, &a, 0), (20, &a, 2), (20, &b, 3), (30, &b, 1), (40, &a, 3)];
    let all = all.map(|(due, run, position)| (due, run.clone(), position));
    for _ in 0..2 {
        assert_eq!(due(&*store, 99, usize::MAX), all);
        assert_eq!(due(&*store, 20, usize::MAX), all[..4], "due now is due");
        assert_eq!(due(&*store, 19, usize::MAX), all[..1]);
        assert_eq!(due(&*store, 9, usize::MAX), []);
        assert_eq!(due(&*store, 99, 3), all[..3]);
        assert_eq!(due(&*store, 99, 0), []);
        store = reopen(harness, store);
    }

    // Clears: a known one, an unknown one, and one of the very append.
    assert_eq!(commit(&*store, sleeping(&a, 4, &[1, 2], &[0, 77, 4], RunStatus::Suspended)), Ok(()));
    let of_a = [(2, a.clone(), 5), (20, a.clone(), 2), (40, a.clone(), 3)];
    let only_a = |store: &dyn Store| -> Vec<_> {
        due(store, 99, usize::MAX).into_iter().filter(|(_, run, _)| run == &a).collect()
    };
    assert_eq!(only_a(&*store), of_a);

    // A running or halted run's timers are silent, and back when it is suspended; what was cleared stays cleared. An
    // append without records can do that, too.
    assert_eq!(commit(&*store, sleeping(&a, 6, &[], &[], RunStatus::Running)), Ok(()));
    assert_eq!(only_a(&*store), []);
    store = reopen(harness, store);
    assert_eq!(only_a(&*store), []);
    assert_eq!(commit(&*store, sleeping(&a, 6, &[], &[], RunStatus::Suspended)), Ok(()));
    assert_eq!(only_a(&*store), of_a);
    tidy_up(&*store);
    store = reopen(harness, store);
    assert_eq!(only_a(&*store), of_a);
    assert_eq!(commit(&*store, sleeping(&a, 6, &[never], &[5], RunStatus::Halted)), Ok(()));
    for _ in 0..2 {
        assert_eq!(only_a(&*store), []);
        tidy_up(&*store);
        store = reopen(harness, store);
    }
    assert_eq!(commit(&*store, sleeping(&a, 7, &[3], &[2], RunStatus::Suspended)), Ok(()));
    let resumed = [(3, a.clone(), 7), (40, a.clone(), 3)];
    for _ in 0..2 {
        assert_eq!(only_a(&*store), resumed);
        store.compact().expect("compact");
        store = reopen(harness, store);
    }

    assert_eq!(commit(&*store, sleeping(&b, 4, &[never], &[], RunStatus::Completed)), Ok(()));
    assert_eq!(due(&*store, 99, usize::MAX), resumed, "a finished run has no timers");
    assert!(store.delete(&a).expect("delete"));
    assert_eq!(due(&*store, 99, usize::MAX), [], "a deleted run has no timers");
    assert_eq!(commit(&*store, sleeping(&a, 0, &[7], &[], RunStatus::Suspended)), Ok(()));
    let store = reopen(harness, store);
    assert_eq!(due(&*store, 99, usize::MAX), [(7, a.clone(), 0)], "created anew, without the old timers");
}

/// S10, S12: a run's timers outlast all that is done to the store while it sleeps, each time that it does.
///
/// # Panics
/// When the store breaks the rule.
pub fn s10_timers_outlast_housekeeping(harness: &dyn StoreHarness) {
    type Housekeeping = fn(&dyn Store);
    const HOUSEKEEPING: [Housekeeping; 4] = [
        |_| {},
        |store| tidy_up(store),
        |store| store.compact().expect("compact"),
        |store| {
            tidy_up(store);
            store.compact().expect("compact");
        },
    ];
    let mut store = harness.open();
    let ids: Vec<RunId> = (0..8).map(|number| run(&format!("sleeper {number}"))).collect();
    let mut dues: Vec<Vec<(Timestamp, Position)>> = vec![Vec::new(); ids.len()];
    let mut lengths = vec![0; ids.len()];
    for round in 0..24 {
        // Some go on with what they waited for, and sleep again; the others sleep all the time.
        for (which, id) in ids.iter().enumerate().filter(|(which, _)| (which + round) % 3 == 0) {
            if lengths[which] > 0 {
                assert_eq!(commit(&*store, append(id, lengths[which], &[], RunStatus::Running)), Ok(()));
            }
            HOUSEKEEPING[(round + which) % 4](&*store);
            let mut next = append(id, lengths[which], &["one", "two"], RunStatus::Suspended);
            for record in &mut next.records {
                let due = Timestamp((round * 7 + which * 3) as u64 % 11);
                record.due = Some(due);
                dues[which].push((due, Position(lengths[which])));
                lengths[which] += 1;
            }
            let cleared = round % dues[which].len();
            next.clears = vec![dues[which].remove(cleared).1];
            assert_eq!(commit(&*store, next), Ok(()));
        }
        let timers = std::iter::zip(&ids, &dues);
        let mut expected: Vec<DueTimer> = timers
            .flat_map(|(id, dues)| {
                dues.iter().map(|(due, position)| DueTimer { due: *due, run: id.clone(), position: *position })
            })
            .collect();
        expected.sort_by_key(|timer| (timer.due, timer.run.clone(), timer.position));
        let suspended = (0..ids.len()).filter(|which| lengths[*which] > 0).map(|which| &ids[which]);
        let suspended: Vec<&RunId> = suspended.collect();
        for housekeeping in HOUSEKEEPING {
            housekeeping(&*store);
            assert_eq!(store.due(END_OF_TIME, usize::MAX).expect("due"), expected, "round {round}");
            assert_eq!(store.due(END_OF_TIME, 3).expect("due"), expected[..3.min(expected.len())], "round {round}");
            let listed = store.list(Some(RunStatus::Suspended), None, usize::MAX).expect("list");
            assert!(listed.iter().map(|head| &head.run).eq(suspended.iter().copied()), "round {round}: {listed:?}");
            assert_eq!(store.list(Some(RunStatus::Running), None, usize::MAX).expect("list"), [], "round {round}");
            store = reopen(harness, store);
        }
    }
}
