//! [`Damage`]: what disks, file systems and people do to files.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Random;

/// No more bytes are chosen at once, so that damage hits a part of a file more often than all of it.
const BYTES_MAX: usize = 16 << 10;
/// What a disk writes, loses and misplaces at once.
const BLOCK_BYTES: usize = 4 << 10;

/// Damage to one file of a folder: of a closed store, or of the copy of an open one. Its `Display` tells all of it.
///
/// [`choose`](Self::choose) and [`inflict`](Self::inflict) it; the same folder and the same seed give the same damage.
/// What a store makes of it should be a typed error or a correct past state: never a panic, never a wrong value.
///
/// ```
/// use durable_runtime::Durability;
/// use durable_runtime::store::{SledStore, Store};
/// use durable_runtime::testing::{Damage, Random};
///
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path().join("orders.durable");
/// drop(SledStore::open(&folder, Durability::Buffered)?);
/// let damage = Damage::choose(&folder, &mut Random::new(7))?.expect("a store has files");
/// damage.inflict(&folder)?;
/// match SledStore::open(&folder, Durability::Buffered) {
///     Ok(store) => println!("{damage}: {} runs can't be read", store.corrupt().len()),
///     Err(error) => println!("{damage}: {error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which file, below the folder.
    pub file: PathBuf,
    /// What happens to it.
    pub kind: DamageKind,
}

/// What happens to a file. Positions and lengths are in bytes; what is behind the file's end is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageKind {
    /// A bit is another one.
    Flip {
        /// The byte.
        at: usize,
        /// The bit, 0 to 7.
        bit: u8,
    },
    /// Bytes are zero.
    Zero(Range<usize>),
    /// Bytes are others: those of [`Random::new`] with this seed.
    Noise(Range<usize>, u64),
    /// Bytes are those of another place.
    Copy(Range<usize>, usize),
    /// Bytes changed places with as many others.
    Swap(Range<usize>, usize),
    /// The file ends here.
    Cut(usize),
    /// The file has so many bytes of noise at its end: those of [`Random::new`] with this seed.
    Grow(usize, u64),
    /// The file is gone.
    Remove,
}

impl Damage {
    /// Chooses damage to any file in `folder` and the folders below it, with preference for the largest, which has most
    /// of a store's bytes. `None` if there are no files.
    ///
    /// # Errors
    /// The folder or a file can't be read.
    pub fn choose(folder: &Path, random: &mut Random) -> io::Result<Option<Self>> {
        let mut files = Vec::new();
        files_below(folder, Path::new(""), &mut files)?;
        files.sort();
        let largest = files.iter().max_by_key(|(_, bytes)| *bytes);
        let Some((file, _)) = (if random.one_in(3) { files.get(random.below(files.len())) } else { largest }) else {
            return Ok(None);
        };
        let content = std::fs::read(folder.join(file))?;
        // sled allocates in whole segments: aim at what is used.
        let used = content.iter().rposition(|byte| *byte != 0).map_or(content.len(), |last| last + 1);
        Ok(Some(Self { file: file.clone(), kind: DamageKind::choose(used, random) }))
    }

    /// Does it.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn inflict(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(&self.file);
        if self.kind == DamageKind::Remove {
            return std::fs::remove_file(path);
        }
        let mut content = std::fs::read(&path)?;
        self.kind.change(&mut content);
        std::fs::write(path, content)
    }
}

impl DamageKind {
    fn choose(used: usize, random: &mut Random) -> Self {
        let at = random.below(used);
        // Half of it in whole blocks.
        let in_blocks = |at: usize| at / BLOCK_BYTES * BLOCK_BYTES;
        let range = if random.one_in(2) {
            in_blocks(at)..in_blocks(at) + BLOCK_BYTES * (1 + random.below(BYTES_MAX / BLOCK_BYTES))
        } else {
            at..at + 1 + random.below(BYTES_MAX)
        };
        let is_in_blocks = range.start % BLOCK_BYTES == 0;
        let other = random.below(used);
        let other = if is_in_blocks { in_blocks(other) } else { other };
        match random.below(16) {
            0..6 => Self::Flip { at, bit: u8::try_from(random.below(8)).unwrap_or(0) },
            6 | 7 => Self::Zero(range),
            8 | 9 => Self::Noise(range, random.number()),
            10 => Self::Copy(range, other),
            11 => Self::Swap(range, other),
            12 | 13 => Self::Cut(if random.one_in(8) { 0 } else { range.start }),
            14 => Self::Grow(range.len(), random.number()),
            _ => Self::Remove,
        }
    }

    fn change(&self, content: &mut Vec<u8>) {
        let end = content.len();
        let within = |range: &Range<usize>| range.start.min(end)..range.end.min(end);
        match self {
            Self::Flip { at, bit } => content.iter_mut().skip(*at).take(1).for_each(|byte| *byte ^= 1 << (bit % 8)),
            Self::Zero(range) => content[within(range)].fill(0),
            Self::Noise(range, seed) => {
                let range = within(range);
                content[range.clone()].copy_from_slice(&Random::new(*seed).bytes(range.len()));
            }
            Self::Copy(from, to) => {
                let from = within(from);
                let to = (*to).min(end - from.len());
                content.copy_within(from, to);
            }
            Self::Swap(one, other) => {
                for (one, other) in within(one).zip(*other..end) {
                    content.swap(one, other);
                }
            }
            Self::Cut(at) => content.truncate(*at),
            Self::Grow(bytes, seed) => content.extend(Random::new(*seed).bytes(*bytes)),
            Self::Remove => {}
        }
    }
}

fn files_below(folder: &Path, below: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            files_below(folder, &path, files)?;
        } else {
            files.push((path, metadata.len()));
        }
    }
    Ok(())
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.kind {
            DamageKind::Flip { at, bit } => write!(f, "{file}: bit {bit} of byte {at} flipped"),
            DamageKind::Zero(range) => write!(f, "{file}: bytes {range:?} zeroed"),
            DamageKind::Noise(range, seed) => write!(f, "{file}: bytes {range:?} overwritten with noise {seed}"),
            DamageKind::Copy(from, to) => write!(f, "{file}: bytes {from:?} copied to {to}"),
            DamageKind::Swap(one, other) => write!(f, "{file}: bytes {one:?} exchanged with those at {other}"),
            DamageKind::Cut(at) => write!(f, "{file}: cut at byte {at}"),
            DamageKind::Grow(bytes, seed) => write!(f, "{file}: {bytes} bytes of noise {seed} added"),
            DamageKind::Remove => write!(f, "{file}: removed"),
        }
    }
}
