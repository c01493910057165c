//! What the tests of `SledStore` share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable_runtime::store::{Append, Record, SledStore, Store, StoreError, StoredRun};
use durable_runtime::testing::conformance::StoreHarness;
use durable_runtime::{Durability, Fence, Position, RunId, RunStatus};

/// A sled store in a temporary folder.
pub(crate) struct Sled {
    folder: tempfile::TempDir,
    durability: Durability,
}

impl Sled {
    pub(crate) fn new() -> Self {
        // Buffered, because a test of logic need not wait for the disk; `power_cut` tests the syncing.
        Self { folder: tempfile::tempdir().expect("a temporary folder"), durability: Durability::Buffered }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn open(&self) -> Result<SledStore, StoreError> {
        SledStore::open(self.path(), self.durability)
    }
}

impl StoreHarness for Sled {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.open().expect("the store opens"))
    }

    fn corrupt_frame(&self, run: &RunId, position: Position) -> bool {
        let frame = {
            let store = self.open().expect("the store opens");
            let stored = store.read(run).expect("read").expect("the run exists");
            stored.frames[usize::try_from(position.0).expect("small")].clone()
        };
        let changed = change_values(&self.path(), |value| {
            let at = value.windows(frame.len()).position(|window| window == frame)?;
            let mut changed = value.to_vec();
            changed[at + frame.len() / 2] ^= 0x20;
            Some(changed)
        });
        assert!(changed > 0, "the frame is nowhere in the folder");
        true
    }

    fn bytes(&self) -> Option<u64> {
        Some(bytes_of(&self.path()))
    }
}

/// Changes values underneath a closed store and returns how many.
pub(crate) fn change_values(store: &Path, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> usize {
    let db = open_sled(store);
    let mut changed = 0;
    for item in db.iter() {
        let (key, value) = item.expect("an item");
        if let Some(value) = change(&value) {
            db.insert(key, value).expect("insert");
            changed += 1;
        }
    }
    db.flush().expect("flush");
    changed
}

/// The sled database of a closed store.
pub(crate) fn open_sled(store: &Path) -> ::sled::Db {
    let config = ::sled::Config::new().path(sled_folder(store)).flush_every_ms(None).segment_size(2 << 20);
    // A store that was just dropped may hold the file for a moment.
    for _ in 0..1_000 {
        match config.open() {
            Err(::sled::Error::Io(_)) => std::thread::yield_now(),
            db => return db.expect("sled opens"),
        }
    }
    panic!("sled stays locked");
}

/// The one `sled-<generation>` folder of a store.
pub(crate) fn sled_folder(store: &Path) -> PathBuf {
    let entries = std::fs::read_dir(store).expect("the folder").map(|entry| entry.expect("an entry").path());
    let sled = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sled-"));
    let mut folders: Vec<PathBuf> = entries.filter(sled).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

/// The bytes of all files below a folder.
pub(crate) fn bytes_of(folder: &Path) -> u64 {
    files_below(folder).iter().map(|file| file.metadata().expect("its length").len()).sum()
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Copies a folder as it is now, as if the process died at this moment.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("create");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry").path();
        let target = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy_folder(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).expect("copy");
        }
    }
}

pub(crate) fn run(id: &str) -> RunId {
    RunId::new(id).expect("a valid id")
}

pub(crate) fn append(run: &RunId, expected: u64, frames: &[&[u8]], status: RunStatus) -> Append {
    Append {
        run: run.clone(),
        expected: Position(expected),
        fence: Fence(1),
        records: frames.iter().map(|frame| Record { frame: frame.to_vec(), due: None }).collect(),
        replaces: false,
        clears: Vec::new(),
        status,
    }
}

/// All runs of a store.
pub(crate) fn everything(store: &dyn Store) -> Vec<StoredRun> {
    let heads = store.list(None, None, usize::MAX).expect("list");
    heads.iter().map(|head| store.read(&head.run).expect("read").expect("the run")).collect()
}
