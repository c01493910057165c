//! Committing: which appends apply, the commit record, the batch, the sync.
//!
//! A run that is replaced is deleted and begun anew by the same record. The settled part that it may have is read until
//! that is durable, and removed after it, or when the store is opened, if the process dies in between.

use std::collections::{BTreeMap, BTreeSet};

use ::sled::Batch;
use parking_lot::RwLockWriteGuard;

use super::codec::{self, Entry, Moved};
use super::disk::Disk;
use super::folder::Folder;
use super::index::{Base, Index, NewRecords};
use super::layout::{CHUNK_BYTES, META, log_key};
use super::{SledStore, State, meta, read};
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, Durability, Refused, StoreError};

/// The buffer for commit records is given back when it grew beyond this.
const RECORD_BYTES_KEPT_MAX: usize = 4 << 20;

/// How many commits go unnoted as long as one follows the other: a mark takes as long as a tenth of a commit.
pub(super) const UNNOTED_MAX: u64 = 15;

/// What only one thread at a time may have: the end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) folder: Folder,
    pub(super) durability: Durability,
    /// The newest commit.
    pub(super) last: u64,
    record: Vec<u8>,
    broken: Option<String>,
}

impl Writer {
    pub(super) fn new(folder: Folder, durability: Durability, last: u64) -> Self {
        Self { folder, durability, last, record: Vec::new(), broken: None }
    }

    pub(super) fn fail_if_broken(&self) -> Result<(), StoreError> {
        self.broken.as_ref().map_or(Ok(()), |first| Err(StoreError::Broken { first: first.clone() }))
    }

    /// Passes on the outcome of a write. After a failed one nothing is written any more: the system may have dropped
    /// what it could not write, and a later sync would succeed without it.
    pub(super) fn noted<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.broken.get_or_insert_with(|| error.to_string());
        }
        answer
    }

    pub(super) fn close(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = self.folder.write(self.folder.current().generation, self.last) {
            tracing::warn!(%error, "the side file was not written when closing");
        }
    }
}

/// Work that shares a commit with appends or has one of its own.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// Settled runs to write, or to remove.
    pub(super) batch: Batch,
    /// Runs that are settled by it, and leave the index.
    pub(super) settled: BTreeSet<RunId>,
    pub(super) moved: Vec<Moved>,
    pub(super) deleted: Option<RunId>,
    /// How many keys of timers that lead to nothing it removes.
    pub(super) stale: usize,
    /// Whether to remove the beginning of the log that nobody needs.
    pub(super) truncate: bool,
}

impl Chores {
    pub(super) fn is_empty(&self) -> bool {
        let Self { batch: _, settled, moved, deleted, stale, truncate } = self;
        settled.is_empty() && moved.is_empty() && deleted.is_none() && *stale == 0 && !truncate
    }
}

/// An append that applies, and the settled part of its run if that is not in the index.
pub(super) struct Accepted<'a> {
    pub(super) append: &'a Append,
    base: Option<Base>,
}

/// What each append is answered, and those that apply.
struct Checked<'a> {
    answers: Vec<Result<(), Refused>>,
    accepted: Vec<Accepted<'a>>,
}

/// A run's length and fence while a commit is checked.
#[derive(Clone, Copy)]
struct Standing {
    length: Position,
    fence: Fence,
}

/// Makes the first commit of a new database: an empty one, so that a database without any is known to be damaged.
pub(super) fn initialize(disk: &Disk, store_id: [u8; 16], first: u64) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.insert(META, meta(store_id));
    let mut record = Vec::new();
    codec::put_commit(&mut record, &[]).ok_or_else(|| read::too_large("the first commit"))?;
    codec::seal_commit(&mut record, first, first);
    put_record(&mut batch, first, &record);
    fail_point!("store.first_commit.unwritten");
    disk.apply(batch)?;
    fail_point!("store.first_commit.written");
    disk.sync()?;
    fail_point!("store.first_commit.synced");
    Ok(())
}

/// Cuts a commit record into chunks.
pub(super) fn put_record(batch: &mut Batch, number: u64, record: &[u8]) {
    for (chunk, bytes) in (0..).zip(record.chunks(CHUNK_BYTES)) {
        batch.insert(log_key(number, chunk), bytes);
    }
}

impl SledStore {
    pub(super) fn commit_appends(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let mut writer = self.writer.lock();
        writer.fail_if_broken()?;
        let Checked { answers, accepted } = check(&self.state.read(), appends)?;
        if accepted.is_empty() {
            return Ok(answers);
        }
        let chores = self.overdue_chores(&accepted)?;
        self.write(&mut writer, accepted, chores)?;
        Ok(answers)
    }

    pub(super) fn delete_run(&self, run: &RunId) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        writer.fail_if_broken()?;
        let mut chores = Chores::default();
        let is_known = {
            let state = self.state.read();
            let is_settled = read::remove_settled(&state.disk, &mut chores.batch, run)?;
            is_settled || state.index.get(run).is_some() || state.corrupt.lock().contains_key(run)
        };
        if is_known {
            chores.deleted = Some(run.clone());
            fail_point!("store.delete.unwritten");
            self.write(&mut writer, Vec::new(), chores)?;
            fail_point!("store.delete.synced");
        }
        Ok(is_known)
    }

    pub(super) fn write_chores(&self, writer: &mut Writer, chores: Chores) -> Result<(), StoreError> {
        self.write(writer, Vec::new(), chores)
    }

    /// Writes one commit.
    fn write(
        &self,
        writer: &mut Writer,
        mut accepted: Vec<Accepted<'_>>,
        mut chores: Chores,
    ) -> Result<(), StoreError> {
        let number = writer.last + 1;
        let replaced = self.settled_parts_of_replaced(&accepted)?;
        let mut record = std::mem::take(&mut writer.record);
        let appended = accepted.iter().flat_map(|Accepted { append, .. }| {
            let replaced = append.replaces.then_some(Entry::Deleted(&append.run));
            replaced.into_iter().chain([Entry::Appended(append)])
        });
        let entries: Vec<Entry<'_>> = (chores.moved.iter().map(Entry::Moved))
            .chain(chores.deleted.iter().map(Entry::Deleted))
            .chain(appended)
            .collect();
        codec::put_commit(&mut record, &entries).ok_or_else(|| read::too_large("a commit"))?;
        let record_bytes = u32::try_from(record.len()).map_err(|_| read::too_large("a commit"))?;

        let mut offset = frames_start(&record) + moved_bytes(&chores.moved);
        self.begin(&mut accepted, number, &mut chores.batch);
        let written = self.put(number, &mut record, chores);
        writer.noted(written)?;
        fail_point!("store.commit.synced");
        writer.last = number;
        let mut state = self.state.write();
        for Accepted { append, .. } in accepted {
            offset = apply(&mut state.index, append, number, offset);
            if append.replaces {
                // What somebody found while this was written.
                state.corrupt.lock().remove(&append.run);
            }
        }
        state.index.committed(number, record_bytes);
        let removed = replaced.map_or(Ok(()), |batch| state.disk.apply(batch));
        drop(state);
        writer.noted(removed)?;
        if record.capacity() <= RECORD_BYTES_KEPT_MAX {
            writer.record = record;
        }
        let is_time = writer.last - writer.folder.current().acknowledged >= self.limits.side_file_commits;
        let written = if is_time {
            writer.folder.write(writer.folder.current().generation, writer.last)
        } else {
            writer.folder.mark(writer.last, UNNOTED_MAX)
        };
        writer.noted(written)
    }

    /// What removes the settled parts of the runs that are replaced, if there are any.
    fn settled_parts_of_replaced(&self, accepted: &[Accepted<'_>]) -> Result<Option<Batch>, StoreError> {
        let (mut batch, mut is_any) = (Batch::default(), false);
        for Accepted { append, .. } in accepted.iter().filter(|accepted| accepted.append.replaces) {
            is_any |= read::remove_settled(&self.state.read().disk, &mut batch, &append.run)?;
        }
        Ok(is_any.then_some(batch))
    }

    /// Takes in the settled runs that go on in this commit. Before it is written, so that their timers are always listed:
    /// by the index from here on, and not any more by their keys.
    fn begin(&self, accepted: &mut [Accepted<'_>], number: u64, batch: &mut Batch) {
        let mut bases = accepted.iter_mut().filter_map(|Accepted { append, base }| Some((&append.run, base.take()?)));
        if let Some(first) = bases.next() {
            let mut state = self.state.write();
            for (run, base) in std::iter::once(first).chain(bases) {
                read::remove_dues(batch, run, &base);
                state.index.begin(run, base, number);
            }
        }
    }

    /// Hands a commit record to sled and makes it durable. Appends enter the index only after that, so that nobody
    /// reads what may still be lost.
    fn put(&self, number: u64, record: &mut [u8], chores: Chores) -> Result<(), StoreError> {
        let is_plain = chores.is_empty();
        let Chores { mut batch, settled, moved, deleted, stale: _, truncate: _ } = chores;
        if is_plain {
            let state = self.state.read();
            codec::seal_commit(record, number, state.index.oldest_commit(number));
            put_record(&mut batch, number, record);
            fail_point!("store.commit.unwritten");
            state.disk.apply(batch)?;
            fail_point!("store.commit.written");
            return state.disk.sync();
        }
        // Chores change what readers find through the index, so index and sled change together under the lock. Nobody
        // can tell a settled or moved run from one that is not; a deletion may be seen before it is durable.
        let mut state = self.state.write();
        for run in &settled {
            state.index.forget(run);
        }
        let mut offset = frames_start(record);
        for moved in &moved {
            offset = apply_moved(&mut state.index, moved, number, offset);
        }
        if let Some(run) = &deleted {
            state.index.forget(run);
            state.corrupt.lock().remove(run);
        }
        let needed = state.index.oldest_needed().map_or(number, |needed| needed.min(number));
        let mut removed = 0;
        while removed < self.limits.removed_chunks_max {
            let Some((commit, chunks)) = state.index.drop_oldest_commit(needed) else { break };
            (0..chunks).for_each(|chunk| batch.remove(log_key(commit, chunk)));
            removed += chunks;
        }
        codec::seal_commit(record, number, state.index.oldest_commit(number));
        put_record(&mut batch, number, record);
        fail_point!("store.chores.unwritten");
        if let Err(error) = state.disk.apply(batch) {
            state.torn = Some(error.clone());
            return Err(error);
        }
        fail_point!("store.chores.written");
        RwLockWriteGuard::downgrade(state).disk.sync()
    }
}

fn frames_start(record: &[u8]) -> u32 {
    let start = codec::read_commit_header(record).map_or(0, codec::CommitHeader::frames_start);
    u32::try_from(start).expect("put_commit made the record no longer than 4 GiB")
}

/// Decides which appends apply; later ones see the earlier ones (S3).
fn check<'a>(state: &State, appends: &'a [Append]) -> Result<Checked<'a>, StoreError> {
    let mut touched: BTreeMap<&RunId, Standing> = BTreeMap::new();
    let (mut answers, mut accepted) = (Vec::with_capacity(appends.len()), Vec::with_capacity(appends.len()));
    for append in appends {
        let (standing, base) = match touched.get(&append.run) {
            Some(standing) => (*standing, None),
            None => standing(state, append)?,
        };
        let answer = refusal(append, standing).map_or(Ok(()), Err);
        if answer.is_ok() {
            touched.insert(&append.run, Standing { length: append.length_after(), fence: append.fence });
            accepted.push(Accepted { append, base });
        }
        answers.push(answer);
    }
    Ok(Checked { answers, accepted })
}

fn refusal(append: &Append, standing: Standing) -> Option<Refused> {
    let Standing { length, fence } = standing;
    // Without records, it would leave a run that has none; and what is not there can't be replaced.
    let is_new = length == Position(0);
    let cannot_be = if append.records.is_empty() { is_new || append.replaces } else { is_new && append.replaces };
    if append.expected != length || cannot_be {
        return Some(Refused::WrongPosition { expected: append.expected, found: length });
    }
    (append.fence < fence).then_some(Refused::StaleFence { given: append.fence, current: fence })
}

/// How a run stands before the commit, and where it begins if it is settled and goes on. A run that can't be read
/// refuses everything.
fn standing(state: &State, append: &Append) -> Result<(Standing, Option<Base>), StoreError> {
    let run = &append.run;
    match known_standing(state, append) {
        Err(StoreError::Corrupt { .. }) => {
            tracing::warn!(%run, "an append to a corrupt run is refused");
            Ok((Standing { length: Position(u64::MAX), fence: Fence(u64::MAX) }, None))
        }
        answer => answer,
    }
}

fn known_standing(state: &State, append: &Append) -> Result<(Standing, Option<Base>), StoreError> {
    let run = &append.run;
    state.fail_if_corrupt(run)?;
    if let Some(live) = state.index.get(run) {
        return Ok((Standing { length: live.length(), fence: live.fence }, None));
    }
    let Some(base) = state.noted(read::settled_base(&state.disk, run))? else {
        return Ok((Standing { length: Position(0), fence: Fence(0) }, None));
    };
    Ok((Standing { length: Position(base.records), fence: base.fence }, Some(base)))
}

/// Puts a written append into the index and returns where the next one's frames begin.
fn apply(index: &mut Index, append: &Append, commit: u64, offset: u32) -> u32 {
    // Lengths that did not fit were refused by `put_commit`.
    let bytes = |frame: &Vec<u8>| u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let positions = (append.first().0..).map(Position);
    let new = NewRecords {
        commit,
        offset,
        status: append.status,
        fence: append.fence,
        dues: &mut positions.zip(&append.records).filter_map(|(position, record)| Some((position, record.due?))),
        clears: &append.clears,
        frame_bytes: &mut append.records.iter().map(|record| bytes(&record.frame)),
    };
    if append.replaces {
        index.replace(&append.run, 0, new);
    } else {
        index.append(&append.run, new);
    }
    offset + append.records.iter().map(|record| bytes(&record.frame)).sum::<u32>()
}

fn apply_moved(index: &mut Index, moved: &Moved, commit: u64, offset: u32) -> u32 {
    let bytes = |frame: &Vec<u8>| u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let new = NewRecords {
        commit,
        offset,
        status: moved.status,
        fence: moved.fence,
        dues: &mut moved.dues.iter().copied(),
        clears: &[],
        frame_bytes: &mut moved.frames.iter().map(bytes),
    };
    index.replace(&moved.run, moved.first.0, new);
    offset + moved_bytes(std::slice::from_ref(moved))
}

fn moved_bytes(moved: &[Moved]) -> u32 {
    let frames = moved.iter().flat_map(|moved| &moved.frames);
    frames.map(|frame| u32::try_from(frame.len()).unwrap_or(u32::MAX)).sum()
}
