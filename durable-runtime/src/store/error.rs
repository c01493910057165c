//! What can go wrong in a store.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::id::{Position, RunId};

/// A failure of a store: what, where, and what to do.
///
/// Clonable, because one failed sync is reported to every run that waited for it. Each code has a page
/// in `docs/errors/`.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another runtime in this one) has the folder open (R13).
    #[error("[D0201] the folder {} is in use: another process, or another runtime of this process, has it open. Stop that one, or open another folder", folder.display())]
    Locked {
        /// Which folder.
        folder: PathBuf,
    },
    /// The folder holds something else than a store of this library.
    #[error("[D0202] the folder {} is not a durable store ({detail}); nothing was changed in it. Open an empty or a new folder", folder.display())]
    NotAStore {
        /// Which folder.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder was written in a format that this version does not know.
    #[error("[D0203] the folder {} has format version {found}, this library reads version {supported}; nothing was changed in it. Use the version of the library that wrote it", folder.display())]
    UnsupportedFormat {
        /// Which folder.
        folder: PathBuf,
        /// The version found.
        found: u32,
        /// The version this library reads.
        supported: u32,
    },
    /// The folder can't be read as a whole.
    #[error("[D0204] the store in {} is damaged: {detail}. Check the disk, and restore a backup of the whole folder", folder.display())]
    Damaged {
        /// Which folder.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The store is older than what it once acknowledged: its newest part is gone.
    #[error("[D0205] the store in {} has lost acknowledged commits: it ends at commit {found}, but commit {acknowledged} was acknowledged. Check the disk, and restore a backup of the whole folder", folder.display())]
    LostCommits {
        /// Which folder.
        folder: PathBuf,
        /// The highest commit known to have been acknowledged.
        acknowledged: u64,
        /// The highest commit found.
        found: u64,
    },
    /// What is stored of one run can't be read. Other runs are not affected.
    #[error("[D0206] the journal of run {run} is corrupt{}: {detail}. Other runs are not affected; restore this run from a backup, or delete it", at(*position))]
    Corrupt {
        /// Which run.
        run: RunId,
        /// Which record, if it can be told.
        position: Option<Position>,
        /// What was found.
        detail: String,
    },
    /// The operating system refused a read or a write.
    #[error(
        "[D0207] {operation} failed: {source}. Nothing was acknowledged; free space or mend the disk, then open the store anew"
    )]
    Io {
        /// What was being done, and to which file.
        operation: String,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// An earlier write failed, so nothing more is accepted until the store is opened anew.
    #[error("[D0208] the store accepts no more writes, because an earlier one failed ({first}); open it anew")]
    Broken {
        /// The first failure.
        first: String,
    },
}

fn at(position: Option<Position>) -> String {
    position.map_or_else(String::new, |position| format!(" at position {position}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RunStatus;

    #[test]
    fn what_is_corrupt_is_told_with_its_position_if_there_is_one() {
        let told = |position| {
            let run = RunId::new("ord_1").expect("an id");
            StoreError::Corrupt { run, position, detail: "its checksum is wrong".to_owned() }.to_string()
        };
        assert!(told(Some(Position(3))).contains("run ord_1 is corrupt at position 3: its checksum"));
        assert!(told(None).contains("run ord_1 is corrupt: its checksum"));
    }

    #[test]
    fn statuses_are_told_in_one_word() {
        use RunStatus::{Completed, Failed, Halted, Running, Suspended};
        let all = [Running, Suspended, Halted, Completed, Failed].map(|status| status.to_string());
        assert_eq!(all, ["running", "suspended", "halted", "completed", "failed"]);
    }
}
