//! Reading and damaging journals by their documented format, `docs/journal-format.md`.

use durable_runtime::store::{Append, MemoryStore, Record, RunHead, Store, StoredRun};
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
    /// The run takes the new path of a patch.
    Patched,
    /// The code waits for a time.
    TimerSet,
    /// That time has come.
    TimerFired,
    /// Somebody has sent a signal.
    SignalReceived,
    /// The code was given one.
    SignalTaken,
    /// Somebody has settled a promise.
    PromiseSettled,
    /// The code was told.
    PromiseTaken,
    /// A step that may not run twice is about to begin.
    StepStarted,
    /// Somebody has ended the run.
    Cancelled,
    /// The code has another function run.
    ChildStarted,
    /// That run has ended.
    ChildEnded,
    /// The code has published a value.
    Published,
    /// It begins, which was to begin later.
    Begun,
    /// The code has said how to undo something.
    UndoPlanned,
    /// Somebody has ended the run, which has something to undo first.
    CancelRequested,
    /// The latest value of a name that the run had published before it continued as new.
    Kept,
    /// The code has emitted an event.
    Emitted,
}

/// A record of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// The operation's key, if it is about one.
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
            7 => Kind::Patched,
            8 => Kind::TimerSet,
            9 => Kind::TimerFired,
            10 => Kind::SignalReceived,
            11 => Kind::SignalTaken,
            12 => Kind::PromiseSettled,
            13 => Kind::PromiseTaken,
            14 => Kind::StepStarted,
            15 => Kind::Cancelled,
            16 => Kind::ChildStarted,
            17 => Kind::ChildEnded,
            18 => Kind::Published,
            19 => Kind::Begun,
            20 => Kind::UndoPlanned,
            21 => Kind::CancelRequested,
            22 => Kind::Kept,
            23 => Kind::Emitted,
            other => panic!("there is no event {other}"),
        };
        let is_operation = matches!(
            kind,
            Kind::AttemptFailed
                | Kind::StepCompleted
                | Kind::TimerSet
                | Kind::TimerFired
                | Kind::SignalTaken
                | Kind::PromiseTaken
                | Kind::StepStarted
                | Kind::ChildStarted
                | Kind::ChildEnded
                | Kind::Published
                | Kind::UndoPlanned
                | Kind::Emitted
        );
        let key = is_operation.then(|| {
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

/// The frames of a run.
///
/// # Panics
/// If there is no such run.
pub fn frames(store: &dyn Store, run: &str) -> Vec<Vec<u8>> {
    let run = RunId::new(run).expect("an id");
    store.read(&run).expect("a store that works").expect("a run").frames
}

/// The records of a run.
///
/// # Panics
/// If there is no such run, or its journal is not in the documented format.
pub fn journal(store: &dyn Store, run: &str) -> Vec<Entry> {
    frames(store, run).iter().map(|frame| Entry::of(frame)).collect()
}

/// Everything that a store has, to tell whether it was written to.
///
/// # Panics
/// If the store fails.
pub fn contents(store: &dyn Store) -> Vec<StoredRun> {
    let heads = store.list(None, None, usize::MAX).expect("a store that works");
    let read = |head: RunHead| store.read(&head.run).expect("a store that works").expect("a run");
    heads.into_iter().map(read).collect()
}

/// A disk with nothing but the first `length` records of a run, as after a crash right behind them.
///
/// # Panics
/// If there is no such run.
pub fn copy(store: &dyn Store, run: &str, length: usize) -> MemoryStore {
    let mut frames = frames(store, run);
    frames.truncate(length);
    let copy = MemoryStore::default();
    write(&copy, run, frames);
    copy
}

/// Writes a run that did not exist, as unfinished.
///
/// # Panics
/// If it exists.
pub fn write(store: &dyn Store, run: &str, frames: Vec<Vec<u8>>) {
    let append = Append {
        run: RunId::new(run).expect("an id"),
        expected: Position(0),
        fence: Fence(1),
        records: frames.into_iter().map(|frame| Record { frame, due: None }).collect(),
        replaces: false,
        clears: Vec::new(),
        status: RunStatus::Running,
    };
    store.commit(&[append]).expect("a store that works")[0].expect("a new run");
}

/// The frame with another event, its checksum put right.
///
/// # Panics
/// If it is no frame.
#[must_use]
pub fn patch(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let version = frame[0];
    let mut event = frame[HEADER_BYTES..].to_vec();
    change(&mut event);
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[version]);
    checksum.update(&event);
    [&[version][..], &checksum.finalize().to_le_bytes(), &event].concat()
}

/// The text of a journal whose lines may be changed: without what its header says of them.
///
/// # Panics
/// If it has no header.
#[must_use]
pub fn unsealed(text: &str) -> String {
    let (header, lines) = text.split_once('\n').expect("a header");
    let (header, _) = header.split_once(",\"events\":").expect("a header as it is written now");
    format!("{header}}}\n{lines}")
}
