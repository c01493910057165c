//! [`SledStore`]: the contract on an embedded sled database, used as a log.
//!
//! Each commit is one record in the log of commits, cut into values of at most 8 KiB, written with one batch and one
//! sync. That is the truth. Where each live run's frames are in the log is kept in memory and rebuilt on opening. When a
//! run stops running it is *settled*, later and in passing: its frames are put together under a key of its own, it
//! leaves memory, and the beginning of the log that nobody needs any more is removed. Of suspended runs only those are
//! settled that were so for longest, when there are many; their timers have keys of their own, by which they are found.
//! A live run that holds the log's beginning back is written again at its end (*moved*).
//!
//! Why it is so, with figures: `docs/decisions/0001-sled-0.34.md`. The bytes: `docs/journal-format.md`.
//!
//! Reading order: [`layout`] keys, [`codec`] values, [`disk`] sled, [`folder`] lock and side file, [`index`] memory,
//! [`read`], [`timers`], [`load`] opening, [`write`] committing, [`tidy`] settling and moving, [`compact`].

mod codec;
mod compact;
mod disk;
mod folder;
#[cfg(feature = "testing")]
mod fuzz;
mod index;
mod layout;
mod load;
mod read;
#[cfg(test)]
mod replace_tests;
#[cfg(test)]
mod tests;
mod tidy;
mod timers;
mod write;

#[cfg(feature = "testing")]
pub(crate) use fuzz::check as check_codec;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use self::disk::Disk;
use self::folder::{FORMAT_VERSION, Folder};
use self::index::{Index, Place};
use self::layout::{META, SETTLED, parse_settled_key, settled_key};
use self::load::{Loaded, load};
use self::read::SettledEnds;
use self::tidy::Limits;
use self::write::Writer;
use super::{
    Append, DueTimer, Durability, Refused, RunEnds, RunHead, RunStatus, Store, StoreError, StoredPart, StoredRun,
    count_that_fits,
};
use crate::clock::Timestamp;
use crate::id::{Position, RunId};

/// Keeps journals in a folder, in an embedded sled database. Nothing else needs to run.
///
/// With [`Durability::Sync`] an acknowledged commit survives loss of power (S2). One process has a folder open at a
/// time (R13).
///
/// ```
/// use durable_runtime::store::{SledStore, Store};
/// use durable_runtime::Durability;
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path().join("orders.durable");
/// let store = SledStore::open(&folder, Durability::Sync)?;
/// assert_eq!(store.list(None, None, 10)?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SledStore {
    // The order matters: sled is closed before the writer's folder is unlocked.
    state: RwLock<State>,
    writer: Mutex<Writer>,
    limits: Limits,
}

/// What reading needs. Held for reading as long as a read takes, so that nothing is removed under it.
#[derive(Debug)]
struct State {
    index: Index,
    /// Runs found unreadable. Also noted while reading, hence the lock.
    corrupt: Mutex<BTreeMap<RunId, StoreError>>,
    /// Keys of timers that lead to nothing, as far as they were met.
    stale: Mutex<BTreeSet<Vec<u8>>>,
    disk: Disk,
    /// Why index and disk may no longer fit: housekeeping failed half way. Then nobody reads what may be wrong.
    torn: Option<StoreError>,
}

impl SledStore {
    /// Opens the store in `folder`, or creates it there; the folder may be missing or empty.
    ///
    /// Takes time in proportion to what is in the log, about a second for a million records: not to how many runs have
    /// ended or sleep.
    ///
    /// # Errors
    /// [`StoreError::Locked`]: somebody has it open. [`StoreError::NotAStore`], [`StoreError::UnsupportedFormat`]:
    /// nothing was changed in it. [`StoreError::Damaged`], [`StoreError::LostCommits`]: it can't be used.
    /// [`StoreError::Io`]: the system refused something.
    pub fn open(folder: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        Self::open_with(folder.as_ref(), durability, Limits::default())
    }

    fn open_with(folder: &Path, durability: Durability, limits: Limits) -> Result<Self, StoreError> {
        let mut folder = Folder::open(folder, durability)?;
        let current = folder.current();
        let lost = |found: u64| StoreError::LostCommits {
            folder: folder.path().to_path_buf(),
            acknowledged: current.acknowledged,
            found,
        };
        let sled_folder = folder.sled_folder(current.generation);
        let is_new = current.acknowledged == 0;
        if !is_new && !sled_folder.join("db").exists() {
            return Err(lost(0));
        }
        let disk = match Disk::open(&sled_folder, durability) {
            // The process died while sled was creating its files, and sled can't open what it left. Nothing was
            // acknowledged yet, so they are created again.
            Err(StoreError::Damaged { .. }) if is_new => {
                folder.remove_generation(current.generation)?;
                fail_point!("store.create.begun_anew");
                Disk::open(&sled_folder, durability)?
            }
            disk => disk?,
        };
        match disk.get(META)? {
            Some(meta) => check_meta(&meta, folder.path(), current.store_id)?,
            None if is_new => write::initialize(&disk, current.store_id, 1)?,
            None => return Err(lost(0)),
        }
        let Loaded { index, corrupt, last } = load(&disk, folder.path())?;
        fail_point!("store.open.loaded");
        if last < current.acknowledged.max(1) {
            return Err(lost(last));
        }
        folder.sync()?;
        fail_point!("store.open.folder_synced");
        folder.write(current.generation, last)?;
        folder.remove_other_generations()?;
        fail_point!("store.open.done");
        let state = State::new(index, corrupt, disk);
        Ok(Self { state: RwLock::new(state), writer: Mutex::new(Writer::new(folder, durability, last)), limits })
    }
}

/// The value under [`META`]: format version and store id.
fn meta(store_id: [u8; 16]) -> Vec<u8> {
    [&FORMAT_VERSION.to_le_bytes()[..], &store_id].concat()
}

fn check_meta(found: &[u8], folder: &Path, store_id: [u8; 16]) -> Result<(), StoreError> {
    if found == meta(store_id) {
        return Ok(());
    }
    let detail = "its sled folder belongs to another store, or to another version of this one".to_owned();
    Err(StoreError::Damaged { folder: folder.to_path_buf(), detail })
}

impl State {
    fn new(index: Index, corrupt: BTreeMap<RunId, StoreError>, disk: Disk) -> Self {
        Self { index, corrupt: Mutex::new(corrupt), stale: Mutex::default(), disk, torn: None }
    }

    /// Passes on what was read; a run found corrupt is noted first.
    fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Corrupt { run, .. }) = &answer {
            self.corrupt.lock().entry(run.clone()).or_insert_with(|| error.clone());
        }
        answer
    }

    fn fail_if_corrupt(&self, run: &RunId) -> Result<(), StoreError> {
        self.corrupt.lock().get(run).map_or(Ok(()), |error| Err(error.clone()))
    }

    fn is_corrupt(&self, run: &RunId) -> bool {
        self.corrupt.lock().contains_key(run)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.fail_if_corrupt(run)?;
        match self.index.get(run) {
            Some(live) => Ok(Some(live.head(run))),
            None => Ok(self.noted(read::settled_header(&self.disk, run))?.map(|header| settled_head(run, header))),
        }
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.fail_if_corrupt(run)?;
        let Some(live) = self.index.get(run) else {
            let settled = self.noted(read::settled(&self.disk, run))?;
            return Ok(
                settled.map(|settled| StoredRun { head: settled_head(run, settled.header), frames: settled.frames })
            );
        };
        let mut frames = Vec::new();
        if live.settled > 0 {
            let settled = self.noted(read::settled(&self.disk, run))?;
            frames = settled.map(|settled| settled.frames).unwrap_or_default();
            if frames.len() as u64 != live.settled {
                return self.noted(Err(read::corrupt(run, None, "its settled part is missing")));
            }
        }
        let first = Position(live.settled);
        frames.extend(self.noted(read::log_frames(&self.disk, run, first, &live.places))?);
        Ok(Some(StoredRun { head: live.head(run), frames }))
    }

    fn ends(&self, run: &RunId) -> Result<Option<RunEnds>, StoreError> {
        self.fail_if_corrupt(run)?;
        let live = self.index.get(run);
        let settled = match live {
            Some(live) if live.settled == 0 => None,
            _ => self.noted(read::settled_ends(&self.disk, run))?,
        };
        let Some(live) = live else {
            let of_settled = |SettledEnds { header, first, last }| {
                let head = settled_head(run, header);
                RunEnds { head, first, last }
            };
            return Ok(settled.map(of_settled));
        };
        if settled.as_ref().map_or(0, |ends| ends.header.length.0) != live.settled {
            return self.noted(Err(read::corrupt(run, None, "its settled part is missing")));
        }
        let in_log = |position: u64, place: Option<&Place>| -> Result<Option<Vec<u8>>, StoreError> {
            let Some(place) = place else { return Ok(None) };
            let frames = read::log_frames(&self.disk, run, Position(position), std::slice::from_ref(place));
            Ok(self.noted(frames)?.pop())
        };
        let newest = in_log(live.length().0.saturating_sub(1), live.places.last())?;
        let (first, last) = match settled {
            Some(SettledEnds { first, last, .. }) => (Some(first), newest.or(Some(last))),
            None => (in_log(0, live.places.first())?, newest),
        };
        Ok(Some(RunEnds { head: live.head(run), first: first.unwrap_or_default(), last: last.unwrap_or_default() }))
    }

    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        self.fail_if_corrupt(run)?;
        let settled = || self.noted(read::settled_part(&self.disk, run, from, bytes_max));
        let Some(live) = self.index.get(run) else { return settled() };
        let head = live.head(run);
        let Some(from) = from.0.checked_sub(live.settled) else {
            let part = settled()?.filter(|part| part.head.length.0 == live.settled);
            let Some(StoredPart { frames, .. }) = part else {
                return self.noted(Err(read::corrupt(run, None, "its settled part is missing")));
            };
            return Ok(Some(StoredPart { head, frames }));
        };
        let places = usize::try_from(from).ok().and_then(|from| live.places.get(from..)).unwrap_or_default();
        let count = count_that_fits(places.iter().map(|place| place.bytes as usize), bytes_max);
        let first = Position(live.settled + from);
        let frames = self.noted(read::log_frames(&self.disk, run, first, &places[..count]))?;
        Ok(Some(StoredPart { head, frames }))
    }

    /// Heads of settled runs after `after`, in the order of their ids. Those that can't be read are noted and left out.
    fn settled_heads(&self, after: Option<&RunId>) -> impl Iterator<Item = Result<RunHead, StoreError>> {
        let from = after.map_or(Bound::Included(SETTLED.to_vec()), |after| Bound::Excluded(settled_key(after)));
        let items = self.disk.scan((from, Bound::Unbounded));
        let items = items.take_while(|item| !matches!(item, Ok((key, _)) if !key.starts_with(SETTLED)));
        items.filter_map(|item| {
            let (key, first_chunk) = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            let run = parse_settled_key(&key)?;
            if self.index.get(&run).is_some() || self.is_corrupt(&run) {
                return None;
            }
            let header = self.noted(read::read_header(&run, &first_chunk)).ok()?;
            Some(Ok(settled_head(&run, header)))
        })
    }
}

fn settled_head(run: &RunId, header: codec::SettledHeader) -> RunHead {
    RunHead { run: run.clone(), status: header.status, length: header.length, fence: header.fence }
}

impl SledStore {
    fn readable(&self) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        let state = self.state.read();
        match &state.torn {
            None => Ok(state),
            Some(first) => Err(StoreError::Broken { first: first.to_string() }),
        }
    }
}

impl Store for SledStore {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.commit_appends(appends)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.readable()?.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.readable()?.read(run)
    }

    fn ends(&self, run: &RunId) -> Result<Option<RunEnds>, StoreError> {
        self.readable()?.ends(run)
    }

    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        self.readable()?.read_part(run, from, bytes_max)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        let state = self.readable()?;
        let has_status = |head: &RunHead| status.is_none_or(|status| head.status == status);
        let corrupt = state.corrupt.lock().clone();
        let live = state.index.after(after).filter(|(run, _)| !corrupt.contains_key(*run));
        let mut heads: Vec<RunHead> = live.map(|(run, live)| live.head(run)).filter(&has_status).take(limit).collect();
        // Running ones are never settled, so finding them among a million that sleep or have ended costs nothing.
        if status != Some(RunStatus::Running) {
            let settled = state.settled_heads(after);
            let settled = settled.filter(|head| head.as_ref().map_or(true, &has_status)).take(limit);
            heads.extend(settled.collect::<Result<Vec<_>, _>>()?);
            heads.sort_by(|a, b| a.run.cmp(&b.run));
            heads.truncate(limit);
        }
        Ok(heads)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.state.read().corrupt.lock().values().cloned().collect()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.readable()?.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.delete_run(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.tidy_some()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.compact_all()
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // So that whatever is lost from now on is noticed when opening. If this fails, less is noticed, nothing is lost.
        fail_point!("store.close.begun");
        self.writer.get_mut().close();
        fail_point!("store.close.side_written");
    }
}
