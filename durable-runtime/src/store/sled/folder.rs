//! The folder around sled: who has it open, which sled generation is current, and how far it is known to reach.
//!
//! | file | what |
//! |---|---|
//! | `lock` | empty; locked while the store is open |
//! | `CURRENT` | the side file: two slots of [`SLOT_BYTES`], written in turn and synced, and the mark, which is not |
//! | `sled-<generation>` | sled's folder; compaction makes the next one |

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::disk::{io, sync_path};
use crate::store::{Durability, StoreError};

/// The format this version writes and reads: of the folder, the keys and the values.
pub(super) const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"durable\n";
/// A slot fills what a disk writes at once, so that a torn write of one leaves the other alone.
const SLOT_BYTES: usize = 4_096;
/// Magic, version, store id, generation, sequence, acknowledged, checksum.
const FIELDS_BYTES: usize = 8 + 4 + 4 + 16 + 8 + 8 + 8;
/// Where the mark is: behind the slots, and like one of them.
const MARK_AT: usize = 2 * SLOT_BYTES;

const LOCK: &str = "lock";
const SIDE: &str = "CURRENT";
const SIDE_NEW: &str = "CURRENT.new";
const SLED: &str = "sled-";

/// What the side file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) store_id: [u8; 16],
    pub(super) generation: u64,
    /// The highest commit known to have been acknowledged; 0 until the store was created completely.
    pub(super) acknowledged: u64,
    sequence: u64,
}

/// An open folder. Dropping it lets others open it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    side: File,
    current: Current,
    /// The commit up to which it is noted, durably or not, how far the store reaches.
    noted: u64,
    durability: Durability,
    /// Locked as long as it is open.
    _lock: File,
}

impl Folder {
    /// Opens and locks the folder, or creates it. Changes nothing in a folder that is not ours.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        recognize(path)?;
        create_folder(path, durability)?;
        let lock = lock(path)?;
        fail_point!("store.open.locked");
        // Again, because before the lock was ours somebody else may have been creating the store.
        let current = match recognize(path)? {
            Some(current) => current,
            None => create(path, durability)?,
        };
        let side_path = path.join(SIDE);
        let side = OpenOptions::new().read(true).write(true).open(&side_path);
        let side = side.map_err(|error| io("opening", &side_path, error))?;
        let noted = current.acknowledged;
        Ok(Self { path: path.to_path_buf(), side, current, noted, durability, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn current(&self) -> Current {
        self.current
    }

    pub(super) fn sled_folder(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{SLED}{generation}"))
    }

    /// Records, durably, which generation is current and how far it reaches.
    pub(super) fn write(&mut self, generation: u64, acknowledged: u64) -> Result<(), StoreError> {
        let next = Current { generation, acknowledged, sequence: self.current.sequence + 1, ..self.current };
        let offset = (next.sequence % 2) * SLOT_BYTES as u64;
        let write = |mut side: &File| {
            fail_point!("store.side.unwritten");
            side.seek(SeekFrom::Start(offset))?;
            side.write_all(&slot(next))?;
            fail_point!("store.side.written");
            match self.durability {
                Durability::Sync => side.sync_data(),
                Durability::Buffered => Ok(()),
            }
        };
        write(&self.side).map_err(|error| io("writing", &self.path.join(SIDE), error))?;
        fail_point!("store.side.synced");
        self.current = next;
        self.noted = acknowledged;
        Ok(())
    }

    /// Notes how far the current generation reaches if more than `unnoted_max` commits are not noted yet; not durably: it is there
    /// for whoever comes after a process that was killed. With `Buffered` it isn't written, because after a power cut it could
    /// tell of what that level may lose.
    pub(super) fn mark(&mut self, acknowledged: u64, unnoted_max: u64) -> Result<(), StoreError> {
        if self.durability == Durability::Buffered || acknowledged.saturating_sub(self.noted) <= unnoted_max {
            return Ok(());
        }
        let mark = fields(Current { acknowledged, ..self.current });
        let mut side = &self.side;
        let written = side.seek(SeekFrom::Start(MARK_AT as u64)).and_then(|_| side.write_all(&mark));
        written.map_err(|error| io("writing", &self.path.join(SIDE), error))?;
        self.noted = acknowledged;
        Ok(())
    }

    /// Removes the sled folder of a generation.
    pub(super) fn remove_generation(&self, generation: u64) -> Result<(), StoreError> {
        let path = self.sled_folder(generation);
        std::fs::remove_dir_all(&path).map_err(|error| io("removing", &path, error))
    }

    /// Removes the sled folders of all generations but the current one.
    pub(super) fn remove_other_generations(&self) -> Result<(), StoreError> {
        let current = format!("{SLED}{}", self.current.generation);
        for name in names(&self.path)? {
            if name.starts_with(SLED) && name != current {
                let path = self.path.join(name);
                std::fs::remove_dir_all(&path).map_err(|error| io("removing", &path, error))?;
                fail_point!("store.generation.removed");
            }
        }
        self.sync()
    }

    /// Makes the names of the sled folders durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match self.durability {
            Durability::Sync => sync_path(&self.path),
            Durability::Buffered => Ok(()),
        }
    }
}

/// What the side file says; `None` for a folder that is new, empty, or whose creation was cut short.
fn recognize(path: &Path) -> Result<Option<Current>, StoreError> {
    let refuse = |detail: String| Err(StoreError::NotAStore { folder: path.to_path_buf(), detail });
    if !path.exists() {
        return Ok(None);
    }
    if !path.is_dir() {
        return refuse("it is a file".to_owned());
    }
    let names = names(path)?;
    if names.iter().any(|name| name == SIDE) {
        return read_side(path).map(Some);
    }
    match names.iter().find(|name| *name != LOCK && *name != SIDE_NEW) {
        None => Ok(None),
        Some(name) if name.starts_with(SLED) => Err(StoreError::Damaged {
            folder: path.to_path_buf(),
            detail: format!("it has {name}, but the file {SIDE} is missing"),
        }),
        Some(name) => refuse(format!("it has {name}, and no file {SIDE}")),
    }
}

fn read_side(path: &Path) -> Result<Current, StoreError> {
    let side = path.join(SIDE);
    let mut bytes = Vec::new();
    let file = File::open(&side).map_err(|error| io("opening", &side, error))?;
    let read = file.take((MARK_AT + SLOT_BYTES) as u64).read_to_end(&mut bytes);
    read.map_err(|error| io("reading", &side, error))?;
    let mark = bytes.split_off(bytes.len().min(MARK_AT));
    let slots = [bytes.get(..SLOT_BYTES).unwrap_or(&bytes), bytes.get(SLOT_BYTES..).unwrap_or_default()];
    let mut newest: Option<Current> = None;
    let mut ours = false;
    for slot in slots {
        match read_slot(slot) {
            Slot::Foreign => {}
            Slot::Torn => ours = true,
            Slot::Newer(found) => {
                let folder = path.to_path_buf();
                return Err(StoreError::UnsupportedFormat { folder, found, supported: FORMAT_VERSION });
            }
            Slot::Valid(current) => {
                if newest.is_none_or(|newest| newest.sequence < current.sequence) {
                    newest = Some(current);
                }
            }
        }
    }
    let folder = path.to_path_buf();
    match newest {
        Some(newest) => Ok(marked(newest, &mark)),
        None if ours || names(path)?.iter().any(|name| name.starts_with(SLED)) => {
            Err(StoreError::Damaged { folder, detail: format!("the file {SIDE} can't be read") })
        }
        None => Err(StoreError::NotAStore { folder, detail: format!("its file {SIDE} is not one of a store") }),
    }
}

/// What is in force, reaching as far as the mark says. Older versions write none, and one that is damaged or of another store says nothing.
fn marked(newest: Current, mark: &[u8]) -> Current {
    match read_slot(mark) {
        Slot::Valid(mark) if mark.store_id == newest.store_id => {
            Current { acknowledged: newest.acknowledged.max(mark.acknowledged), ..newest }
        }
        _ => newest,
    }
}

enum Slot {
    Foreign,
    Torn,
    Newer(u32),
    Valid(Current),
}

fn slot(current: Current) -> Vec<u8> {
    let mut slot = fields(current);
    slot.resize(SLOT_BYTES, 0);
    slot
}

/// The fields of a slot; the checksum is over all of them but itself. Every format version keeps this layout.
fn fields(current: Current) -> Vec<u8> {
    let mut fields = Vec::with_capacity(SLOT_BYTES);
    fields.extend(MAGIC);
    fields.extend(FORMAT_VERSION.to_le_bytes());
    fields.extend(current.store_id);
    fields.extend(current.generation.to_le_bytes());
    fields.extend(current.sequence.to_le_bytes());
    fields.extend(current.acknowledged.to_le_bytes());
    let crc = crc32fast::hash(&fields).to_le_bytes();
    fields.extend(crc);
    fields
}

fn read_slot(slot: &[u8]) -> Slot {
    let Some((fields, _)) = slot.split_at_checked(FIELDS_BYTES) else { return Slot::Foreign };
    if !fields.starts_with(MAGIC) {
        return Slot::Foreign;
    }
    let (fields, crc) = fields.split_at(FIELDS_BYTES - 4);
    if crc != crc32fast::hash(fields).to_le_bytes() {
        return Slot::Torn;
    }
    let u64_at = |at: usize| fields[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    let version = fields[8..12].try_into().map_or(0, u32::from_le_bytes);
    if version > FORMAT_VERSION {
        return Slot::Newer(version);
    }
    let mut store_id = [0; 16];
    store_id.copy_from_slice(&fields[12..28]);
    Slot::Valid(Current { store_id, generation: u64_at(28), sequence: u64_at(36), acknowledged: u64_at(44) })
}

/// Makes the folder, and those above it that are missing, and their names durable.
fn create_folder(path: &Path, durability: Durability) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(path).map_err(|error| io("creating", path, error))?;
    fail_point!("store.create.folder_made");
    if durability == Durability::Sync {
        // A folder's name is in its parent; that of a path of one component is the working directory.
        let parents = missing.iter().filter_map(|folder| folder.parent());
        for parent in parents {
            sync_path(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
    }
    Ok(())
}

/// Writes the first side file. It comes before the sled folder, so that a sled folder without one is never ours to
/// overwrite.
fn create(path: &Path, durability: Durability) -> Result<Current, StoreError> {
    let current = Current { store_id: new_store_id(), generation: 1, acknowledged: 0, sequence: 0 };
    let new = path.join(SIDE_NEW);
    let mut bytes = slot(current);
    bytes.resize(MARK_AT + SLOT_BYTES, 0);
    let write = || {
        let mut file = File::create(&new)?;
        fail_point!("store.create.side_made");
        file.write_all(&bytes)?;
        fail_point!("store.create.side_written");
        file.sync_all()?;
        fail_point!("store.create.side_synced");
        std::fs::rename(&new, path.join(SIDE))
    };
    write().map_err(|error| io("creating", &new, error))?;
    fail_point!("store.create.side_renamed");
    if durability == Durability::Sync {
        sync_path(path)?;
    }
    fail_point!("store.create.side_durable");
    Ok(current)
}

/// Sixteen bytes that no other store has.
fn new_store_id() -> [u8; 16] {
    use std::hash::BuildHasher;
    // The standard library seeds each hasher from the system's randomness: good enough to tell stores apart.
    let half = || std::hash::RandomState::new().hash_one("store id").to_le_bytes();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half());
    id[8..].copy_from_slice(&half());
    id
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
    let file = file.map_err(|error| io("opening", &lock_path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { folder: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(io("locking", &lock_path, error)),
    }
}

fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = std::fs::read_dir(path).map_err(|error| io("reading", path, error))?;
    let name =
        |entry: std::io::Result<std::fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into());
    entries.map(name).collect::<Result<_, _>>().map_err(|error| io("reading", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path) -> Folder {
        Folder::open(path, Durability::Buffered).expect("the folder opens")
    }

    /// Writes over a part of the side file.
    fn spoil(path: &Path, offset: usize, bytes: &[u8]) {
        let mut side = OpenOptions::new().write(true).open(path.join(SIDE)).expect("the side file");
        side.seek(SeekFrom::Start(offset as u64)).expect("a place in it");
        side.write_all(bytes).expect("written");
    }

    /// The power may fail while a slot is written: then the other one counts.
    #[test]
    fn the_slots_are_written_in_turn_and_a_torn_one_leaves_the_other() {
        for (writes, left) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
            let temporary = tempfile::tempdir().expect("a temporary folder");
            let mut folder = opened(temporary.path());
            for acknowledged in 1..=writes {
                folder.write(1, acknowledged).expect("written");
                assert_eq!(folder.current().acknowledged, acknowledged);
            }
            drop(folder);
            assert_eq!(opened(temporary.path()).current().acknowledged, writes, "nothing is torn");
            let newest = usize::try_from(writes % 2).expect("0 or 1") * SLOT_BYTES;
            spoil(temporary.path(), newest + FIELDS_BYTES - 8, &[0xff; 4]);
            assert_eq!(opened(temporary.path()).current().acknowledged, left, "the newest of {writes} is torn");
        }
    }

    #[test]
    fn of_two_torn_slots_none_counts() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        opened(temporary.path()).write(1, 7).expect("written");
        for slot in [0, SLOT_BYTES] {
            spoil(temporary.path(), slot + FIELDS_BYTES - 8, &[0xff; 4]);
        }
        let told = Folder::open(temporary.path(), Durability::Buffered).expect_err("it is damaged");
        assert!(matches!(told, StoreError::Damaged { .. }), "{told}");
    }

    /// Whoever comes after a process that was killed knows how far it came; what is wrong with the mark takes nothing away.
    #[test]
    fn the_mark_tells_more_than_the_slots_or_nothing() {
        let marked = |durability| {
            let temporary = tempfile::tempdir().expect("a temporary folder");
            let mut folder = Folder::open(temporary.path(), durability).expect("the folder opens");
            folder.write(1, 5).expect("written");
            folder.mark(7, 1).expect("marked");
            folder.mark(9, 2).expect("not worth it yet");
            assert_eq!(folder.current().acknowledged, 5, "what is durable");
            temporary
        };
        let reached = |folder: &tempfile::TempDir| opened(folder.path()).current().acknowledged;
        assert_eq!(reached(&marked(Durability::Sync)), 7);
        assert_eq!(reached(&marked(Durability::Buffered)), 5);
        let behind = marked(Durability::Sync);
        opened(behind.path()).write(1, 9).expect("written");
        assert_eq!(reached(&behind), 9);
        // Its magic, its store, its checksum.
        for at in [0, 20, FIELDS_BYTES - 1] {
            let spoilt = marked(Durability::Sync);
            spoil(spoilt.path(), MARK_AT + at, &[0xff]);
            assert_eq!(reached(&spoilt), 5, "spoilt at {at}");
        }
        let of_an_older_version = marked(Durability::Sync);
        let side = OpenOptions::new().write(true).open(of_an_older_version.path().join(SIDE)).expect("the side file");
        side.set_len(MARK_AT as u64).expect("cut");
        assert_eq!(reached(&of_an_older_version), 5);
    }

    #[test]
    fn what_the_side_file_says_is_kept() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut folder = opened(temporary.path());
        folder.write(3, 1 << 40).expect("written");
        let written = folder.current();
        drop(folder);
        assert_eq!((written.generation, written.acknowledged), (3, 1 << 40));
        assert_eq!(opened(temporary.path()).current(), written);
    }

    #[test]
    fn a_generation_is_removed_and_the_others_are_kept() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let folder = opened(temporary.path());
        let make = || {
            for generation in [1, 2, 3] {
                std::fs::create_dir_all(folder.sled_folder(generation)).expect("a folder");
            }
        };
        let there = || [1, 2, 3].map(|generation| folder.sled_folder(generation).exists());
        make();
        folder.remove_generation(2).expect("removed");
        assert_eq!(there(), [true, false, true]);
        make();
        folder.remove_other_generations().expect("removed");
        assert_eq!(there(), [true, false, false], "the first one is current");
    }
}
