//! Damaged folders: whatever byte is flipped or cut, opening and reading end in a typed error or in what was written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use durable_runtime::store::{MemoryStore, SledStore, Store, StoreError, StoredRun};
use durable_runtime::testing::Random;
use durable_runtime::{Durability, RunStatus};

use crate::support::{Sled, append, copy_folder, everything, files_below, run};

const SAMPLES: u64 = 80;
const COMMITS: u64 = 150;
/// Longer than anything takes; a store that hangs fails the test instead of stopping it.
const HANG: Duration = Duration::from_mins(1);

/// A folder as a killed process left it, and the states it went through, by commit.
struct Past {
    folder: tempfile::TempDir,
    states: Vec<Vec<StoredRun>>,
}

/// Writes settled, active, deleted and large runs, and takes a copy while the store is open.
fn past(is_closed: bool) -> Past {
    let mut random = Random::new(31);
    let sled = Sled::new();
    let store = sled.open().expect("open");
    let model = MemoryStore::default();
    let mut states = vec![everything(&model)];
    for commit in 0..COMMITS {
        let id = run(&format!("run {}", random.below(40)));
        if commit == COMMITS / 2 {
            while store.tidy().expect("tidy") {}
        }
        if random.one_in(10) && model.delete(&id).expect("model") {
            assert!(store.delete(&id).expect("delete"));
        } else {
            let length = model.head(&id).expect("model").map_or(0, |head| head.length.0);
            let after = [RunStatus::Running, RunStatus::Completed][random.below(2)];
            let bytes = if random.one_in(20) { 30_000 } else { random.below(2_000) };
            let next = append(&id, length, &[&random.bytes(bytes)], after);
            store.commit(std::slice::from_ref(&next)).expect("commit");
            model.commit(&[next]).expect("model");
        }
        states.push(everything(&model));
    }
    let folder = tempfile::tempdir().expect("a folder");
    if is_closed {
        drop(store);
    }
    copy_folder(&sled.path(), folder.path());
    Past { folder, states }
}

/// Damages one file of a folder and says how.
fn damage(folder: &Path, random: &mut Random) -> String {
    let files = files_below(folder);
    // Mostly sled's data, where nearly all bytes are.
    let of_sled = |file: &&PathBuf| file.file_name().is_some_and(|name| name == "db");
    let file = match files.iter().find(of_sled) {
        Some(db) if !random.one_in(4) => db,
        _ => &files[random.below(files.len())],
    };
    let mut bytes = std::fs::read(file).expect("read");
    // sled allocates in whole segments: aim at what is used.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let at = random.below(used.max(1));
    let count = (1 + random.below(9_000)).min(bytes.len().saturating_sub(at));
    let how = match random.below(4) {
        0 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            bytes[at..at + count].fill(0);
            format!("{count} bytes zeroed at {at}")
        }
        2 => {
            bytes[at..at + count].copy_from_slice(&random.bytes(count));
            format!("{count} bytes of noise at {at}")
        }
        _ if bytes.is_empty() => "left empty".to_owned(),
        _ => {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit flipped at {at}")
        }
    };
    std::fs::write(file, bytes).expect("write");
    format!("{}: {how}", file.strip_prefix(folder).expect("below").display())
}

/// Everything that can be read; damaged runs are left out, having given a typed error that names them.
fn readable(store: &SledStore) -> Result<Vec<StoredRun>, StoreError> {
    let mut runs = Vec::new();
    for head in store.list(None, None, usize::MAX)? {
        match store.read(&head.run) {
            Ok(stored) => runs.push(stored.expect("a listed run")),
            Err(StoreError::Corrupt { run, .. }) => assert_eq!(run, head.run),
            Err(error) => return Err(error),
        }
    }
    Ok(runs)
}

fn check(past: &Past, seed: u64, oldest_state: usize) -> String {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(past.folder.path(), copy.path());
    let how = damage(copy.path(), &mut Random::new(seed));
    let (sender, receiver) = mpsc::channel();
    let folder = copy.path().to_path_buf();
    std::thread::spawn(move || {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let store = SledStore::open(&folder, Durability::Buffered)?;
            let runs = readable(&store)?;
            // Writing may fail, and must not panic either.
            let more = append(&run("more"), 0, &[b"x"], RunStatus::Completed);
            let _ = store.commit(&[more]).and_then(|_| store.tidy());
            Ok::<_, StoreError>((runs, store.corrupt().len()))
        }));
        drop(sender.send(answer));
    });
    let answer = receiver.recv_timeout(HANG).unwrap_or_else(|_| panic!("seed {seed}, {how}: hangs"));
    let outcome = match answer.unwrap_or_else(|_| panic!("seed {seed}, {how}: a panic came through")) {
        Err(error) => format!("{error}"),
        Ok((runs, corrupt)) => {
            let is_found = |state: &&Vec<StoredRun>| {
                let missing = state.iter().filter(|run| !runs.contains(run)).count();
                runs.iter().all(|run| state.contains(run)) && missing <= corrupt
            };
            let state = past.states[oldest_state..].iter().rposition(|state| is_found(&state));
            let state = state.unwrap_or_else(|| panic!("seed {seed}, {how}: opened with something never written"));
            format!("opened at state {} of {COMMITS}, {corrupt} runs corrupt", state + oldest_state)
        }
    };
    format!("{how}: {outcome}")
}

#[test]
fn damage_to_a_closed_store_is_told_or_harmless() {
    let past = past(true);
    for seed in 0..SAMPLES {
        // The side file of a closed store knows its last commit, so nothing may be missing.
        println!("{}", check(&past, seed, usize::try_from(COMMITS).expect("small")));
    }
}

#[test]
fn damage_to_a_killed_store_is_told_or_leaves_an_earlier_state() {
    let past = past(false);
    for seed in 1_000..1_000 + SAMPLES {
        println!("{}", check(&past, seed, 0));
    }
}
