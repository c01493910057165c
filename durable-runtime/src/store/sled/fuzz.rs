//! A target for fuzzing: what lies on disk is what was written, or nothing.

use std::ops::Range;

use super::codec::{
    COMMIT_HEADER_BYTES, Change, Entry, Moved, SETTLED_HEADER_BYTES, put_commit, put_settled, read_commit_header,
    read_directory, read_settled, read_settled_dues, read_settled_ends, read_settled_header, seal_commit,
};
use super::layout::{
    LOG, due_key, log_key, parse_due_key, parse_log_key, parse_settled_key, settled_key, settled_more_key,
};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, Record, RunStatus};
use crate::testing::fuzz::{Choices, bytes_of, text};

pub(crate) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(8) {
        0 => reads_commit(choices.rest()),
        1 => reads_commit(&checked_commit(choices.rest())),
        2 => reads_settled(choices.rest()),
        3 => reads_settled(&checked_settled(choices.rest())),
        4 => commits(&mut choices),
        5 => settles(&mut choices),
        6 => parses(choices.rest()),
        _ => orders(&mut choices),
    }
}

/// Any bytes are no commit, or one whose parts can be found in it.
fn reads_commit(record: &[u8]) {
    let Some(entries) = read_directory(record) else { return };
    let header = read_commit_header(record).expect("it was read with the directory");
    assert_eq!(header.frames_start(), COMMIT_HEADER_BYTES + header.directory_bytes as usize);
    assert_eq!(header.record_bytes(), header.frames_start() + header.frames_bytes as usize);
    assert!(header.frames_start() <= record.len() && entries.len() <= record.len());
    assert_eq!(read_directory(&record[..header.frames_start()]), Some(entries), "the frames may be missing");
}

/// A commit with these bytes as header and directory, and a right checksum.
fn checked_commit(bytes: &[u8]) -> Vec<u8> {
    let (header, directory) = bytes.split_at(bytes.len().min(20));
    let mut record = vec![0; COMMIT_HEADER_BYTES];
    record.extend_from_slice(directory);
    record[20..24].copy_from_slice(&u32::try_from(directory.len()).expect("short").to_le_bytes());
    let mut fields = [0; 20];
    fields[..header.len()].copy_from_slice(header);
    record[24..28].copy_from_slice(&fields[16..]);
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| fields[at + index]));
    seal_commit(&mut record, number(0), number(8));
    record
}

/// Any bytes are no settled run, or one that is written and read again as the same.
fn reads_settled(bytes: &[u8]) {
    let dues = read_settled_dues(bytes);
    let Some(settled) = read_settled(bytes) else { return };
    assert_eq!(dues.as_ref(), Some(&settled.dues));
    let header = settled.header;
    assert_eq!(read_settled_header(bytes), Some(header));
    assert_eq!(settled.frames.len() as u64, header.length.0);
    has_the_ends_of_its_frames(bytes, &settled.frames);
    let place = (header.through, header.ordinal);
    let again = put_settled(header.status, header.fence, place, &settled.dues, &settled.frames);
    let again = again.expect("what was read is not too long");
    assert!(again.len() <= bytes.len(), "the shortest form is written");
    let read = read_settled(&again).expect("what was written can be read");
    assert_eq!((read.dues, read.frames), (settled.dues, settled.frames));
}

/// The first and the last frame of a settled run are found without the others.
fn has_the_ends_of_its_frames(bytes: &[u8], frames: &[Vec<u8>]) {
    let place = |place: u64| usize::try_from(place).expect("it is within the bytes");
    let at = |range: Range<u64>| bytes[place(range.start)..place(range.end)].to_vec();
    let found = read_settled_ends(bytes).map(|[first, last]| (at(first), at(last)));
    assert_eq!(found, frames.first().cloned().zip(frames.last().cloned()));
}

/// A settled run with these bytes as its parts, and right checksums.
fn checked_settled(bytes: &[u8]) -> Vec<u8> {
    let mut choices = Choices::new(bytes);
    let (directory, frames) = (bytes_of(&mut choices), bytes_of(&mut choices));
    let mut fields = vec![1 + choices.byte() % 5];
    fields.extend(u64::from(choices.byte()).to_le_bytes());
    fields.extend(choices.number().to_le_bytes());
    fields.extend(choices.number().to_le_bytes());
    fields.extend(choices.number_u32().to_le_bytes());
    fields.extend(u32::try_from(directory.len()).expect("short").to_le_bytes());
    fields.extend(crc32fast::hash(&directory).to_le_bytes());
    fields.extend((frames.len() as u64).to_le_bytes());
    [crc32fast::hash(&fields).to_le_bytes().to_vec(), fields, directory, frames].concat()
}

fn any_run(choices: &mut Choices<'_>) -> RunId {
    RunId::new(text(choices)).unwrap_or_else(|_| RunId::new("r").expect("a valid id"))
}

fn any_status(choices: &mut Choices<'_>) -> RunStatus {
    choices.one(&[
        RunStatus::Running,
        RunStatus::Suspended,
        RunStatus::Halted,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ])
}

/// A position far enough from the last that those behind it are positions too.
fn any_position(choices: &mut Choices<'_>) -> Position {
    Position(choices.number() / 2)
}

fn any_dues(choices: &mut Choices<'_>) -> Vec<(Position, Timestamp)> {
    (0..choices.below(4)).map(|_| (any_position(choices), Timestamp(choices.number()))).collect()
}

fn any_frames(choices: &mut Choices<'_>) -> Vec<Vec<u8>> {
    (0..choices.below(5)).map(|_| bytes_of(choices)).collect()
}

/// One entry of a commit, to be written and then compared.
#[derive(Debug)]
enum Written {
    Appended(Append),
    Moved(Moved),
    Deleted(RunId),
}

fn any_entry(choices: &mut Choices<'_>) -> Written {
    let run = any_run(choices);
    let (status, fence, first) = (any_status(choices), Fence(choices.number()), any_position(choices));
    match choices.below(3) {
        0 => {
            let frames = any_frames(choices).into_iter();
            let due = |choices: &mut Choices<'_>| choices.flag().then(|| Timestamp(choices.number()));
            let records = frames.map(|frame| Record { frame, due: due(choices) }).collect();
            let clears = (0..choices.below(4)).map(|_| any_position(choices)).collect();
            Written::Appended(Append { run, expected: first, fence, records, replaces: choices.flag(), clears, status })
        }
        1 => {
            let (dues, frames) = (any_dues(choices), any_frames(choices));
            Written::Moved(Moved { run, status, fence, first, dues, frames })
        }
        _ => Written::Deleted(run),
    }
}

/// A commit is read as it was written, and not at all when it is damaged.
fn commits(choices: &mut Choices<'_>) {
    let written: Vec<Written> = (0..choices.below(5)).map(|_| any_entry(choices)).collect();
    let entries: Vec<Entry<'_>> = written.iter().map(Written::entry).collect();
    let mut record = bytes_of(choices);
    put_commit(&mut record, &entries).expect("it is far from 4 GiB");
    let (number, oldest) = (choices.number(), choices.number());
    seal_commit(&mut record, number, oldest);

    let header = read_commit_header(&record).expect("a header");
    assert_eq!((header.number, header.oldest), (number, oldest));
    assert_eq!(header.record_bytes(), record.len());
    let read = read_directory(&record).expect("what was written can be read");
    assert_eq!(read.len(), written.len());
    let mut frames = &record[header.frames_start()..];
    for (read, written) in read.iter().zip(&written) {
        written.is(&read.run, &read.change, &mut frames);
    }
    assert!(frames.is_empty());

    let frames_start = header.frames_start();
    let mut damaged = record.clone();
    if choices.flag() {
        damaged.truncate(choices.number_u32() as usize % frames_start);
        assert_eq!(read_directory(&damaged), None, "cut unnoticed");
    } else {
        // Behind the checksum, and not in the length of what it is the checksum of.
        damaged.truncate(frames_start);
        damaged.drain(20..24);
        assert!(choices.damage(&mut damaged, 4));
        damaged.splice(20..20, record[20..24].iter().copied());
        assert!(damaged == record[..frames_start] || read_directory(&damaged).is_none(), "damage unnoticed");
    }
}

impl Written {
    fn entry(&self) -> Entry<'_> {
        match self {
            Self::Appended(append) => Entry::Appended(append),
            Self::Moved(moved) => Entry::Moved(moved),
            Self::Deleted(run) => Entry::Deleted(run),
        }
    }

    /// Whether it was read as this, its frames from the front of these.
    fn is(&self, run: &RunId, change: &Change, frames: &mut &[u8]) {
        let (added, own, dues) = match (self, change) {
            (Self::Deleted(deleted), Change::Deleted) => return assert_eq!(run, deleted),
            (Self::Appended(append), Change::Appended(added)) => {
                assert_eq!(run, &append.run);
                let first = if append.replaces { Position(0) } else { append.expected };
                assert_eq!((added.status, added.fence, added.first), (append.status, append.fence, first));
                assert_eq!(added.clears, append.clears);
                let positions = (first.0..).map(Position);
                let dues = positions.zip(&append.records).filter_map(|(at, record)| Some((at, record.due?)));
                (added, append.records.iter().map(|record| &*record.frame).collect(), dues.collect())
            }
            (Self::Moved(moved), Change::Moved(added)) => {
                assert_eq!(run, &moved.run);
                assert_eq!((added.status, added.fence, added.first), (moved.status, moved.fence, moved.first));
                assert_eq!(added.clears, []);
                (added, moved.frames.iter().map(|frame| &**frame).collect::<Vec<&[u8]>>(), moved.dues.clone())
            }
            _ => panic!("{self:?} is read as {change:?}"),
        };
        assert_eq!(added.dues, dues);
        assert_eq!(added.frame_bytes.len(), own.len());
        for (bytes, frame) in added.frame_bytes.iter().zip(own) {
            assert_eq!(frames.split_off(..*bytes as usize), Some(frame));
        }
    }
}

/// A settled run is read as it was written, and not at all when it is damaged.
fn settles(choices: &mut Choices<'_>) {
    let (status, fence) = (any_status(choices), Fence(choices.number()));
    let place = (choices.number(), choices.number_u32());
    let (dues, frames) = (any_dues(choices), any_frames(choices));
    let mut bytes = put_settled(status, fence, place, &dues, &frames).expect("it is short");
    let settled = read_settled(&bytes).expect("what was written can be read");
    let header = settled.header;
    assert_eq!((header.status, header.fence, (header.through, header.ordinal)), (status, fence, place));
    assert_eq!((&settled.dues, &settled.frames), (&dues, &frames));
    assert_eq!(read_settled_header(&bytes[..SETTLED_HEADER_BYTES]), Some(header), "the first chunk is enough");
    let checked = SETTLED_HEADER_BYTES + header.directory_bytes as usize;
    assert_eq!((header.frames_start(), header.bytes()), (checked as u64, bytes.len() as u64));
    assert_eq!(read_settled_dues(&bytes[..checked]).as_ref(), Some(&dues), "the frames may be missing");
    assert_eq!(read_settled_dues(&bytes[..checked - 1]), None);
    has_the_ends_of_its_frames(&bytes, &frames);

    let whole = bytes.clone();
    let (head, directory) = bytes[..checked].split_at_mut(SETTLED_HEADER_BYTES);
    match choices.below(3) {
        0 => drop(choices.damage(head, 4)),
        1 => drop(choices.damage(directory, 0)),
        _ => bytes.truncate(choices.number_u32() as usize % whole.len()),
    }
    assert!(bytes == whole || read_settled(&bytes).is_none(), "damage unnoticed");
}

/// A key is the one key of what is read from it.
fn parses(key: &[u8]) {
    if let Some(run) = parse_settled_key(key) {
        assert_eq!(settled_key(&run), key);
    }
    if let Some((due, run)) = parse_due_key(key) {
        assert_eq!(due_key(due, &run), key);
    }
    if let Some((commit, chunk)) = parse_log_key(key) {
        assert_eq!(log_key(commit, chunk), key);
        assert!(key.starts_with(LOG));
    }
}

/// Keys are in the order of what they are the keys of, and different ones for different things.
fn orders(choices: &mut Choices<'_>) {
    let (one, other) = (any_run(choices), any_run(choices));
    assert_eq!(settled_key(&one).cmp(&settled_key(&other)), one.cmp(&other));
    assert_eq!(parse_settled_key(&settled_key(&one)), Some(one.clone()));
    let timer = |choices: &mut Choices<'_>, run| (Timestamp(choices.number()), run);
    let (soon, later) = (timer(choices, one.clone()), timer(choices, other));
    assert_eq!(due_key(soon.0, &soon.1).cmp(&due_key(later.0, &later.1)), soon.cmp(&later));
    assert_eq!(parse_due_key(&due_key(soon.0, &soon.1)), Some(soon.clone()));
    let mut place = || (choices.number(), choices.number_u32());
    let (first, second) = (place(), place());
    assert_eq!(log_key(first.0, first.1).cmp(&log_key(second.0, second.1)), first.cmp(&second));
    assert_eq!(parse_log_key(&log_key(first.0, first.1)), Some(first));
    let more = |(through, ordinal): (u64, u32)| settled_more_key(through, ordinal, 1);
    assert_eq!(more(first).cmp(&more(second)), first.cmp(&second));
    for key in [log_key(first.0, first.1), more(first), due_key(soon.0, &soon.1)] {
        assert_eq!(parse_settled_key(&key), None);
        assert_ne!(key, settled_key(&one));
    }
}
