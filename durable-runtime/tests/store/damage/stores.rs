//! What a damaged store may answer.

use std::path::Path;

use durable_runtime::store::{MemoryStore, SledStore, Store, StoreError, StoredRun};
use durable_runtime::testing::Random;
use durable_runtime::{Durability, RunStatus, Timestamp};

use super::{CLOSED, KILLED};
use crate::support::{append, copy_folder, everything, run};

const COMMITS: usize = 150;

/// What was in the store.
pub(super) struct Known {
    runs: Vec<StoredRun>,
}

/// Settled, active, deleted, replaced and large runs, in any store; always the same.
fn write(store: &dyn Store) {
    let mut random = Random::new(31);
    for commit in 0..COMMITS {
        let id = run(&format!("run {}", random.below(40)));
        if commit == COMMITS / 2 {
            // Those that sleep are settled, too.
            store.compact().expect("compact");
        }
        let length = store.head(&id).expect("head").map_or(0, |head| head.length.0);
        if random.one_in(10) && length > 0 {
            assert!(store.delete(&id).expect("delete"));
        } else {
            let length = store.head(&id).expect("head").map_or(0, |head| head.length.0);
            let after = [RunStatus::Running, RunStatus::Suspended, RunStatus::Completed][random.below(3)];
            let bytes = if random.one_in(20) { 30_000 } else { random.below(2_000) };
            let mut next = append(&id, length, &[&random.bytes(bytes)], after);
            next.records[0].due = random.one_in(3).then_some(Timestamp(7));
            next.replaces = length > 0 && random.one_in(4);
            store.commit(&[next]).expect("commit");
        }
    }
}

/// Leaves the folder as a process did that closed the store, or was killed while it had it open.
pub(super) fn make(folder: &Path, is_closed: bool) {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("store");
    let store = SledStore::open(&path, if is_closed { CLOSED } else { KILLED }).expect("open");
    write(&store);
    if is_closed {
        drop(store);
    } else {
        // As a runtime does in the first moment in which nothing is to be committed.
        while store.tidy().expect("tidy") {}
    }
    copy_folder(&path, folder);
}

/// Everything that can be read; damaged runs are left out, having given a typed error that names them.
fn readable(store: &SledStore) -> Result<Vec<StoredRun>, StoreError> {
    let mut runs = Vec::new();
    for head in store.list(None, None, usize::MAX)? {
        match store.read(&head.run) {
            Ok(stored) => runs.push(stored.expect("a listed run")),
            Err(StoreError::Corrupt { run, .. }) => assert_eq!(run, head.run),
            Err(error) => return Err(error),
        }
    }
    Ok(runs)
}

impl Known {
    pub(super) fn new() -> Self {
        let store = MemoryStore::default();
        write(&store);
        Self { runs: everything(&store) }
    }

    pub(super) fn look(&self, damaged: &Path) -> String {
        let look = || {
            let store = SledStore::open(damaged, Durability::Buffered)?;
            let runs = readable(&store)?;
            let corrupt = store.corrupt().len();
            // The rest may fail, and must neither panic nor change what is there.
            let due = store.due(Timestamp(7), usize::MAX);
            let more = append(&run("more"), 0, &[b"x"], RunStatus::Completed);
            let worked =
                due.and_then(|_| store.commit(&[more])).and_then(|_| store.tidy()).and_then(|_| store.compact());
            if worked.is_ok() {
                assert!(store.delete(&run("more")).is_ok_and(|is_known| is_known));
                drop(store);
                let store = SledStore::open(damaged, Durability::Buffered)?;
                assert_eq!(readable(&store)?, runs, "compacted and opened again");
            }
            Ok::<_, StoreError>((runs, corrupt))
        };
        let (runs, corrupt) = match look() {
            Err(error) => return error.to_string(),
            Ok(found) => found,
        };
        // The side file knows the last commit, so nothing may be missing unnoticed.
        assert!(runs.iter().all(|run| self.runs.contains(run)), "opened with something that is not what was written");
        let missing = self.runs.iter().filter(|run| !runs.contains(run)).count();
        assert!(missing <= corrupt, "{missing} runs are missing, and {corrupt} are told");
        format!("opened, {missing} runs missing, {corrupt} corrupt")
    }
}
