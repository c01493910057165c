//! Runs that are replaced: what is left of the old ones on the disk, and what a crash leaves of either.

use super::layout::{DUE, LOG, SETTLED, SETTLED_MORE};
use super::tests::{
    DEEP, LIMITS, PLENTY, append, commit, count, due, everything, live, opened, put, run, settle, sleep,
};
use super::tidy::Budget;
use super::*;
use crate::id::{Fence, Position};
use crate::store::{MemoryStore, Record};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Where the store has the records of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Log,
    Settled,
    Both,
}

impl Place {
    const ALL: [Self; 3] = [Self::Log, Self::Settled, Self::Both];

    /// Writes run 1, with three records and two timers.
    fn write(self, store: &SledStore) {
        commit(store, &[append(1, 0, 30_000, RunStatus::Running), sleep(1, 1, 5)]);
        if self == Self::Both {
            settle(store);
        }
        commit(store, &[sleep(1, 2, 6)]);
        if self == Self::Settled {
            settle(store);
        }
        let keys = match self {
            Self::Log => [0, 0, 0],
            Self::Settled => [1, 3, 2],
            Self::Both => [1, 3, 0],
        };
        assert_eq!(settled_keys(store), keys, "{self:?}");
    }
}

/// How many keys there are apart from the log.
fn settled_keys(store: &SledStore) -> [usize; 3] {
    [SETTLED, SETTLED_MORE, DUE].map(|prefix| count(store, prefix))
}

/// What replaces run 1: three records, of which the second is due then.
fn replace(expected: u64, due: u64) -> Append {
    let record = |byte, due| Record { frame: vec![byte; 700], due };
    let records = vec![record(0xa0, None), record(0xa1, Some(Timestamp(due))), record(0xa2, None)];
    Append { records, replaces: true, fence: Fence(4), ..append(1, expected, 0, RunStatus::Suspended) }
}

/// Run 1 is as [`replace`] says.
fn check_replaced(store: &SledStore, context: &str) {
    let stored = store.read(&run(1)).expect("readable").expect("it exists");
    assert!(stored.frames.iter().eq([0xa0, 0xa1, 0xa2].map(|byte| vec![byte; 700]).iter()), "{context}: other frames");
    let head = (stored.head.length, stored.head.fence, stored.head.status);
    assert_eq!(head, (Position(3), Fence(4), RunStatus::Suspended), "{context}");
    assert_eq!(due(store, u64::MAX, 9), [(9, run(1), 1)], "{context}");
    assert!(store.corrupt().is_empty(), "{context}: {:?}", store.corrupt());
}

#[test]
fn a_replaced_run_is_found_again_wherever_the_old_one_was() -> Result {
    for place in Place::ALL {
        let temporary = tempfile::tempdir()?;
        let mut store = opened(temporary.path(), DEEP);
        place.write(&store);
        let other = [append(2, 0, 40, RunStatus::Running), append(2, 1, 50, RunStatus::Running)];
        let [before, after] = other.clone();
        commit(&store, &[before, sleep(1, 3, 7), replace(4, 9), after]);
        for opened_times in 0..3 {
            check_replaced(&store, &format!("{place:?}, opened {opened_times} times"));
            assert_eq!(settled_keys(&store), [0, 0, 0], "{place:?}: nothing is left of the old one");
            let frames = other.iter().map(|append| append.records[0].frame.clone());
            assert!(store.read(&run(2))?.expect("it exists").frames.into_iter().eq(frames), "{place:?}: its neighbour");
            drop(store);
            store = opened(temporary.path(), DEEP);
        }
        settle(&store);
        assert_eq!((live(&store), settled_keys(&store)), (vec![run(2)], [1, 0, 1]), "{place:?}");
        check_replaced(&store, "settled");
        commit(&store, &[Append { fence: Fence(4), ..append(1, 3, 10, RunStatus::Suspended) }]);
        for _ in 0..2 {
            assert_eq!(store.head(&run(1))?.map(|head| (head.length, head.fence)), Some((Position(4), Fence(4))));
            assert_eq!(due(&store, u64::MAX, 9), [(9, run(1), 1)]);
            drop(store);
            store = opened(temporary.path(), DEEP);
        }
    }
    Ok(())
}

#[test]
fn the_log_is_shortened_when_a_run_that_held_it_back_is_replaced() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), LIMITS);
    for expected in 0..20 {
        commit(&store, &[append(1, expected, 10_000, RunStatus::Running)]);
    }
    settle(&store);
    assert_eq!(count(&store, LOG), 41, "two chunks each, which are all needed, and the one of tidying");
    commit(&store, &[replace(20, 9)]);
    let replaced_at = store.writer.lock().last;
    settle(&store);
    assert_eq!(count(&store, LOG), 2, "the commit that replaced it, and the one that removed the others");
    assert_eq!(store.state.read().index.oldest_needed(), Some(replaced_at));
    check_replaced(&store, "shortened");
    drop(store);
    check_replaced(&opened(temporary.path(), LIMITS), "opened again");
    Ok(())
}

/// Runs are settled and moved by nearly every commit here, and the one that is replaced is always the next in turn.
#[test]
fn housekeeping_in_passing_leaves_out_the_run_that_is_replaced() -> Result {
    let temporary = tempfile::tempdir()?;
    let budget = Budget { settled_runs_max: 3, bytes_max: 9_000, log_bytes_min: 2_000 };
    let limits = Limits {
        in_passing: budget,
        tidy: PLENTY,
        finished_waiting_max: 0,
        suspended_max: 0,
        log_to_live_max: 1,
        removed_chunks_max: 3,
        ..LIMITS
    };
    let (mut store, model) = (opened(temporary.path(), limits), MemoryStore::default());
    let (mut settled, mut moved) = (0, 0);
    for round in 0..120_usize {
        let length = |number: usize| model.head(&run(number)).ok().flatten().map_or(0, |head| head.length.0);
        let statuses = [RunStatus::Suspended, RunStatus::Running, RunStatus::Halted, RunStatus::Running];
        let mut appends = Vec::new();
        for (nth, number) in [round % 7, (round * 3 + 1) % 7 + 7].into_iter().enumerate() {
            let at = length(number);
            let mut next = append(number, at, 400 + round, statuses[(round / 7 + nth) % 4]);
            next.records[0].due = Some(Timestamp(round as u64));
            appends.push(next.clone());
            if round % 2 == nth {
                appends.push(Append { expected: Position(at + 1), replaces: true, ..next });
            }
        }
        let oldest_needed = store.state.read().index.oldest_needed();
        commit(&store, &appends);
        model.commit(&appends)?;
        settled = settled.max(count(&store, SETTLED));
        moved += usize::from(store.state.read().index.oldest_needed() > oldest_needed);
        for number in 0..14 {
            assert_eq!(store.read(&run(number))?, model.read(&run(number))?, "round {round}");
        }
        assert_eq!(store.due(Timestamp(u64::MAX), 99)?, model.due(Timestamp(u64::MAX), 99)?, "round {round}");
        if round % 10 == 9 {
            drop(store);
            store = opened(temporary.path(), limits);
        }
    }
    assert!(settled > 1 && moved > 10, "{settled} were settled at once, and {moved} times the log went on");
    assert_eq!(everything(&store).len(), 14);
    Ok(())
}

#[test]
fn a_run_that_can_not_be_read_is_not_replaced() -> Result {
    let temporary = tempfile::tempdir()?;
    let store = opened(temporary.path(), DEEP);
    Place::Settled.write(&store);
    damage_settled_part(&store)?;
    let refused = Refused::WrongPosition { expected: Position(3), found: Position(u64::MAX) };
    assert_eq!(store.commit(&[replace(3, 9)])?, [Err(refused)]);
    assert!(store.delete(&run(1))?);
    commit(&store, &[append(1, 0, 10, RunStatus::Running), replace(1, 9)]);
    check_replaced(&store, "deleted and begun anew");
    Ok(())
}

fn damage_settled_part(store: &SledStore) -> Result {
    let key = layout::settled_key(&run(1));
    let mut header = store.state.read().disk.get(&key)?.ok_or("it is settled")?.to_vec();
    header[5] ^= 1;
    put(store, |batch| batch.insert(key, header));
    Ok(())
}

#[cfg(feature = "testing")]
mod at_fail_points {
    use std::cell::RefCell;
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::testing::on_fail_point;

    type Reached = Box<dyn Fn(&'static str)>;

    thread_local! {
        static REACHED: RefCell<Option<Reached>> = const { RefCell::new(None) };
    }

    /// The moments of a commit.
    const MOMENTS: [&str; 4] =
        ["store.commit.unwritten", "store.commit.written", "store.sled.flushed", "store.commit.synced"];

    /// Commits, and calls `reached` at each of [`MOMENTS`] in this thread; other tests commit in theirs.
    fn commit_watched(store: &SledStore, append: Append, reached: impl Fn(&'static str) + 'static) {
        for moment in MOMENTS {
            on_fail_point(moment, move || REACHED.with_borrow(|reached| reached.iter().for_each(|call| call(moment))));
        }
        REACHED.set(Some(Box::new(reached)));
        commit(store, &[append]);
        REACHED.set(None);
    }

    fn copy_folder(from: &Path, to: &Path) -> Result {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                copy_folder(&entry.path(), &target)?;
            } else {
                std::fs::copy(entry.path(), target)?;
            }
        }
        Ok(())
    }

    /// How many settled parts a store has that nobody has open.
    fn settled_parts(folder: &Path) -> Result<usize> {
        let disk = Disk::open(&folder.join("sled-1"), Durability::Buffered)?;
        Ok(disk.scan_prefix(SETTLED).count())
    }

    /// What a process leaves that is killed at each of these moments.
    #[test]
    fn a_crash_at_any_moment_leaves_the_old_run_or_the_new_one() -> Result {
        for place in Place::ALL {
            let temporary = tempfile::tempdir()?;
            let folder = temporary.path().join("store");
            let store = opened(&folder, DEEP);
            place.write(&store);
            let before = (everything(&store), due(&store, u64::MAX, 9));
            let copies: Rc<RefCell<Vec<(&str, PathBuf)>>> = Rc::default();
            let copy = {
                let (folder, copies) = (folder.clone(), Rc::clone(&copies));
                move |moment| {
                    let copy = folder.with_file_name(moment);
                    copy_folder(&folder, &copy).expect("a copy");
                    copies.borrow_mut().push((moment, copy));
                }
            };
            commit_watched(&store, replace(3, 9), copy.clone());
            copy("acknowledged");
            assert_eq!(copies.borrow().len(), MOMENTS.len() + 1, "{place:?}");
            for (moment, copy) in copies.borrow().iter() {
                let context = format!("{place:?}, {moment}");
                let is_new = ["store.sled.flushed", "store.commit.synced", "acknowledged"].contains(moment);
                if is_new && place != Place::Log {
                    let inspected = temporary.path().join(format!("{moment}, inspected"));
                    copy_folder(copy, &inspected)?;
                    assert_eq!(settled_parts(&inspected)?, 1, "{context}: the old one is removed later");
                }
                let store = opened(copy, DEEP);
                if !is_new {
                    assert_eq!((everything(&store), due(&store, u64::MAX, 9)), before, "{context}");
                    assert!(store.corrupt().is_empty(), "{context}");
                    commit(&store, &[replace(3, 9)]);
                }
                check_replaced(&store, &context);
                assert_eq!(settled_keys(&store), [0, 0, 0], "{context}: it is removed");
                // Killed again, before that was written, and closed.
                let again = temporary.path().join(format!("{moment}, again"));
                copy_folder(copy, &again)?;
                drop(store);
                for folder in [copy, &again] {
                    let store = opened(folder, DEEP);
                    check_replaced(&store, &context);
                    settle(&store);
                    check_replaced(&store, &context);
                    assert_eq!((live(&store), settled_keys(&store)), (vec![], [1, 0, 1]), "{context}");
                    drop(store);
                    check_replaced(&opened(folder, DEEP), &context);
                }
            }
        }
        Ok(())
    }

    /// S5: nobody sees what may still be lost.
    #[test]
    fn the_old_run_is_read_until_the_new_one_is_durable() -> Result {
        for place in Place::ALL {
            let temporary = tempfile::tempdir()?;
            let store = Arc::new(opened(temporary.path(), DEEP));
            place.write(&store);
            let before = (everything(&store), store.ends(&run(1))?, due(&store, u64::MAX, 9));
            let reader = Arc::clone(&store);
            commit_watched(&store, replace(3, 9), move |moment| {
                let ends = reader.ends(&run(1)).expect("readable");
                let found = (everything(&reader), ends, due(&reader, u64::MAX, 9));
                assert!(found == before, "{place:?}, {moment}: seen before it is durable");
            });
            check_replaced(&store, "durable");
        }
        Ok(())
    }

    /// Of the old run, by somebody who reads it while it is replaced.
    #[test]
    fn damage_that_is_found_meanwhile_is_gone_with_the_old_run() -> Result {
        let temporary = tempfile::tempdir()?;
        let store = Arc::new(opened(temporary.path(), DEEP));
        Place::Both.write(&store);
        damage_settled_part(&store)?;
        let reader = Arc::clone(&store);
        commit_watched(&store, replace(3, 9), move |_| {
            assert!(matches!(reader.read(&run(1)), Err(StoreError::Corrupt { .. })));
        });
        check_replaced(&store, "replaced");
        drop(store);
        check_replaced(&opened(temporary.path(), DEEP), "opened again");
        Ok(())
    }
}
