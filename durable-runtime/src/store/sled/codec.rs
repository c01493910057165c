//! Bytes: commit records and settled runs, as `docs/journal-format.md` describes them.
//!
//! Reading never trusts a length: [`Reader`] gives only what is there, and nothing is allocated for a count before
//! as many bytes were seen.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, RunStatus};

/// The bytes of a commit record before its directory.
pub(super) const COMMIT_HEADER_BYTES: usize = 28;
/// The bytes of a settled run before its directory.
pub(super) const SETTLED_HEADER_BYTES: usize = 49;

const APPENDED: u8 = 1;
const MOVED: u8 = 2;
const DELETED: u8 = 3;

/// One entry of a commit, about to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// New records of a run. If they replace what it has, its deletion is the entry before.
    Appended(&'a Append),
    /// All that the log has of a run, written again so that older commits can go.
    Moved(&'a Moved),
    /// The run and everything before is gone.
    Deleted(&'a RunId),
}

/// All that the log has of one unfinished run.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) run: RunId,
    pub(super) status: RunStatus,
    pub(super) fence: Fence,
    /// The position of the first frame: 0, or the length of the run's settled part.
    pub(super) first: Position,
    /// All timers of the run that are set, those of its settled part included.
    pub(super) dues: Vec<(Position, Timestamp)>,
    pub(super) frames: Vec<Vec<u8>>,
}

/// What a commit record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitHeader {
    pub(super) number: u64,
    /// The oldest commit the log still had when this one was written.
    pub(super) oldest: u64,
    pub(super) directory_bytes: u32,
    pub(super) frames_bytes: u32,
}

impl CommitHeader {
    /// Where the frames begin in the record.
    pub(super) fn frames_start(self) -> usize {
        COMMIT_HEADER_BYTES.saturating_add(self.directory_bytes as usize)
    }

    /// The length of the record.
    pub(super) fn record_bytes(self) -> usize {
        self.frames_start().saturating_add(self.frames_bytes as usize)
    }
}

/// One entry of a commit, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadEntry {
    pub(super) run: RunId,
    pub(super) change: Change,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Appended(Added),
    Moved(Added),
    Deleted,
}

/// The records of an entry, without their frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) status: RunStatus,
    pub(super) fence: Fence,
    pub(super) first: Position,
    pub(super) frame_bytes: Vec<u32>,
    pub(super) dues: Vec<(Position, Timestamp)>,
    pub(super) clears: Vec<Position>,
}

/// Writes header, directory and frames of a commit to `out`, which is emptied first. The header is not valid before
/// [`seal_commit`]. `None` when the record would not fit the 4 GiB that its offsets can address.
pub(super) fn put_commit(out: &mut Vec<u8>, entries: &[Entry<'_>]) -> Option<()> {
    out.clear();
    out.resize(COMMIT_HEADER_BYTES, 0);
    put_varint(out, entries.len() as u64);
    for entry in entries {
        put_entry(out, *entry)?;
    }
    let directory_bytes = u32::try_from(out.len() - COMMIT_HEADER_BYTES).ok()?;
    let frames_start = out.len();
    for entry in entries {
        match entry {
            Entry::Appended(append) => append.records.iter().for_each(|record| out.extend_from_slice(&record.frame)),
            Entry::Moved(moved) => moved.frames.iter().for_each(|frame| out.extend_from_slice(frame)),
            Entry::Deleted(_) => {}
        }
    }
    u32::try_from(out.len()).ok()?;
    let frames_bytes = u32::try_from(out.len() - frames_start).ok()?;
    out.get_mut(20..24)?.copy_from_slice(&directory_bytes.to_le_bytes());
    out.get_mut(24..28)?.copy_from_slice(&frames_bytes.to_le_bytes());
    Some(())
}

fn put_entry(out: &mut Vec<u8>, entry: Entry<'_>) -> Option<()> {
    let (kind, run) = match entry {
        Entry::Appended(append) => (APPENDED, &append.run),
        Entry::Moved(moved) => (MOVED, &moved.run),
        Entry::Deleted(run) => (DELETED, run),
    };
    out.push(kind);
    put_bytes(out, run.as_str().as_bytes());
    match entry {
        Entry::Appended(append) => {
            put_head(out, append.status, append.fence, append.first());
            put_varint(out, append.records.len() as u64);
            for record in &append.records {
                put_varint(out, u32::try_from(record.frame.len()).ok()?.into());
            }
            put_varint(out, append.records.iter().filter(|record| record.due.is_some()).count() as u64);
            for (position, record) in (append.first().0..).zip(&append.records) {
                if let Some(due) = record.due {
                    put_varint(out, position);
                    put_varint(out, due.0);
                }
            }
            put_varint(out, append.clears.len() as u64);
            append.clears.iter().for_each(|position| put_varint(out, position.0));
        }
        Entry::Moved(moved) => {
            put_head(out, moved.status, moved.fence, moved.first);
            put_varint(out, moved.frames.len() as u64);
            for frame in &moved.frames {
                put_varint(out, u32::try_from(frame.len()).ok()?.into());
            }
            put_dues(out, &moved.dues);
            put_varint(out, 0);
        }
        Entry::Deleted(_) => {}
    }
    Some(())
}

/// Fills in number, oldest commit and checksum of a record that [`put_commit`] wrote.
pub(super) fn seal_commit(record: &mut [u8], number: u64, oldest: u64) {
    record[4..12].copy_from_slice(&number.to_le_bytes());
    record[12..20].copy_from_slice(&oldest.to_le_bytes());
    let directory_bytes = u32::from_le_bytes([record[20], record[21], record[22], record[23]]);
    let crc = crc32fast::hash(&record[4..COMMIT_HEADER_BYTES + directory_bytes as usize]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The header at the beginning of a record; not checked before [`read_directory`]. `None` when too short.
pub(super) fn read_commit_header(record: &[u8]) -> Option<CommitHeader> {
    let mut reader = Reader(record.get(4..)?);
    Some(CommitHeader {
        number: reader.u64()?,
        oldest: reader.u64()?,
        directory_bytes: reader.u32()?,
        frames_bytes: reader.u32()?,
    })
}

/// The entries of a commit; `None` when the checksum over header and directory is wrong, or there is not enough of
/// `record`, or the directory makes no sense. The frames may be missing.
pub(super) fn read_directory(record: &[u8]) -> Option<Vec<ReadEntry>> {
    let header = read_commit_header(record)?;
    let crc = Reader(record).u32()?;
    if crc32fast::hash(record.get(4..header.frames_start())?) != crc {
        return None;
    }
    let mut reader = Reader(record.get(COMMIT_HEADER_BYTES..header.frames_start())?);
    let entries = reader.many(read_entry)?;
    reader.0.is_empty().then_some(entries)
}

fn read_entry(reader: &mut Reader<'_>) -> Option<ReadEntry> {
    let kind = reader.byte()?;
    let run = reader.bytes()?;
    let run = RunId::new(std::str::from_utf8(run).ok()?).ok()?;
    if kind == DELETED {
        return Some(ReadEntry { run, change: Change::Deleted });
    }
    let added = Added {
        status: status_from(reader.byte()?)?,
        fence: Fence(reader.varint()?),
        first: Position(reader.varint()?),
        frame_bytes: reader.many(|reader| u32::try_from(reader.varint()?).ok())?,
        dues: reader.many(read_due)?,
        clears: reader.many(|reader| Some(Position(reader.varint()?)))?,
    };
    let change = match kind {
        APPENDED => Change::Appended(added),
        MOVED => Change::Moved(added),
        _ => return None,
    };
    Some(ReadEntry { run, change })
}

/// What the first chunk of a settled run tells without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SettledHeader {
    pub(super) status: RunStatus,
    pub(super) length: Position,
    pub(super) fence: Fence,
    /// The log's entries of this run up to this commit are contained, and not to be applied again.
    pub(super) through: u64,
    /// Which of the runs settled at once it is; its further chunks are found by `through` and this.
    pub(super) ordinal: u32,
    pub(super) directory_bytes: u32,
    pub(super) directory_crc: u32,
    pub(super) frames_bytes: u64,
}

impl SettledHeader {
    /// Where the frames begin.
    pub(super) fn frames_start(self) -> u64 {
        SETTLED_HEADER_BYTES as u64 + u64::from(self.directory_bytes)
    }

    /// The length of it all.
    pub(super) fn bytes(self) -> u64 {
        self.frames_start().saturating_add(self.frames_bytes)
    }
}

/// A settled run, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) header: SettledHeader,
    pub(super) dues: Vec<(Position, Timestamp)>,
    pub(super) frames: Vec<Vec<u8>>,
}

/// The bytes of a settled run, before they are cut into chunks. `None` when too long to be described.
pub(super) fn put_settled(
    status: RunStatus,
    fence: Fence,
    (through, ordinal): (u64, u32),
    dues: &[(Position, Timestamp)],
    frames: &[Vec<u8>],
) -> Option<Vec<u8>> {
    let mut directory = Vec::new();
    put_dues(&mut directory, dues);
    for frame in frames {
        put_varint(&mut directory, u32::try_from(frame.len()).ok()?.into());
    }
    let mut fields = vec![status_byte(status)];
    fields.extend((frames.len() as u64).to_le_bytes());
    fields.extend(fence.0.to_le_bytes());
    fields.extend(through.to_le_bytes());
    fields.extend(ordinal.to_le_bytes());
    fields.extend(u32::try_from(directory.len()).ok()?.to_le_bytes());
    fields.extend(crc32fast::hash(&directory).to_le_bytes());
    fields.extend(frames.iter().map(|frame| frame.len() as u64).sum::<u64>().to_le_bytes());

    let mut out = crc32fast::hash(&fields).to_le_bytes().to_vec();
    out.extend(fields);
    out.extend(directory);
    for frame in frames {
        out.extend_from_slice(frame);
    }
    Some(out)
}

/// The header of a settled run from its first chunk; `None` when its checksum is wrong or it is cut short.
pub(super) fn read_settled_header(first_chunk: &[u8]) -> Option<SettledHeader> {
    let fields = first_chunk.get(4..SETTLED_HEADER_BYTES)?;
    if crc32fast::hash(fields) != Reader(first_chunk).u32()? {
        return None;
    }
    let mut reader = Reader(fields);
    Some(SettledHeader {
        status: status_from(reader.byte()?)?,
        length: Position(reader.u64()?),
        fence: Fence(reader.u64()?),
        through: reader.u64()?,
        ordinal: reader.u32()?,
        directory_bytes: reader.u32()?,
        directory_crc: reader.u32()?,
        frames_bytes: reader.u64()?,
    })
}

/// A settled run from all its chunks together; `None` when a checksum is wrong or lengths do not add up.
pub(super) fn read_settled(bytes: &[u8]) -> Option<Settled> {
    let (header, directory, mut frames_left) = split_settled(bytes)?;
    if frames_left.len() as u64 != header.frames_bytes {
        return None;
    }
    let mut reader = Reader(directory);
    let dues = reader.many(read_due)?;
    let mut frames = Vec::new();
    while !reader.0.is_empty() {
        let (frame, after) = frames_left.split_at_checked(usize::try_from(reader.varint()?).ok()?)?;
        frames.push(frame.to_vec());
        frames_left = after;
    }
    let complete = frames_left.is_empty() && frames.len() as u64 == header.length.0;
    complete.then_some(Settled { header, dues, frames })
}

/// The timers of a settled run, from its beginning up to the frames; `None` when a checksum is wrong or there is not
/// enough of it.
pub(super) fn read_settled_dues(bytes: &[u8]) -> Option<Vec<(Position, Timestamp)>> {
    let (_, directory, _) = split_settled(bytes)?;
    Reader(directory).many(read_due)
}

/// Where the first and the last frame of a settled run are, counted from its beginning, by what it has up to the frames;
/// `None` when a checksum is wrong, there is not enough of it, or it has no frames.
pub(super) fn read_settled_ends(bytes: &[u8]) -> Option<[Range<u64>; 2]> {
    let (header, directory, _) = split_settled(bytes)?;
    let mut reader = Reader(directory);
    reader.many(read_due)?;
    let start = header.frames_start();
    let (mut first, mut last) = (None, start..start);
    while !reader.0.is_empty() {
        last = last.end..last.end.checked_add(reader.varint()?)?;
        first.get_or_insert_with(|| last.clone());
    }
    (last.end == header.bytes()).then_some([first?, last])
}

/// The lengths of a settled run's frames, from its beginning up to the frames; `None` when a checksum is wrong, there is not
/// enough of it, or they do not add up.
pub(super) fn read_settled_lengths(bytes: &[u8]) -> Option<Vec<u64>> {
    let (header, directory, _) = split_settled(bytes)?;
    let mut reader = Reader(directory);
    reader.many(read_due)?;
    let (mut lengths, mut sum) = (Vec::new(), 0_u64);
    while !reader.0.is_empty() {
        let length = reader.varint()?;
        sum = sum.checked_add(length)?;
        lengths.push(length);
    }
    (lengths.len() as u64 == header.length.0 && sum == header.frames_bytes).then_some(lengths)
}

/// Header, directory, and as much of the frames as there is.
fn split_settled(bytes: &[u8]) -> Option<(SettledHeader, &[u8], &[u8])> {
    let header = read_settled_header(bytes)?;
    let rest = bytes.get(SETTLED_HEADER_BYTES..)?;
    let (directory, frames) = rest.split_at_checked(header.directory_bytes as usize)?;
    (crc32fast::hash(directory) == header.directory_crc).then_some((header, directory, frames))
}

fn put_head(out: &mut Vec<u8>, status: RunStatus, fence: Fence, first: Position) {
    out.push(status_byte(status));
    put_varint(out, fence.0);
    put_varint(out, first.0);
}

fn put_dues(out: &mut Vec<u8>, dues: &[(Position, Timestamp)]) {
    put_varint(out, dues.len() as u64);
    for (position, due) in dues {
        put_varint(out, position.0);
        put_varint(out, due.0);
    }
}

fn read_due(reader: &mut Reader<'_>) -> Option<(Position, Timestamp)> {
    Some((Position(reader.varint()?), Timestamp(reader.varint()?)))
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first, the highest bit set on all but the last (LEB128).
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn status_byte(status: RunStatus) -> u8 {
    match status {
        RunStatus::Running => 1,
        RunStatus::Halted => 2,
        RunStatus::Completed => 3,
        RunStatus::Failed => 4,
        RunStatus::Suspended => 5,
        RunStatus::Cancelled => 6,
    }
}

fn status_from(byte: u8) -> Option<RunStatus> {
    Some(match byte {
        1 => RunStatus::Running,
        2 => RunStatus::Halted,
        3 => RunStatus::Completed,
        4 => RunStatus::Failed,
        5 => RunStatus::Suspended,
        6 => RunStatus::Cancelled,
        _ => return None,
    })
}

/// Reads from the front; every method gives `None` when not enough is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits > u64::MAX >> shift {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.varint()?).ok()?;
        self.take(count)
    }

    /// A count and as many items. An item takes at least a byte, so a count beyond what is left is a lie, and
    /// nothing is allocated for it.
    fn many<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.varint()?).ok()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }
}
