//! Giving space back: sled never does, so what is alive is copied into a new sled folder.

use std::path::Path;

use ::sled::Batch;

use super::codec::{self, Entry, Moved};
use super::disk::{Disk, io};
use super::layout::{DUE, SETTLED, SETTLED_MORE};
use super::load::{Loaded, load};
use super::tidy::Limits;
use super::write::{Writer, initialize, put_record};
use super::{SledStore, State, read};
use crate::id::Position;
use crate::store::{Durability, StoreError};

/// How much is handed to sled between two syncs while copying.
const BATCH_BYTES: usize = 1 << 20;

/// The moments between which a crash makes a difference; tests look at the folder at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The new folder has only part of it all.
    Copying,
    /// The new folder is complete and durable, the old one is current.
    Copied,
    /// The new folder is current, the old one still there.
    Switched,
    /// The old folder is gone.
    Removed,
}

impl SledStore {
    pub(super) fn compact_all(&self) -> Result<(), StoreError> {
        self.compact_watched(&mut |_| {})
    }

    fn compact_watched(&self, reached: &mut dyn FnMut(Stage)) -> Result<(), StoreError> {
        // First all that can be settled: it is copied as it is, and the log is short.
        while self.tidy_within(&Limits { suspended_max: 0, ..self.limits })? {}
        fail_point!("store.compact.tidied");
        let mut writer = self.writer.lock();
        writer.fail_if_broken()?;
        let generation = writer.folder.current().generation + 1;
        let new_folder = writer.folder.sled_folder(generation);
        let copied = copy(&self.state.read(), &writer, &new_folder, reached);
        let (disk, Loaded { index, corrupt, last }) = match copied {
            Ok(copied) => copied,
            Err(error) => {
                // Left behind, it would be removed when opening; but the disk may be full now.
                let _ = std::fs::remove_dir_all(&new_folder);
                return Err(error);
            }
        };
        reached(Stage::Copied);
        fail_point!("store.compact.copied");
        // If this fails it is unknown which folder is current, and nothing more may be written to either.
        let switched = writer.folder.write(generation, last);
        writer.noted(switched)?;
        reached(Stage::Switched);
        fail_point!("store.compact.switched");
        writer.last = last;
        *self.state.write() = State::new(index, corrupt, disk);
        fail_point!("store.compact.replaced");
        writer.folder.remove_other_generations()?;
        reached(Stage::Removed);
        fail_point!("store.compact.removed");
        Ok(())
    }
}

/// Copies what is alive to a new sled folder, durably, and reads it back.
fn copy(
    state: &State,
    writer: &Writer,
    new_folder: &Path,
    reached: &mut dyn FnMut(Stage),
) -> Result<(Disk, Loaded), StoreError> {
    if new_folder.exists() {
        std::fs::remove_dir_all(new_folder).map_err(|error| io("removing", new_folder, error))?;
    }
    // Nothing is synced while copying, everything before it counts.
    let disk = Disk::open(new_folder, Durability::Buffered)?;
    let first = writer.last + 1;
    fail_point!("store.compact.folder_made");
    initialize(&disk, writer.folder.current().store_id, first)?;
    copy_settled(state, &disk)?;
    reached(Stage::Copying);
    fail_point!("store.compact.settled_copied");
    copy_unsettled(state, &disk, first)?;
    fail_point!("store.compact.unsettled_copied");
    drop(disk);
    fail_point!("store.compact.closed");
    let disk = Disk::open(new_folder, writer.durability)?;
    writer.folder.sync()?;
    let loaded = load(&disk, writer.folder.path())?;
    Ok((disk, loaded))
}

fn copy_settled(state: &State, disk: &Disk) -> Result<(), StoreError> {
    let (mut batch, mut bytes) = (Batch::default(), 0);
    for prefix in [SETTLED, SETTLED_MORE, DUE] {
        for item in state.disk.scan_prefix(prefix) {
            let (key, value) = item?;
            bytes += key.len() + value.len();
            batch.insert(key, value);
            if bytes >= BATCH_BYTES {
                disk.apply(std::mem::take(&mut batch))?;
                disk.sync()?;
                bytes = 0;
            }
        }
    }
    disk.apply(batch)?;
    disk.sync()
}

/// Writes each unsettled run as one entry, in commits after `first`. A corrupt one can't be copied: it is told, and
/// the old folder stays.
fn copy_unsettled(state: &State, disk: &Disk, first: u64) -> Result<(), StoreError> {
    let (mut moved, mut bytes, mut number) = (Vec::new(), 0, first);
    let mut runs = state.index.after(None).peekable();
    while let Some((run, live)) = runs.next() {
        state.fail_if_corrupt(run)?;
        let first_position = Position(live.settled);
        let frames = state.noted(read::log_frames(&state.disk, run, first_position, &live.places))?;
        bytes += live.log_bytes();
        moved.push(Moved {
            run: run.clone(),
            status: live.status,
            fence: live.fence,
            first: first_position,
            dues: live.dues.clone(),
            frames,
        });
        if bytes >= BATCH_BYTES as u64 || runs.peek().is_none() {
            number += 1;
            let entries: Vec<Entry<'_>> = moved.iter().map(Entry::Moved).collect();
            let mut record = Vec::new();
            codec::put_commit(&mut record, &entries).ok_or_else(|| read::too_large("a commit"))?;
            codec::seal_commit(&mut record, number, first);
            let mut batch = Batch::default();
            put_record(&mut batch, number, &record);
            disk.apply(batch)?;
            disk.sync()?;
            moved.clear();
            bytes = 0;
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::id::{Fence, RunId};
    use crate::store::{Append, Record, RunStatus, Store, StoredRun};

    fn everything(store: &SledStore) -> Vec<StoredRun> {
        let heads = store.list(None, None, usize::MAX).unwrap();
        heads.iter().map(|head| store.read(&head.run).unwrap().unwrap()).collect()
    }

    fn copy_folder(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap().path();
            let target = to.join(entry.file_name().unwrap());
            if entry.is_dir() {
                copy_folder(&entry, &target);
            } else {
                std::fs::copy(&entry, &target).unwrap();
            }
        }
    }

    fn fill(store: &SledStore) {
        for number in 0..60_u64 {
            let status = [RunStatus::Running, RunStatus::Halted, RunStatus::Completed][(number % 3) as usize];
            let append = Append {
                run: RunId::new(format!("run {number}")).unwrap(),
                expected: Position(0),
                fence: Fence(number),
                records: vec![Record { frame: vec![7; 3_000 * (number % 7) as usize], due: None }; 5],
                replaces: false,
                clears: Vec::new(),
                status,
            };
            assert_eq!(store.commit(&[append]).unwrap(), [Ok(())]);
        }
    }

    #[test]
    fn a_crash_at_any_stage_of_compaction_leaves_the_same_runs() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("store");
        let store = SledStore::open(&folder, Durability::Buffered).unwrap();
        fill(&store);
        let before = everything(&store);
        let mut copies: Vec<(Stage, PathBuf)> = Vec::new();
        store
            .compact_watched(&mut |stage| {
                // What a process killed at this moment leaves behind.
                let copy = temporary.path().join(format!("{stage:?}"));
                copy_folder(&folder, &copy);
                copies.push((stage, copy));
            })
            .unwrap();
        assert_eq!(everything(&store), before, "compacted");
        let stages: Vec<Stage> = copies.iter().map(|(stage, _)| *stage).collect();
        assert_eq!(stages, [Stage::Copying, Stage::Copied, Stage::Switched, Stage::Removed]);
        for (stage, copy) in copies {
            for opened in ["once", "twice"] {
                let store = SledStore::open(&copy, Durability::Buffered).unwrap();
                assert_eq!(everything(&store), before, "crashed when {stage:?}, opened {opened}");
            }
            let folders = std::fs::read_dir(&copy).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
            assert_eq!(folders.count(), 1, "crashed when {stage:?}: the other generation was left behind");
            let store = SledStore::open(&copy, Durability::Buffered).unwrap();
            store.compact().unwrap();
            assert_eq!(everything(&store), before, "crashed when {stage:?}, compacted again");
        }
    }

    #[test]
    fn a_compaction_that_fails_leaves_the_store_as_it_was() {
        let temporary = tempfile::tempdir().unwrap();
        let store = SledStore::open(temporary.path(), Durability::Buffered).unwrap();
        fill(&store);
        let before = everything(&store);
        // A file where the new folder should be made.
        std::fs::write(temporary.path().join("sled-2"), "in the way").unwrap();
        assert!(matches!(store.compact(), Err(StoreError::Io { .. })));
        assert_eq!(everything(&store), before);
        std::fs::remove_file(temporary.path().join("sled-2")).unwrap();
        store.compact().unwrap();
        assert_eq!(everything(&store), before);
    }
}
