//! A file of JSON lines that only grows: the gateway's ledger and the confirmation queue are such files.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The writing end. One process at a time may have a file open for writing.
#[derive(Debug)]
pub struct AppendLog<T> {
    file: Mutex<File>,
    entries: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> AppendLog<T> {
    /// Opens the file and returns what it holds. A last line that a crash cut short is removed.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut tail = Tail::new(path);
        let entries = tail.read_new()?;
        file.set_len(tail.offset)?;
        file.sync_all()?;
        Ok((Self { file: Mutex::new(file), entries: PhantomData }, entries))
    }

    /// Adds an entry. When this returns, the entry survives a power cut.
    pub fn append(&self, entry: &T) -> io::Result<()> {
        self.append_unsynced(entry)?;
        self.file.lock().sync_data()
    }

    /// Adds an entry. When this returns, the entry survives the end of this process, but not a power cut.
    pub fn append_unsynced(&self, entry: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.lock().write_all(&line)
    }
}

/// The reading end, for another process: gives the entries added since the last look.
#[derive(Debug)]
pub struct Tail<T> {
    path: PathBuf,
    offset: u64,
    entries: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Tail<T> {
    /// Starts at the beginning of a file, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, entries: PhantomData }
    }

    /// The entries not returned before, oldest first. A line that isn't complete yet is left for the next call.
    pub fn read_new(&mut self) -> io::Result<Vec<T>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        let complete = new.iter().rposition(|&byte| byte == b'\n').map_or(0, |index| index + 1);
        self.offset += complete as u64;
        new[..complete].split_inclusive(|&byte| byte == b'\n').map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_entry_once_and_never_half_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::<String>::new(&path);
        assert_eq!(tail.read_new().unwrap(), [""; 0]);
        let (log, found) = AppendLog::open(&path).unwrap();
        assert_eq!(found, [""; 0]);
        log.append(&"one".to_owned()).unwrap();
        log.append(&"two\n".to_owned()).unwrap();
        assert_eq!(tail.read_new().unwrap(), ["one", "two\n"]);
        log.file.lock().write_all(b"\"thr").unwrap();
        assert_eq!(tail.read_new().unwrap(), [""; 0]);
        log.file.lock().write_all(b"ee\"\n").unwrap();
        assert_eq!(tail.read_new().unwrap(), ["three"]);
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_removed_when_the_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "\"one\"\n\"tw").unwrap();
        let (log, found) = AppendLog::<String>::open(&path).unwrap();
        assert_eq!(found, ["one"]);
        log.append(&"two".to_owned()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"one\"\n\"two\"\n");
    }
}
