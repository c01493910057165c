//! Reading runs back: frames from the log, settled runs, and the taking and removing of the latter's chunks.

use std::ops::Range;
use std::sync::Arc;

use ::sled::{Batch, IVec};

use super::codec::{self, Settled, SettledHeader};
use super::disk::Disk;
use super::index::{Base, Place};
use super::layout::{CHUNK_BYTES, due_key, log_key, settled_key, settled_more_key};
use super::settled_head;
use crate::id::{Position, RunId};
use crate::store::{RunStatus, StoreError, StoredPart, count_that_fits};

pub(super) fn corrupt(run: &RunId, position: Option<Position>, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt { run: run.clone(), position, detail: detail.into() }
}

/// The frames at `places`; the first of them is the run's record `first`.
pub(super) fn log_frames(
    disk: &Disk,
    run: &RunId,
    first: Position,
    places: &[Place],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut chunks = Chunks { disk, last: None };
    let mut frames = Vec::with_capacity(places.len());
    for (position, place) in (first.0..).zip(places) {
        let frame = chunks.frame(*place)?;
        frames.push(frame.ok_or_else(|| {
            corrupt(run, Some(Position(position)), format!("a part of commit {} is missing", place.commit))
        })?);
    }
    Ok(frames)
}

/// Looks chunks of the log up; keeps the last, because neighbours are mostly in the same one.
struct Chunks<'a> {
    disk: &'a Disk,
    last: Option<(u64, u32, IVec)>,
}

impl Chunks<'_> {
    fn frame(&mut self, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        let (mut offset, mut left) = (place.offset as usize, place.bytes as usize);
        let mut frame = Vec::new();
        while left > 0 {
            let Ok(chunk) = u32::try_from(offset / CHUNK_BYTES) else { return Ok(None) };
            let start = offset % CHUNK_BYTES;
            let count = left.min(CHUNK_BYTES - start);
            let Some(chunk) = self.chunk(place.commit, chunk)? else { return Ok(None) };
            let Some(part) = chunk.get(start..start + count) else { return Ok(None) };
            frame.extend_from_slice(part);
            (offset, left) = (offset + count, left - count);
        }
        Ok(Some(frame))
    }

    fn chunk(&mut self, commit: u64, chunk: u32) -> Result<Option<&IVec>, StoreError> {
        if !matches!(&self.last, Some((last_commit, last_chunk, _)) if (*last_commit, *last_chunk) == (commit, chunk)) {
            let value = self.disk.get(&log_key(commit, chunk))?;
            self.last = value.map(|value| (commit, chunk, value));
        }
        Ok(self.last.as_ref().map(|(_, _, value)| value))
    }
}

/// The header of a settled run; `None` if there is no settled run of this id.
pub(super) fn settled_header(disk: &Disk, run: &RunId) -> Result<Option<SettledHeader>, StoreError> {
    let Some(first_chunk) = disk.get(&settled_key(run))? else { return Ok(None) };
    read_header(run, &first_chunk).map(Some)
}

pub(super) fn read_header(run: &RunId, first_chunk: &[u8]) -> Result<SettledHeader, StoreError> {
    codec::read_settled_header(first_chunk)
        .ok_or_else(|| corrupt(run, None, "the header of its settled part can't be read"))
}

/// A settled run; `None` if there is no settled run of this id.
pub(super) fn settled(disk: &Disk, run: &RunId) -> Result<Option<Settled>, StoreError> {
    let Some((_, bytes)) = settled_bytes(disk, run, SettledHeader::bytes)? else { return Ok(None) };
    let settled = codec::read_settled(&bytes);
    settled.map(Some).ok_or_else(|| corrupt(run, None, "its settled part can't be read"))
}

/// The head of a settled run, and frames of it from position `from` on, as [`Store::read_part`](crate::store::Store)
/// gives them. `None` if there is no settled run of this id.
pub(super) fn settled_part(
    disk: &Disk,
    run: &RunId,
    from: Position,
    bytes_max: usize,
) -> Result<Option<StoredPart>, StoreError> {
    let Some((header, bytes)) = settled_bytes(disk, run, SettledHeader::frames_start)? else { return Ok(None) };
    let unreadable = || corrupt(run, None, "its settled part can't be read");
    let lengths = codec::read_settled_lengths(&bytes).ok_or_else(unreadable)?;
    let from = usize::try_from(from.0).unwrap_or(usize::MAX).min(lengths.len());
    let (before, lengths) = lengths.split_at(from);
    let as_usize = |length: &u64| usize::try_from(*length).unwrap_or(usize::MAX);
    let lengths = &lengths[..count_that_fits(lengths.iter().map(as_usize), bytes_max)];
    let start = header.frames_start() + before.iter().sum::<u64>();
    let end = start + lengths.iter().sum::<u64>();
    let bytes = settled_range(disk, run, header, &bytes, start..end)?;
    let mut rest = &*bytes;
    let mut frames = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (frame, after) = rest.split_at_checked(as_usize(length)).ok_or_else(unreadable)?;
        frames.push(frame.to_vec());
        rest = after;
    }
    Ok(Some(StoredPart { head: settled_head(run, header), frames }))
}

/// A settled run as it stands, without reading its frames; `None` if there is no settled run of this id.
pub(super) fn settled_base(disk: &Disk, run: &RunId) -> Result<Option<Base>, StoreError> {
    let Some((header, bytes)) = settled_bytes(disk, run, SettledHeader::frames_start)? else { return Ok(None) };
    let dues = codec::read_settled_dues(&bytes);
    let dues = dues.ok_or_else(|| corrupt(run, None, "the timers of its settled part can't be read"))?;
    Ok(Some(Base { status: header.status, fence: header.fence, records: header.length.0, dues }))
}

/// A settled run without the frames in between.
pub(super) struct SettledEnds {
    pub(super) header: SettledHeader,
    pub(super) first: Vec<u8>,
    pub(super) last: Vec<u8>,
}

/// The first and the last frame of a settled run, with no more of it than that needs; `None` if there is no settled run
/// of this id.
pub(super) fn settled_ends(disk: &Disk, run: &RunId) -> Result<Option<SettledEnds>, StoreError> {
    let Some((header, bytes)) = settled_bytes(disk, run, SettledHeader::frames_start)? else { return Ok(None) };
    let ends = codec::read_settled_ends(&bytes);
    let [first, last] = ends.ok_or_else(|| corrupt(run, None, "the directory of its settled part can't be read"))?;
    let (first, last) =
        (settled_range(disk, run, header, &bytes, first)?, settled_range(disk, run, header, &bytes, last)?);
    Ok(Some(SettledEnds { header, first, last }))
}

/// Some bytes of a settled run, of which the beginning is there already; of its chunks only those that are needed are read.
fn settled_range(
    disk: &Disk,
    run: &RunId,
    header: SettledHeader,
    beginning: &[u8],
    part: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let lost = || corrupt(run, None, "a part of its settled part is missing");
    let within = |range: Range<u64>| Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
    if let Some(found) = within(part.clone()).and_then(|range| beginning.get(range)) {
        return Ok(found.to_vec());
    }
    let chunk_bytes = CHUNK_BYTES as u64;
    let mut found = Vec::new();
    for chunk in part.start / chunk_bytes..part.end.div_ceil(chunk_bytes) {
        let key = match u32::try_from(chunk).map_err(|_| lost())? {
            0 => settled_key(run),
            chunk => settled_more_key(header.through, header.ordinal, chunk),
        };
        let bytes = disk.get(&key)?.ok_or_else(lost)?;
        let start = chunk * chunk_bytes;
        let wanted = part.start.max(start) - start..part.end.min(start + chunk_bytes) - start;
        found.extend_from_slice(within(wanted).and_then(|range| bytes.get(range)).ok_or_else(lost)?);
    }
    Ok(found)
}

/// The header of a settled run, and its first chunks, with as many bytes as `needed` says, or more.
fn settled_bytes(
    disk: &Disk,
    run: &RunId,
    needed: fn(SettledHeader) -> u64,
) -> Result<Option<(SettledHeader, Vec<u8>)>, StoreError> {
    let Some(first_chunk) = disk.get(&settled_key(run))? else { return Ok(None) };
    let header = read_header(run, &first_chunk)?;
    let mut bytes = first_chunk.to_vec();
    for chunk in 1.. {
        if bytes.len() as u64 >= needed(header) {
            break;
        }
        match disk.get(&settled_more_key(header.through, header.ordinal, chunk))? {
            Some(more) => bytes.extend_from_slice(&more),
            None => return Err(corrupt(run, None, format!("chunk {chunk} of its settled part is missing"))),
        }
    }
    Ok(Some((header, bytes)))
}

/// Puts a settled run into the batch, in place of the one of `old` if there is one.
pub(super) fn put_settled(batch: &mut Batch, run: &RunId, bytes: &[u8], old: Option<SettledHeader>) {
    if let Some(old) = old {
        remove_more(batch, old);
    }
    let mut chunks = bytes.chunks(CHUNK_BYTES);
    batch.insert(settled_key(run), chunks.next().unwrap_or_default());
    if let Some(header) = codec::read_settled_header(bytes) {
        for (chunk, bytes) in (1..).zip(chunks) {
            batch.insert(settled_more_key(header.through, header.ordinal, chunk), bytes);
        }
    }
}

/// Removes a settled run, whatever state it is in. Returns whether there was anything.
///
/// When its header can't be read, its further chunks are not known and stay; nothing ever finds them again. The keys of
/// timers that can't be read stay until somebody comes upon them.
pub(super) fn remove_settled(disk: &Disk, batch: &mut Batch, run: &RunId) -> Result<bool, StoreError> {
    let key = settled_key(run);
    let Some(first_chunk) = disk.get(&key)? else { return Ok(false) };
    batch.remove(key);
    if let Some(header) = codec::read_settled_header(&first_chunk) {
        remove_more(batch, header);
    }
    match settled_base(disk, run) {
        Ok(Some(base)) => remove_dues(batch, run, &base),
        Ok(None) | Err(StoreError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Removes the keys that a settled run's timers are found by.
pub(super) fn remove_dues(batch: &mut Batch, run: &RunId, base: &Base) {
    if base.status == RunStatus::Suspended {
        base.dues.iter().for_each(|(_, due)| batch.remove(due_key(*due, run)));
    }
}

fn remove_more(batch: &mut Batch, header: SettledHeader) {
    let chunks = header.bytes().div_ceil(CHUNK_BYTES as u64);
    for chunk in 1..u32::try_from(chunks).unwrap_or(u32::MAX) {
        batch.remove(settled_more_key(header.through, header.ordinal, chunk));
    }
}

/// A write that the store refused as impossible, before anything was done.
pub(super) fn too_large(what: &str) -> StoreError {
    let error = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "more than 4 GiB in one piece");
    StoreError::Io { operation: format!("encoding {what}"), source: Arc::new(error) }
}
