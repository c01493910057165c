//! What no caller sees: how much housekeeping is done at once, what is left behind, and what an opening changes.

use super::layout::{DUE, LOG, SETTLED, SETTLED_MORE};
use super::tidy::Budget;
use super::*;
use crate::id::{Fence, Position};
use crate::store::Record;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

pub(super) const PLENTY: Budget = Budget { settled_runs_max: 1_000, bytes_max: 1 << 30, log_bytes_min: 1 << 30 };

/// Limits that are never reached.
pub(super) const LIMITS: Limits = Limits {
    tidy: PLENTY,
    in_passing: PLENTY,
    finished_waiting_max: 1_000,
    suspended_max: 1_000,
    suspended_bytes_max: 1 << 30,
    log_to_live_max: 1_000,
    removed_chunks_max: 1_000,
    side_file_commits: 1_000,
};

pub(super) fn opened(folder: &Path, limits: Limits) -> SledStore {
    SledStore::open_with(folder, Durability::Buffered, limits).expect("the store opens")
}

pub(super) fn run(number: usize) -> RunId {
    RunId::new(format!("run {number:04}")).expect("an id")
}

/// A record of so many bytes, by which it is told from others.
pub(super) fn append(number: usize, expected: u64, bytes: usize, status: RunStatus) -> Append {
    let frame = number.to_le_bytes().into_iter().cycle().take(bytes).collect();
    Append {
        run: run(number),
        expected: Position(expected),
        fence: Fence(1),
        records: vec![Record { frame, due: None }],
        replaces: false,
        clears: Vec::new(),
        status,
    }
}

pub(super) fn commit(store: &SledStore, appends: &[Append]) {
    let answers = store.commit(appends).expect("a store that works");
    assert!(answers.iter().all(std::result::Result::is_ok), "{answers:?}");
}

pub(super) fn everything(store: &SledStore) -> Vec<StoredRun> {
    let heads = store.list(None, None, usize::MAX).expect("a store that works");
    heads.iter().map(|head| store.read(&head.run).expect("readable").expect("it is listed")).collect()
}

fn waiting(store: &SledStore) -> usize {
    store.state.read().index.finished_count()
}

pub(super) fn count(store: &SledStore, prefix: &[u8]) -> usize {
    store.state.read().disk.scan_prefix(prefix).count()
}

/// Found with `kill -9` at every system call of a creation: sled writes its file `conf`, and then its checksum.
#[test]
fn a_creation_killed_while_sled_wrote_its_configuration_is_begun_anew() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let path = temporary.path().join("store");
    let folder = Folder::open(&path, Durability::Sync)?;
    let sled_folder = folder.sled_folder(folder.current().generation);
    drop(folder);
    std::fs::create_dir_all(sled_folder.join("blobs"))?;
    std::fs::write(sled_folder.join("conf"), "a configuration without its checksum")?;

    let store = SledStore::open(&path, Durability::Sync)?;
    assert_eq!(store.list(None, None, 10)?, []);
    Ok(())
}

#[test]
fn nobody_reads_what_housekeeping_left_half_done() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let store = SledStore::open(temporary.path().join("store"), Durability::Sync)?;
    let run = RunId::new("ended")?;
    assert_eq!(store.head(&run)?, None);
    store.state.write().torn = Some(StoreError::Broken { first: "the disk is full".to_owned() });
    assert!(matches!(store.head(&run), Err(StoreError::Broken { .. })));
    assert!(matches!(store.read(&run), Err(StoreError::Broken { .. })));
    assert!(matches!(store.list(None, None, 10), Err(StoreError::Broken { .. })));
    assert!(matches!(store.due(Timestamp(0), 10), Err(StoreError::Broken { .. })));
    Ok(())
}

/// What can't be opened is left as it is, for whoever can mend it.
#[test]
fn a_damaged_store_that_has_commits_is_not_begun_anew() -> Result {
    let temporary = tempfile::tempdir()?;
    let path = temporary.path().join("store");
    let store = SledStore::open(&path, Durability::Sync)?;
    commit(&store, &[append(1, 0, 9_000, RunStatus::Completed)]);
    drop(store);
    let sled_folder = path.join("sled-1");
    std::fs::write(sled_folder.join("conf"), "not a configuration")?;
    let length = std::fs::metadata(sled_folder.join("db"))?.len();
    let error = SledStore::open(&path, Durability::Sync).expect_err("it is damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::metadata(sled_folder.join("db"))?.len(), length, "nothing was removed");
    Ok(())
}

/// A commit of so many runs that what tells them apart is longer than a chunk.
#[test]
fn a_commit_with_a_directory_of_several_chunks_is_read_when_opening() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), LIMITS);
    let appends: Vec<Append> = (0..3_000).map(|number| append(number, 0, number % 40, RunStatus::Running)).collect();
    commit(&store, &appends);
    assert!(count(&store, LOG) > 8, "the directory has several chunks, and the frames, too");
    let before = everything(&store);
    drop(store);
    let store = opened(temporary.path(), LIMITS);
    assert_eq!(everything(&store), before);
    assert!(store.corrupt().is_empty());
    Ok(())
}

/// Moved and appended in one commit, several of each: each frame is where the index says.
#[test]
fn runs_that_are_moved_in_passing_are_found_where_they_went() -> Result {
    let temporary = tempfile::tempdir()?;
    let in_passing = Budget { log_bytes_min: 2_000, ..PLENTY };
    let store = opened(temporary.path(), Limits { in_passing, log_to_live_max: 1, ..LIMITS });
    for number in 0..6 {
        commit(&store, &[append(number, 0, 100 + number, RunStatus::Running)]);
    }
    // The log grows, and what it has of the first runs holds it back.
    let mut moved = false;
    for number in 6..60 {
        let two = [append(number, 0, 150, RunStatus::Completed), append(number + 100, 0, 50, RunStatus::Completed)];
        commit(&store, &two);
        store.tidy()?;
        moved |= store.state.read().index.oldest_needed() > Some(8);
        let runs = everything(&store);
        for stored in &runs {
            let number: usize = stored.head.run.as_str()[4..].parse()?;
            let expected = append(number, 0, stored.frames[0].len(), RunStatus::Running);
            assert_eq!(stored.frames[0], expected.records[0].frame, "{}", stored.head.run);
        }
    }
    assert!(moved, "the first runs were moved to the end of the log");
    let before = everything(&store);
    drop(store);
    assert_eq!(everything(&opened(temporary.path(), LIMITS)), before);
    Ok(())
}

#[test]
fn what_waits_is_settled_in_passing_when_nobody_tidies() -> Result {
    let temporary = tempfile::tempdir()?;
    let in_passing = Budget { settled_runs_max: 1, ..PLENTY };
    let store = opened(temporary.path(), Limits { in_passing, finished_waiting_max: 5, ..LIMITS });
    for number in 0..5 {
        commit(&store, &[append(number, 0, 10, RunStatus::Completed)]);
    }
    assert_eq!(waiting(&store), 5, "as many as may wait");
    for round in 1..30 {
        let three: Vec<Append> = (0..3).map(|nth| append(round * 10 + nth, 0, 10, RunStatus::Completed)).collect();
        commit(&store, &three);
        let waiting = waiting(&store);
        assert!(waiting <= 8 && (round > 1 || waiting == 8), "{waiting} wait after {round} commits of three");
    }
    Ok(())
}

#[test]
fn the_log_is_shortened_in_passing_when_it_is_long() -> Result {
    let temporary = tempfile::tempdir()?;
    let in_passing = Budget { log_bytes_min: 5_000, ..PLENTY };
    let store = opened(temporary.path(), Limits { in_passing, ..LIMITS });
    for number in 0..100 {
        commit(&store, &[append(number, 0, 1_000, RunStatus::Completed)]);
        let log_bytes = store.state.read().index.log_bytes();
        assert!(log_bytes < 8_000, "{log_bytes} bytes of the log after {number} commits");
    }
    Ok(())
}

#[test]
fn one_call_of_tidy_does_so_much_and_tells_whether_more_is_left() -> Result {
    for (settled_runs_max, bytes_max, left) in [(3, 1 << 30, 7), (1_000, 1_000, 6), (1_000, 1 << 30, 0)] {
        let temporary = tempfile::tempdir()?;
        let tidy = Budget { settled_runs_max, bytes_max, ..PLENTY };
        let store = opened(temporary.path(), Limits { tidy, ..LIMITS });
        for number in 0..10 {
            commit(&store, &[append(number, 0, 250, RunStatus::Completed)]);
        }
        assert_eq!(store.tidy()?, left > 0, "whether more is left");
        assert_eq!(waiting(&store), left, "of at most {settled_runs_max} runs and {bytes_max} bytes");
        while store.tidy()? {}
        assert_eq!(waiting(&store), 0);
        assert!(count(&store, LOG) <= 2, "the log was shortened");
        assert!(!store.tidy()?, "nothing is left");
    }
    Ok(())
}

/// Of a run that was settled, has gone on, and is settled again.
#[test]
fn the_chunks_of_an_older_settling_are_removed() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), LIMITS);
    commit(&store, &[append(1, 0, 30_000, RunStatus::Halted)]);
    settle(&store);
    assert_eq!(count(&store, SETTLED_MORE), 3);
    commit(&store, &[append(1, 1, 10, RunStatus::Running)]);
    commit(&store, &[append(1, 2, 10, RunStatus::Halted)]);
    settle(&store);
    assert_eq!(count(&store, SETTLED_MORE), 3, "not those of both");
    assert_eq!(store.read(&run(1))?.map(|stored| stored.frames.len()), Some(3));
    Ok(())
}

#[test]
fn one_commit_removes_so_much_of_the_log() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), Limits { removed_chunks_max: 3, ..LIMITS });
    for expected in 0..20 {
        commit(&store, &[append(1, expected, 10, RunStatus::Running)]);
    }
    assert_eq!(count(&store, LOG), 21, "one that is empty, and twenty");
    store.delete(&run(1))?;
    assert_eq!(count(&store, LOG), 21 + 1 - 3);
    commit(&store, &[append(2, 0, 10, RunStatus::Running)]);
    assert_eq!(count(&store, LOG), 21 + 2 - 3, "a commit without housekeeping removes nothing");
    while store.tidy()? {}
    let state = store.state.read();
    let (oldest, needed) = (state.index.oldest_commit(0), state.index.oldest_needed());
    assert_eq!((Some(oldest), needed), (needed, Some(23)), "what is left is removed by further calls");
    Ok(())
}

#[test]
fn the_side_file_is_written_every_so_many_commits() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), Limits { side_file_commits: 4, ..LIMITS });
    let acknowledged = || store.writer.lock().folder.current().acknowledged;
    let at_opening = acknowledged();
    let told = (0..9).map(|number| {
        commit(&store, &[append(number, 0, 10, RunStatus::Running)]);
        acknowledged() - at_opening
    });
    assert_eq!(told.collect::<Vec<_>>(), [0, 0, 0, 4, 4, 4, 4, 8, 8]);
    Ok(())
}

#[test]
fn behind_a_failed_write_nothing_is_written() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), LIMITS);
    let failed: Result<(), StoreError> = Err(StoreError::Broken { first: "the disk is full".to_owned() });
    assert!(store.writer.lock().noted(failed).is_err());
    let is_broken =
        |told: &StoreError| matches!(told, StoreError::Broken { first } if first.contains("the disk is full"));
    assert!(store.commit(&[append(1, 0, 10, RunStatus::Running)]).is_err_and(|told| is_broken(&told)));
    assert!(store.delete(&run(1)).is_err_and(|told| is_broken(&told)));
    assert!(store.tidy().is_err_and(|told| is_broken(&told)));
    assert!(store.compact().is_err_and(|told| is_broken(&told)));
    Ok(())
}

/// Numbers go on: what is settled is known by the number of a commit.
#[test]
fn commits_of_a_compaction_are_numbered_on() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), LIMITS);
    commit(&store, &[append(1, 0, 10, RunStatus::Running)]);
    while store.tidy()? {}
    let before = store.writer.lock().last;
    store.compact()?;
    assert_eq!(store.writer.lock().last, before + 2, "an empty one, and the one with the run");
    Ok(())
}

/// Each status is found again, and none is taken for another.
#[test]
fn a_settled_run_has_the_status_that_it_was_settled_with() {
    let all = [
        RunStatus::Running,
        RunStatus::Suspended,
        RunStatus::Halted,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];
    for status in all {
        let bytes = codec::put_settled(status, Fence(1), (9, 0), &[], &[vec![1]]).expect("it is short");
        assert_eq!(codec::read_settled(&bytes).expect("nothing is wrong with it").header.status, status);
    }
}

/// A flipped byte in it could be another time, or cut the frames in other places.
#[test]
fn a_settled_run_with_a_wrong_directory_is_refused() {
    let frames = [vec![1; 20], vec![2; 30]];
    let dues = [(Position(0), Timestamp(7))];
    let bytes = codec::put_settled(RunStatus::Halted, Fence(1), (9, 0), &dues, &frames).expect("it is short");
    let settled = codec::read_settled(&bytes).expect("nothing is wrong with it");
    assert_eq!((settled.dues, settled.frames), (dues.to_vec(), frames.to_vec()));
    let directory = codec::SETTLED_HEADER_BYTES..bytes.len() - 50;
    assert!(directory.len() >= 5, "a count, a position, a time, and two lengths");
    for byte in directory {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1 << bit;
            assert!(codec::read_settled(&flipped).is_none(), "bit {bit} of byte {byte}");
        }
    }
    assert!(codec::read_settled(&bytes[..bytes.len() - 1]).is_none(), "a byte is missing");
    assert!(codec::read_settled(&[&bytes[..], &[0]].concat()).is_none(), "a byte is left over");
}

/// Of a commit of several chunks: the run of it is told, and the others go on.
#[test]
fn a_commit_without_one_of_its_chunks_costs_its_runs_only() -> Result {
    for missing in [1, 2] {
        let temporary = tempfile::tempdir()?;
        let store = opened(temporary.path(), LIMITS);
        let mut sleeping = append(1, 0, 20_000, RunStatus::Suspended);
        sleeping.records[0].due = Some(Timestamp(5));
        commit(&store, &[sleeping]);
        commit(&store, &[append(2, 0, 20_000, RunStatus::Running)]);
        let mut batch = ::sled::Batch::default();
        batch.remove(layout::log_key(2, missing));
        store.state.read().disk.apply(batch)?;
        drop(store);
        let store = opened(temporary.path(), LIMITS);
        assert!(matches!(store.read(&run(1)), Err(StoreError::Corrupt { .. })), "without chunk {missing}");
        assert_eq!(store.corrupt().len(), 1);
        assert_eq!(everything(&store).len(), 1, "the other run");
        assert_eq!(due(&store, 5, 9), [], "a corrupt run is not woken");
    }
    Ok(())
}

/// As [`append`], and the record is due then.
pub(super) fn sleep(number: usize, expected: u64, due: u64) -> Append {
    let mut append = append(number, expected, 10, RunStatus::Suspended);
    append.records[0].due = Some(Timestamp(due));
    append
}

pub(super) fn due(store: &SledStore, now: u64, limit: usize) -> Vec<(u64, RunId, u64)> {
    let timers = store.due(Timestamp(now), limit).expect("a store that works").into_iter();
    timers.map(|timer| (timer.due.0, timer.run, timer.position.0)).collect()
}

pub(super) fn live(store: &SledStore) -> Vec<RunId> {
    store.state.read().index.after(None).map(|(run, _)| run.clone()).collect()
}

pub(super) fn settle(store: &SledStore) {
    while store.tidy().expect("a store that works") {}
}

pub(super) fn put(store: &SledStore, change: impl FnOnce(&mut ::sled::Batch)) {
    let mut batch = ::sled::Batch::default();
    change(&mut batch);
    store.state.read().disk.apply(batch).expect("a disk that works");
}

/// Settles all that sleep.
pub(super) const DEEP: Limits = Limits { suspended_max: 0, ..LIMITS };

#[test]
fn a_run_that_sleeps_is_settled_and_found_by_its_keys() -> Result {
    let temporary = tempfile::tempdir()?;
    let mut store = opened(temporary.path(), DEEP);
    let records = [7, 5, 7, 9].map(|due| Record { frame: vec![1], due: Some(Timestamp(due)) });
    commit(&store, &[Append { records: records.into(), ..sleep(1, 0, 0) }, sleep(2, 0, 6)]);
    let before = everything(&store);
    let timers = [(5, run(1), 1), (6, run(2), 0), (7, run(1), 0), (7, run(1), 2), (9, run(1), 3)];
    settle(&store);
    assert_eq!((count(&store, LOG), count(&store, DUE)), (1, 4), "a key for each run and time");
    for _ in 0..2 {
        assert_eq!(live(&store), []);
        assert_eq!(everything(&store), before);
        assert_eq!(store.list(Some(RunStatus::Suspended), None, 9)?.len(), 2);
        assert_eq!(store.list(Some(RunStatus::Running), None, 9)?, []);
        assert_eq!(due(&store, u64::MAX, 9), timers);
        assert_eq!(due(&store, 7, 3), timers[..3]);
        assert_eq!(due(&store, 6, 9), timers[..2]);
        drop(store);
        store = opened(temporary.path(), DEEP);
    }

    // It goes on, and its keys are gone; when it sleeps again, it has those that are left.
    commit(&store, &[Append { records: Vec::new(), ..append(1, 4, 0, RunStatus::Running) }]);
    assert_eq!((live(&store), count(&store, DUE)), (vec![run(1)], 1));
    for _ in 0..2 {
        assert_eq!(due(&store, 9, 9), [(6, run(2), 0)]);
        assert_eq!(store.list(Some(RunStatus::Suspended), None, 9)?.len(), 1);
        drop(store);
        store = opened(temporary.path(), DEEP);
    }
    commit(&store, &[Append { clears: vec![Position(0), Position(1)], ..sleep(1, 4, 9) }]);
    let timers = [(6, run(2), 0), (7, run(1), 2), (9, run(1), 3), (9, run(1), 4)];
    assert_eq!(due(&store, 9, 9), timers);
    settle(&store);
    assert_eq!((live(&store), count(&store, DUE)), (vec![], 3));
    assert_eq!(due(&store, 9, 9), timers);

    // One that has ended has none, nor one that was deleted.
    commit(&store, &[append(2, 1, 10, RunStatus::Completed)]);
    settle(&store);
    assert_eq!((due(&store, 9, 9).len(), count(&store, DUE)), (3, 2));
    assert!(store.delete(&run(1))?);
    assert_eq!((due(&store, 9, 9), count(&store, DUE), count(&store, SETTLED)), (vec![], 0, 1));
    Ok(())
}

#[test]
fn of_those_that_sleep_the_last_ones_stay_in_the_log() -> Result {
    for limits in [Limits { suspended_max: 3, ..LIMITS }, Limits { suspended_bytes_max: 300, ..LIMITS }] {
        let temporary = tempfile::tempdir()?;
        let store = opened(temporary.path(), limits);
        (0..10).for_each(|number| commit(&store, &[sleep(number, 0, 5)]));
        commit(&store, &[Append { records: Vec::new(), ..append(4, 1, 0, RunStatus::Suspended) }]);
        settle(&store);
        assert_eq!(live(&store), [run(4), run(8), run(9)]);
        let timers: Vec<_> = (0..10).map(|number| (5, run(number), 0)).collect();
        assert_eq!(due(&store, 5, 99), timers, "those of both in order");
        assert_eq!(due(&store, 5, 6), timers[..6]);
        store.compact()?;
        assert_eq!(live(&store), [], "a compaction settles all");
        assert_eq!(due(&store, 5, 99), timers);
    }
    Ok(())
}

#[test]
fn those_that_sleep_are_settled_in_passing_when_nobody_tidies() -> Result {
    let in_passing = Limits { in_passing: Budget { settled_runs_max: 1, ..PLENTY }, ..LIMITS };
    // Each takes up 91 bytes.
    for limits in [Limits { suspended_max: 5, ..in_passing }, Limits { suspended_bytes_max: 5 * 91, ..in_passing }] {
        let temporary = tempfile::tempdir()?;
        let store = opened(temporary.path(), limits);
        for number in 0..10 {
            commit(&store, &[sleep(number, 0, 5)]);
        }
        assert_eq!(live(&store).len(), 10, "twice as many as stay when somebody tidies");
        for round in 1..30 {
            let three: Vec<Append> = (0..3).map(|nth| sleep(round * 10 + nth, 0, 5)).collect();
            commit(&store, &three);
            let live = live(&store).len();
            assert!(live <= 13 && (round > 1 || live == 13), "{live} are live after {round} commits of three");
        }
        assert_eq!(due(&store, 5, 999).len(), 97);
    }
    Ok(())
}

/// However a key came to be there that leads to nothing: nobody is woken by it, nobody waits behind it, and it goes.
#[test]
fn keys_of_timers_that_nobody_has_are_passed_over_and_removed() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    let ended = Append { status: RunStatus::Completed, ..sleep(2, 0, 3) };
    commit(&store, &[sleep(1, 0, 50), ended, append(3, 0, 10, RunStatus::Running)]);
    settle(&store);
    let keys = [
        b"d".to_vec(),
        [DUE, &[0; 8][..], b"\xff"].concat(),
        layout::due_key(Timestamp(1), &run(9)),
        layout::due_key(Timestamp(2), &run(1)),
        layout::due_key(Timestamp(3), &run(2)),
        layout::due_key(Timestamp(4), &run(3)),
    ];
    put(&store, |batch| keys.iter().for_each(|key| batch.insert(key.clone(), &[])));
    assert_eq!(due(&store, 50, 1), [(50, run(1), 0)]);
    assert_eq!(due(&store, 49, 1), []);
    settle(&store);
    assert_eq!(count(&store, DUE), 2, "that of the timer, and that of a live run");
    assert!(!store.tidy()?);
    commit(&store, &[append(3, 1, 10, RunStatus::Completed)]);
    settle(&store);
    assert_eq!(due(&store, 50, 1), [(50, run(1), 0)]);
    settle(&store);
    assert_eq!(count(&store, DUE), 1);
    Ok(())
}

/// A key that led to nothing when it was met, and does when somebody tidies.
#[test]
fn a_key_that_is_used_again_is_kept() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    for number in [1, 2] {
        put(&store, |batch| batch.insert(layout::due_key(Timestamp(5), &run(number)), &[]));
    }
    assert_eq!(due(&store, 5, 1), []);
    commit(&store, &[sleep(1, 0, 5)]);
    // The first is settled in passing, the second by who tidies.
    commit(&store, &[sleep(2, 0, 5)]);
    assert_eq!(live(&store), [run(2)]);
    for _ in 0..3 {
        store.tidy()?;
        assert_eq!(due(&store, 5, 9), [(5, run(1), 0), (5, run(2), 0)]);
    }
    assert_eq!(live(&store), []);
    Ok(())
}

#[test]
fn a_sleeping_run_that_can_not_be_read_is_told_and_hides_nobody() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    // The second one has so many timers that they fill several chunks.
    let many = (0..3_000).map(|due| Record { frame: vec![1], due: Some(Timestamp(1_000 + due % 1_000)) });
    commit(&store, &[sleep(1, 0, 5), Append { records: many.collect(), ..sleep(2, 0, 0) }, sleep(3, 0, 9_000)]);
    settle(&store);
    assert_eq!((count(&store, DUE), count(&store, SETTLED_MORE)), (1_002, 2));
    assert_eq!(due(&store, 1_000, 9)[1..], [0, 1_000, 2_000].map(|position| (1_000, run(2), position)));
    assert_eq!(due(&store, u64::MAX, usize::MAX).len(), 3_002);
    let mut header = store.state.read().disk.get(&layout::settled_key(&run(1)))?.expect("it is settled").to_vec();
    header[5] ^= 1;
    put(&store, |batch| batch.insert(layout::settled_key(&run(1)), header));
    let more = store.state.read().disk.scan_prefix(SETTLED_MORE).next().expect("a chunk")?.0;
    put(&store, |batch| batch.remove(more));
    assert_eq!(due(&store, u64::MAX, 1), [(9_000, run(3), 0)]);
    assert_eq!(store.corrupt().len(), 2);
    assert_eq!(store.list(Some(RunStatus::Suspended), None, 9)?.len(), 1);
    settle(&store);
    assert_eq!(count(&store, DUE), 1_002, "kept for whoever can mend them");

    // Deleted, its keys are left; made anew, it is not woken by them.
    assert!(store.delete(&run(1))? && store.delete(&run(2))?);
    assert!(store.corrupt().is_empty());
    commit(&store, &[sleep(1, 0, 7_000)]);
    assert_eq!(due(&store, u64::MAX, 1), [(7_000, run(1), 0)]);
    settle(&store);
    assert_eq!(due(&store, u64::MAX, 9), [(7_000, run(1), 0), (9_000, run(3), 0)]);
    settle(&store);
    assert_eq!(count(&store, DUE), 2);
    Ok(())
}

/// Its timers are in the index, or found by their keys; there is no moment in between.
#[test]
fn a_sleeping_run_that_is_appended_to_has_its_timers_all_the_time() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    commit(&store, &[sleep(1, 0, 5)]);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for expected in 1..300 {
                commit(&store, &[append(1, expected, 10, RunStatus::Suspended)]);
                settle(&store);
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            assert_eq!(due(&store, 5, 9), [(5, run(1), 0)]);
        }
    });
    Ok(())
}

/// What the index has of a run is newer than where a key leads that should be gone.
#[test]
fn a_key_of_a_run_that_goes_on_wakes_nobody() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    commit(&store, &[sleep(1, 0, 5)]);
    settle(&store);
    let key = store.state.read().disk.scan_prefix(DUE).next().expect("a key")?.0;
    commit(&store, &[append(1, 1, 10, RunStatus::Running)]);
    put(&store, |batch| batch.insert(key, &[]));
    assert_eq!(due(&store, 9, 9), []);
    Ok(())
}

/// Also behind a settled part, and from the middle.
#[test]
fn a_part_that_can_not_be_read_is_told_with_its_position() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    commit(&store, &[sleep(1, 0, 5), sleep(1, 1, 5)]);
    settle(&store);
    commit(&store, &[append(1, 2, 10, RunStatus::Running), append(1, 3, 10, RunStatus::Running)]);
    let newest = store.state.read().disk.scan_prefix(LOG).last().expect("a chunk")?.0;
    put(&store, |batch| batch.remove(newest));
    let told = store.read_part(&run(1), Position(3), 1_000).expect_err("it is gone");
    assert!(matches!(told, StoreError::Corrupt { position: Some(Position(3)), .. }), "{told}");
    Ok(())
}
