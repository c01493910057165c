//! Reading and damaging journals by their documented format, `docs/journal-format.md`.

use durable_runtime::store::{Append, MemoryStore, Record, Store, StoredRun};
use durable_runtime::{Fence, Position, RunId, RunStatus};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The run exists.
    Started,
    /// An attempt of a step failed and another one follows.
    AttemptFailed,
    /// A step has its outcome.
    StepCompleted,
    /// The run goes on after a restart.
    Recovered,
    /// The machinery stopped the run.
    Halted,
    /// An operator let it go on.
    Resumed,
    /// The function returned.
    Finished,
}

/// A record of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// The step's key, if it is about a step.
    pub key: Option<String>,
}

const HEADER_BYTES: usize = 5;

impl Entry {
    fn of(frame: &[u8]) -> Self {
        let (kind, body) = frame[HEADER_BYTES..].split_first().expect("an event");
        let kind = match kind {
            0 => Kind::Started,
            1 => Kind::AttemptFailed,
            2 => Kind::StepCompleted,
            3 => Kind::Recovered,
            4 => Kind::Halted,
            5 => Kind::Resumed,
            6 => Kind::Finished,
            other => panic!("there is no event {other}"),
        };
        let key = matches!(kind, Kind::AttemptFailed | Kind::StepCompleted).then(|| {
            let (_claim, body) = number(body);
            let (bytes, body) = number(body);
            String::from_utf8(body[..bytes].to_vec()).expect("a key is text")
        });
        Self { kind, key }
    }
}

/// A number as bincode writes it: one byte, or a mark and two bytes.
fn number(bytes: &[u8]) -> (usize, &[u8]) {
    match bytes {
        [251, low, high, rest @ ..] => (u16::from_le_bytes([*low, *high]).into(), rest),
        [small @ ..=250, rest @ ..] => ((*small).into(), rest),
        _ => panic!("a larger number than the tests use"),
    }
}

fn read(store: &dyn Store, run: &str) -> StoredRun {
    let run = RunId::new(run).expect("an id");
    store.read(&run).expect("a store that works").expect("a run")
}

/// The records of a run.
///
/// # Panics
/// If there is no such run, or its journal is not in the documented format.
pub fn journal(store: &dyn Store, run: &str) -> Vec<Entry> {
    read(store, run).frames.iter().map(|frame| Entry::of(frame)).collect()
}

/// A disk with nothing but the first `length` records of a run, as after a crash right behind them.
///
/// # Panics
/// If there is no such run.
pub fn copy(store: &dyn Store, run: &str, length: usize) -> MemoryStore {
    let StoredRun { head, mut frames } = read(store, run);
    frames.truncate(length);
    write(head.run, frames)
}

/// A disk with a run in which record `position` was changed, with its checksum put right.
///
/// # Panics
/// If there is no such run or record.
pub fn patch(store: &dyn Store, run: &str, position: usize, change: impl FnOnce(&mut Vec<u8>)) -> MemoryStore {
    let StoredRun { head, mut frames } = read(store, run);
    let frame = &mut frames[position];
    let version = frame[0];
    let mut body = frame.split_off(HEADER_BYTES);
    change(&mut body);
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[version]);
    checksum.update(&body);
    *frame = [&[version][..], &checksum.finalize().to_le_bytes(), &body].concat();
    write(head.run, frames)
}

fn write(run: RunId, frames: Vec<Vec<u8>>) -> MemoryStore {
    let store = MemoryStore::default();
    let append = Append {
        run,
        expected: Position(0),
        fence: Fence(1),
        records: frames.into_iter().map(|frame| Record { frame, due: None }).collect(),
        clears: Vec::new(),
        status: RunStatus::Running,
    };
    store.commit(&[append]).expect("memory does not fail")[0].expect("an empty store refuses nothing");
    store
}
