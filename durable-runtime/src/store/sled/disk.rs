//! sled, held the way that makes it durable, and with its panics turned into errors.

use std::fs::File;
use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::sled::{Batch, Db, IVec};

use super::layout::SEGMENT_BYTES;
use crate::store::{Durability, StoreError};

const CACHE_BYTES: u64 = 64 << 20;
/// How often, 10 ms apart, sled is asked to open while a dropped instance of this process still holds its file.
const OPEN_ATTEMPTS_MAX: u32 = 1_000;

/// One open sled database.
pub(super) struct Disk {
    /// `None` only while being dropped.
    db: Option<Db>,
    /// A second descriptor of sled's file `db`, for the sync that sled does not do.
    file: File,
    folder: PathBuf,
    durability: Durability,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("folder", &self.folder)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the database in `folder`, or creates it there.
    pub(super) fn open(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        prepare(folder)?;
        fail_point!("store.sled.unopened");
        let config = ::sled::Config::new().path(folder).flush_every_ms(None).cache_capacity(CACHE_BYTES);
        let config = config.segment_size(SEGMENT_BYTES);
        let db = guarded(folder, "opening", || open_patiently(&config))?;
        fail_point!("store.sled.opened");
        let path = folder.join("db");
        let file = File::open(&path).map_err(|error| io("opening", &path, error))?;
        let disk = Self { db: Some(db), file, folder: folder.to_path_buf(), durability };
        disk.sync_everything()?;
        fail_point!("store.sled.files_synced");
        Ok(disk)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        guarded(&self.folder, "reading", || self.db().get(key))
    }

    /// Applies a batch, all or none of which will be found again. Not durable before [`sync`](Self::sync).
    pub(super) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        guarded(&self.folder, "writing", || self.db().apply_batch(batch))
    }

    /// Makes everything applied durable, at the level chosen when opening.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        guarded(&self.folder, "flushing", || self.db().flush())?;
        fail_point!("store.sled.flushed");
        if self.durability == Durability::Sync {
            // Sync the file ourselves: sled's flush only calls sync_file_range, which a power cut forgives nobody.
            self.file.sync_data().map_err(|error| io("syncing", &self.folder.join("db"), error))?;
        }
        self.fail_if_deleted()
    }

    /// What is written to a file that has no name any more is lost when the process ends, and nothing else tells.
    fn fail_if_deleted(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let path = self.folder.join("db");
            let metadata = self.file.metadata().map_err(|error| io("looking at", &path, error))?;
            if metadata.nlink() == 0 {
                let detail = format!("{} was deleted while the store was open", path.display());
                return Err(StoreError::Damaged { folder: self.folder.clone(), detail });
            }
        }
        Ok(())
    }

    /// The items in a range of keys, in order.
    pub(super) fn scan<R: RangeBounds<Vec<u8>>>(
        &self,
        range: R,
    ) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let mut items = guarded(&self.folder, "reading", || Ok(self.db().range::<Vec<u8>, _>(bounds)));
        std::iter::from_fn(move || match &mut items {
            Ok(items) => guarded(&self.folder, "reading", || items.next().transpose()).transpose(),
            Err(error) => Some(Err(error.clone())),
        })
    }

    /// The items whose keys begin with `prefix`, in order.
    pub(super) fn scan_prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        let owned = prefix.to_vec();
        self.scan(owned.clone()..).take_while(move |item| match item {
            Ok((key, _)) => key.starts_with(&owned),
            Err(_) => true,
        })
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("the database is there until it is dropped")
    }

    /// Syncs every file of the folder and the folder: sled syncs neither its configuration nor its snapshots.
    fn sync_everything(&self) -> Result<(), StoreError> {
        self.sync()?;
        match self.durability {
            Durability::Buffered => Ok(()),
            Durability::Sync => {
                for path in files(&self.folder)? {
                    sync_path(&path)?;
                }
                sync_path(&self.folder.join("blobs"))?;
                sync_path(&self.folder)
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!(folder = %self.folder.display(), "sled panicked while closing; acknowledged commits are not affected");
        }
    }
}

/// Makes sure that what sled is about to read is on the disk, and whole.
///
/// sled writes snapshots of its page table without syncing them, and refuses to open when one is torn. It can do
/// without: so a torn one is removed. And a snapshot must not outlive data it describes: so the data a killed
/// process left unsynced is synced before sled makes a new snapshot of it.
fn prepare(folder: &Path) -> Result<(), StoreError> {
    if !folder.exists() {
        return Ok(());
    }
    let db = folder.join("db");
    if db.exists() {
        sync_path(&db)?;
    }
    for path in files(folder)? {
        let is_snapshot = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."));
        if is_snapshot && !is_whole(&path)? {
            std::fs::remove_file(&path).map_err(|error| io("removing", &path, error))?;
            fail_point!("store.sled.snapshot_removed");
        }
    }
    Ok(())
}

/// Whether a snapshot of sled's ends with the right checksum: body, length (8 bytes), crc32 of the body (4 bytes).
fn is_whole(snapshot: &Path) -> Result<bool, StoreError> {
    let bytes = std::fs::read(snapshot).map_err(|error| io("reading", snapshot, error))?;
    let parts = bytes.split_last_chunk::<12>();
    Ok(parts.is_some_and(|(body, end)| !body.is_empty() && end.ends_with(&crc32fast::hash(body).to_le_bytes())))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| io("reading", folder, error))? {
        let path = entry.map_err(|error| io("reading", folder, error))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Syncs a file or a folder.
pub(super) fn sync_path(path: &Path) -> Result<(), StoreError> {
    // Elsewhere a folder can't be opened, and names are durable with the file.
    if !cfg!(unix) && path.is_dir() {
        return Ok(());
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io("syncing", path, error))
}

pub(super) fn io(operation: &str, path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Io { operation: format!("{operation} {}", path.display()), source: Arc::new(error) }
}

/// A dropped sled instance may still be finishing in its own threads and hold its file lock for a moment. Our own
/// lock file says that nobody else has the folder, so it is worth waiting.
fn open_patiently(config: &::sled::Config) -> ::sled::Result<Db> {
    let mut attempts = 0;
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && attempts < OPEN_ATTEMPTS_MAX =>
            {
                attempts += 1;
                #[expect(clippy::disallowed_methods, reason = "waits for sled's own threads, which no clock drives")]
                std::thread::sleep(Duration::from_millis(10));
            }
            answer => return answer,
        }
    }
}

/// Runs something of sled's. On damaged files sled panics as often as it returns an error.
fn guarded<T>(folder: &Path, operation: &str, call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { folder: folder.to_path_buf(), detail };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(::sled::Error::Io(error))) => Err(io(operation, &folder.join("db"), error)),
        Ok(Err(error)) => Err(damaged(format!("{operation}: {error}"))),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(damaged(format!("{operation}: sled panicked: {message}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sled refuses to open with a torn snapshot, and does without.
    #[test]
    fn a_torn_snapshot_is_removed_and_a_whole_one_is_kept() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let body = b"a page table";
        let end = [&8_u64.to_le_bytes()[..], &crc32fast::hash(body).to_le_bytes()].concat();
        let whole = [&body[..], &end].concat();
        let files: [(&str, &[u8], bool); 6] = [
            ("snap.whole", &whole, true),
            ("snap.torn", &whole[..whole.len() - 1], false),
            ("snap.flipped", &[&b"another page table"[..], &end].concat(), false),
            ("snap.short", b"short", false),
            ("snap.without_a_body", &[&[0; 8][..], &crc32fast::hash(b"").to_le_bytes()].concat(), false),
            ("conf", b"no snapshot", true),
        ];
        for (name, bytes, _) in files {
            std::fs::write(temporary.path().join(name), bytes).expect("written");
        }
        prepare(temporary.path()).expect("prepared");
        let kept = files.map(|(name, ..)| temporary.path().join(name).exists());
        assert_eq!(kept, files.map(|(.., kept)| kept), "{:?}", files.map(|(name, ..)| name));
    }

    /// It waits for sled's own threads only.
    #[test]
    fn what_is_no_lock_is_told_at_once() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(temporary.path().join("db")).expect("a folder where a file should be");
        let opened = Disk::open(temporary.path(), Durability::Buffered);
        assert!(matches!(opened, Err(StoreError::Io { .. })), "{opened:?}");
    }
}
