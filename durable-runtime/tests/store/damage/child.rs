//! Samples in processes of their own, whose aborts are seen and whose memory is limited.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Past, samples};
use crate::support::copy_folder;

/// What a child is to do: which past, which round, from which sample on.
const TASK: &str = "DURABLE_DAMAGE_TASK";
/// Where the undamaged folder is.
const FOLDER: &str = "DURABLE_DAMAGE_FOLDER";
/// Of one process, so that what sled leaks when it panics does not add up.
const SAMPLES_MAX: usize = 100;
/// Longer than anything takes; what hangs fails the test instead of stopping it.
const HANG: Duration = Duration::from_mins(1);
/// Enough for a store, and far less than what a damaged length could ask for.
const ADDRESS_SPACE_BYTES: u64 = 1 << 30;

/// Takes all samples of a round, and fails with the sample at which a child failed.
pub(super) fn take(past: usize, folder: &Path, round: u64) {
    let count = samples(Past::ALL[past].1, folder, round).len();
    let program = std::env::current_exe().expect("this program");
    for from in (0..count).step_by(SAMPLES_MAX) {
        let child = Command::new(&program)
            .args(["--exact", "damage::child::samples_of_a_round", "--ignored", "--nocapture", "--test-threads=1"])
            .env(TASK, format!("{past} {round} {from}"))
            .env(FOLDER, folder)
            // Each arena of glibc's takes 64 MiB of address space, whether or not they are used.
            .env("MALLOC_ARENA_MAX", "1")
            .env("TMPDIR", in_memory().unwrap_or_else(std::env::temp_dir))
            .output()
            .expect("this program starts");
        let (told, errors) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        let last = told.lines().rfind(|line| line.starts_with("sample")).unwrap_or("before the first sample");
        let errors: Vec<&str> = errors.lines().rev().take(12).collect();
        let errors: Vec<&str> = errors.into_iter().rev().collect();
        assert!(child.status.success(), "{}: {last}: {}\n{}", Past::ALL[past].0, child.status, errors.join("\n"));
        println!("{told}");
    }
}

/// A folder that is not on a disk: sled syncs each time it is opened, and that would be nearly all of the time.
fn in_memory() -> Option<PathBuf> {
    let folder = PathBuf::from("/dev/shm");
    folder.is_dir().then_some(folder)
}

#[test]
#[ignore = "it is a part of the tests in `damage`, which start it"]
fn samples_of_a_round() {
    let (Ok(task), Some(folder)) = (std::env::var(TASK), std::env::var_os(FOLDER)) else { return };
    let limit = Rlimit { current: Some(ADDRESS_SPACE_BYTES), maximum: Some(ADDRESS_SPACE_BYTES) };
    setrlimit(Resource::As, limit).expect("a limit that is lower than the present one");
    let folder = Path::new(&folder);
    let mut numbers = task.split(' ').map(|number| number.parse::<usize>().expect("a number"));
    let mut number = || numbers.next().expect("three numbers");
    let (past, round, from) = (number(), number(), number());
    let known = Arc::new(Past::ALL[past].1.know(folder));
    let samples = samples(Past::ALL[past].1, folder, round as u64);
    for (number, sample) in samples.into_iter().enumerate().skip(from).take(SAMPLES_MAX) {
        println!("sample {number} of round {round}: {sample}");
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(folder, copy.path());
        sample.inflict(copy.path());
        let (sender, receiver) = mpsc::channel();
        let (known, damaged) = (Arc::clone(&known), copy.path().to_path_buf());
        std::thread::spawn(move || {
            let answer = catch_unwind(AssertUnwindSafe(|| known.look(&damaged)));
            drop(sender.send(answer));
        });
        match receiver.recv_timeout(HANG).expect("it must not hang") {
            Ok(outcome) => println!("    {outcome}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
