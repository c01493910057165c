//! `SledStore` passes the conformance suite, and keeps what only it promises.

use std::path::{Path, PathBuf};

use durable_runtime::store::{MemoryStore, SledStore, Store, StoreError};
use durable_runtime::testing::Random;
use durable_runtime::{Durability, RunStatus};

use crate::support::{Sled, append, copy_folder, everything, files_below, open_sled, run, sled_folder};

durable_runtime::store_conformance!(Sled::new());

/// The files that sled keeps apart from `db`: none may ever be there, because sled does not sync them.
fn blobs(store: &Path) -> Vec<PathBuf> {
    files_below(&sled_folder(store).join("blobs"))
}

#[test]
fn blobs_stay_empty() {
    let sled = Sled::new();
    let store = sled.open().expect("open");
    // Larger sequential values are what makes sled consolidate a leaf into a blob, at the 10th of 14,000 bytes.
    let frames = [vec![7; 14_000], vec![7; 3 << 20], vec![7; 8_150], vec![7; 100_000]];
    for (number, frame) in frames.iter().enumerate() {
        // Ids that make the longest keys.
        let id = run(&format!("{}{number}", "\0".repeat(1_023)));
        for position in 0..if frame.len() > 1 << 20 { 4 } else { 60 } {
            let next = append(&id, position, &[frame], RunStatus::Running);
            assert_eq!(store.commit(&[next]).expect("commit"), [Ok(())]);
        }
        assert_eq!(blobs(&sled.path()), [] as [PathBuf; 0], "running, frames of {}", frame.len());
        let length = store.head(&id).expect("head").expect("the run").length.0;
        let last = append(&id, length, &[frame], RunStatus::Completed);
        assert_eq!(store.commit(&[last]).expect("commit"), [Ok(())]);
        while store.tidy().expect("tidy") {}
        assert_eq!(blobs(&sled.path()), [] as [PathBuf; 0], "settled, frames of {}", frame.len());
    }
    // Inner nodes of sled's tree full of the longest keys there can be.
    let mut random = Random::new(5);
    for _ in 0..20 {
        let mut id = || format!("{:016x}{}", random.number(), "x".repeat(1_024 - 16));
        let appends: Vec<_> = (0..500).map(|_| append(&run(&id()), 0, &[b"x"], RunStatus::Completed)).collect();
        store.commit(&appends).expect("commit");
        while store.tidy().expect("tidy") {}
    }
    assert_eq!(blobs(&sled.path()), [] as [PathBuf; 0], "long ids");
    store.compact().expect("compact");
    drop(store);
    assert_eq!(blobs(&sled.path()), [] as [PathBuf; 0], "compacted and closed");
    for item in open_sled(&sled.path()).iter() {
        assert!(item.expect("an item").1.len() <= 8 << 10);
    }
}

/// R12: what a process that dies between two commits leaves is what the next one finds, whatever housekeeping was going
/// on.
#[test]
fn a_process_killed_between_commits_loses_nothing() {
    let mut random = Random::new(77);
    let sled = Sled::new();
    let store = sled.open().expect("open");
    let model = MemoryStore::default();
    for step in 0..120 {
        let id = run(&format!("run {}", random.below(12)));
        match random.below(10) {
            0 => assert_eq!(store.delete(&id).expect("delete"), model.delete(&id).expect("model")),
            1 => drop(store.tidy().expect("tidy")),
            _ => {
                let length = model.head(&id).expect("model").map_or(0, |head| head.length.0);
                let status = [RunStatus::Running, RunStatus::Halted, RunStatus::Failed][random.below(3)];
                let frame = random.bytes(step * 50);
                let next = append(&id, length, &[&frame, b"second"], status);
                assert_eq!(
                    store.commit(std::slice::from_ref(&next)).expect("commit"),
                    model.commit(&[next]).expect("model")
                );
            }
        }
        if step % 5 == 0 {
            let copy = tempfile::tempdir().expect("a folder");
            copy_folder(&sled.path(), copy.path());
            let found = SledStore::open(copy.path(), Durability::Buffered).expect("open");
            assert_eq!(everything(&found), everything(&model), "step {step}");
        }
    }
}

/// R13.
#[test]
fn a_second_opener_is_told_which_folder_is_in_use() {
    let sled = Sled::new();
    let store = sled.open().expect("open");
    match sled.open() {
        Err(error @ StoreError::Locked { .. }) => {
            assert!(error.to_string().contains(&sled.path().display().to_string()), "{error}");
        }
        answer => panic!("{answer:?}"),
    }
    // Another process.
    let this = std::env::current_exe().expect("this test");
    let child = std::process::Command::new(this)
        .args(["--exact", "sled::in_another_process_the_folder_is_locked", "--ignored", "--nocapture"])
        .env("DURABLE_TEST_FOLDER", sled.path())
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("locked, as it must be"));
    drop(store);
    sled.open().expect("free again");
}

/// The other process of [`a_second_opener_is_told_which_folder_is_in_use`].
#[test]
#[ignore = "it is a part of the test above, which starts it"]
fn in_another_process_the_folder_is_locked() {
    let Ok(folder) = std::env::var("DURABLE_TEST_FOLDER") else { return };
    let answer = SledStore::open(folder, Durability::Sync);
    assert!(matches!(answer, Err(StoreError::Locked { .. })), "{answer:?}");
    println!("locked, as it must be");
}

/// All files below a folder with their contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(folder).into_iter().map(|path| (path.clone(), std::fs::read(path).expect("read"))).collect()
}

#[test]
fn a_foreign_folder_is_refused_and_left_alone() {
    type Fill = fn(&Path);
    let fills: [(&str, Fill); 4] = [
        ("a photo", |folder| std::fs::write(folder.join("photo.jpg"), "jpg").expect("write")),
        ("a folder", |folder| std::fs::create_dir(folder.join("db")).expect("create")),
        ("a foreign CURRENT", |folder| std::fs::write(folder.join("CURRENT"), "MANIFEST-000001\n").expect("write")),
        ("a bare sled", |folder| {
            sled::open(folder).expect("open").insert("a", "b").expect("insert");
        }),
    ];
    for (what, fill) in fills {
        let folder = tempfile::tempdir().expect("a folder");
        fill(folder.path());
        let before = contents(folder.path());
        let answer = SledStore::open(folder.path(), Durability::Sync);
        assert!(matches!(answer, Err(StoreError::NotAStore { .. })), "{what}: {answer:?}");
        assert_eq!(contents(folder.path()), before, "{what}: something was changed");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let answer = SledStore::open(file.path(), Durability::Sync);
    assert!(matches!(answer, Err(StoreError::NotAStore { .. })), "a file: {answer:?}");
}

#[test]
fn an_unfinished_creation_is_taken_up_again() {
    for left in ["lock", "CURRENT.new"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(left), "").expect("write");
        SledStore::open(folder.path(), Durability::Sync).expect("open");
    }
    // The side file is there, and sled's folder only half.
    let sled = Sled::new();
    drop(sled.open().expect("open"));
    let mut side = std::fs::read(sled.path().join("CURRENT")).expect("read");
    rewrite_slots(&mut side, |slot| slot[44..52].fill(0));
    std::fs::write(sled.path().join("CURRENT"), side).expect("write");
    std::fs::remove_dir_all(sled_folder(&sled.path())).expect("remove");
    let store = sled.open().expect("open");
    assert_eq!(store.list(None, None, 1).expect("list"), []);
}

/// Changes the fields of both slots of a side file and makes their checksums right again.
fn rewrite_slots(side: &mut [u8], change: impl Fn(&mut [u8])) {
    for slot in side.chunks_mut(4_096).filter(|slot| slot.starts_with(b"durable\n")) {
        change(slot);
        let crc = crc32fast::hash(&slot[..52]);
        slot[52..56].copy_from_slice(&crc.to_le_bytes());
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let sled = Sled::new();
    drop(sled.open().expect("open"));
    let mut side = std::fs::read(sled.path().join("CURRENT")).expect("read");
    rewrite_slots(&mut side, |slot| slot[8..12].copy_from_slice(&2_u32.to_le_bytes()));
    std::fs::write(sled.path().join("CURRENT"), side).expect("write");
    let before = contents(&sled.path());
    match sled.open() {
        Err(StoreError::UnsupportedFormat { found: 2, supported: 1, .. }) => {}
        answer => panic!("{answer:?}"),
    }
    assert_eq!(contents(&sled.path()), before, "something was changed");
}

#[test]
fn a_store_that_lost_its_past_is_refused() {
    let sled = Sled::new();
    let store = sled.open().expect("open");
    let commit = |store: &SledStore, position| {
        let next = append(&run("a"), position, &[b"x"], RunStatus::Running);
        assert_eq!(store.commit(&[next]).expect("commit"), [Ok(())]);
    };
    (0..5).for_each(|position| commit(&store, position));
    drop(store);
    let current = sled_folder(&sled.path());
    let old = tempfile::tempdir().expect("a folder");
    copy_folder(&current, old.path());
    let store = sled.open().expect("open");
    (5..10).for_each(|position| commit(&store, position));
    drop(store);

    std::fs::remove_dir_all(&current).expect("remove");
    copy_folder(old.path(), &current);
    let lost = |found: u64| match sled.open() {
        Err(StoreError::LostCommits { acknowledged: 11, found: told, .. }) => assert_eq!(told, found),
        answer => panic!("{answer:?}"),
    };
    lost(6);
    std::fs::remove_dir_all(&current).expect("remove");
    lost(0);
    // An empty sled where there was a full one.
    drop(sled::Config::new().path(&current).segment_size(2 << 20).open().expect("open"));
    lost(0);

    // And one of another store.
    let other = Sled::new();
    drop(other.open().expect("open"));
    std::fs::remove_dir_all(&current).expect("remove");
    copy_folder(&sled_folder(&other.path()), &current);
    assert!(matches!(sled.open(), Err(StoreError::Damaged { .. })));
    std::fs::remove_file(sled.path().join("CURRENT")).expect("remove");
    assert!(matches!(sled.open(), Err(StoreError::Damaged { .. })), "sled's folder must not be taken for garbage");
}

/// What a process writes to files that are gone is lost with it, so nothing is acknowledged any more.
#[test]
#[cfg(unix)]
fn a_store_that_is_deleted_while_it_is_open_acknowledges_nothing_more() {
    let sled = Sled::new();
    let store = sled.open().expect("open");
    let next = |position| [append(&run("a"), position, &[b"x"], RunStatus::Running)];
    assert_eq!(store.commit(&next(0)).expect("commit"), [Ok(())]);
    std::fs::remove_dir_all(sled.path()).expect("remove");
    let error = store.commit(&next(1)).expect_err("its files are gone");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("was deleted while the store was open"), "{error}");
    assert!(matches!(store.commit(&next(1)), Err(StoreError::Broken { .. })));
}

/// A commit record with a damaged directory condemns the store; one with a missing part, its runs.
#[test]
fn a_damaged_log_is_told() {
    let long = vec![7; 20_000];
    let fill = || {
        let sled = Sled::new();
        let store = sled.open().expect("open");
        let commits = [
            append(&run("a"), 0, &[b"marker"], RunStatus::Running),
            append(&run("b"), 0, &[&long], RunStatus::Running),
        ];
        for next in commits {
            assert_eq!(store.commit(&[next]).expect("commit"), [Ok(())]);
        }
        sled
    };
    let log_key = |commit: u64, chunk: u32| [b"l", &commit.to_be_bytes()[..], &chunk.to_be_bytes()].concat();
    let change = |sled: &Sled, change: &dyn Fn(&sled::Db)| {
        let db = open_sled(&sled.path());
        change(&db);
        db.flush().expect("flush");
    };

    let sled = fill();
    change(&sled, &|db| {
        db.remove(log_key(3, 1)).expect("remove");
    });
    let store = sled.open().expect("open");
    assert!(matches!(store.read(&run("b")), Err(StoreError::Corrupt { run: named, .. }) if named == run("b")));
    assert_eq!(store.corrupt().len(), 1);
    assert_eq!(store.list(None, None, 9).expect("list").len(), 1, "the corrupt run is left out");
    assert_eq!(store.read(&run("a")).expect("read").expect("the run").frames, [b"marker".to_vec()]);
    let next = append(&run("b"), 1, &[b"x"], RunStatus::Running);
    assert!(store.commit(&[next]).expect("commit")[0].is_err(), "nothing can be added to a corrupt run");
    while store.tidy().expect("tidy") {}
    assert!(matches!(store.compact(), Err(StoreError::Corrupt { .. })), "compacting would lose the rest of it");
    drop(store);
    let store = sled.open().expect("open");
    assert_eq!(store.corrupt().len(), 1, "still there after housekeeping");
    assert!(store.delete(&run("b")).expect("delete"));
    store.compact().expect("compact");
    assert_eq!(store.corrupt().len(), 0);

    for (what, key, at) in
        [("its header", log_key(2, 0), 9), ("its directory", log_key(2, 0), 30), ("a run's id", log_key(2, 0), 31)]
    {
        let sled = fill();
        change(&sled, &|db| {
            let mut value = db.get(&key).expect("get").expect("the commit").to_vec();
            value[at] ^= 1;
            db.insert(&key, value).expect("insert");
        });
        let answer = sled.open();
        assert!(matches!(answer, Err(StoreError::Damaged { .. })), "{what}: {answer:?}");
    }
    for missing in [1, 2] {
        let sled = fill();
        change(&sled, &|db| drop(db.remove(log_key(missing, 0)).expect("remove")));
        let answer = sled.open();
        assert!(matches!(answer, Err(StoreError::Damaged { .. })), "without commit {missing}: {answer:?}");
    }
}

/// Damage to a settled run is its own.
#[test]
fn a_damaged_settled_run_is_told_and_can_be_deleted() {
    for at in [5, 13, 55] {
        let sled = Sled::new();
        let store = sled.open().expect("open");
        for id in ["a", "b"] {
            let create = append(&run(id), 0, &[b"one", b"two"], RunStatus::Completed);
            assert_eq!(store.commit(&[create]).expect("commit"), [Ok(())]);
        }
        while store.tidy().expect("tidy") {}
        drop(store);
        let db = open_sled(&sled.path());
        let mut value = db.get(b"sa").expect("get").expect("the settled run").to_vec();
        value[at] ^= 0x40;
        db.insert(b"sa", value).expect("insert");
        drop(db);
        let store = sled.open().expect("open");
        match store.read(&run("a")) {
            Err(StoreError::Corrupt { run: named, .. }) => assert_eq!(named, run("a")),
            Ok(Some(stored)) if at >= 52 => assert_ne!(stored.frames, [b"one".to_vec(), b"two".to_vec()]),
            answer => panic!("byte {at}: {answer:?}"),
        }
        assert_eq!(store.read(&run("b")).expect("read").expect("the run").frames, [b"one".to_vec(), b"two".to_vec()]);
        assert!(store.list(None, None, 9).expect("list").iter().any(|head| head.run == run("b")));
        assert!(store.delete(&run("a")).expect("delete"));
        assert_eq!(store.corrupt().len(), 0);
        drop(store);
        assert_eq!(sled.open().expect("open").head(&run("a")).expect("head"), None);
    }
}
