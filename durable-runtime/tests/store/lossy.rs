//! `LossyStore` keeps the contract until it is told not to, and then fails as told.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use durable_runtime::store::{Append, Store, StoreError};
use durable_runtime::testing::conformance::StoreHarness;
use durable_runtime::testing::{Call, Fault, LossyStore};
use durable_runtime::{RunStatus, Timestamp};

use crate::support::{append, run};

/// Opening after closing is the next life.
#[derive(Default)]
struct Lossy(Mutex<LossyStore>);

impl StoreHarness for Lossy {
    fn open(&self) -> Arc<dyn Store> {
        let mut store = self.0.lock().expect("no panic");
        *store = store.power_cut();
        Arc::new(store.clone())
    }
}

durable_runtime::store_conformance!(Lossy::default());

/// Makes a call of which there is nothing else to know; whether it failed.
fn fails(store: &LossyStore, call: Call) -> bool {
    let a = run("a");
    let answer = match call {
        Call::Commit => store.commit(&[append(&a, length(store), &[b"x"], RunStatus::Running)]).map(drop),
        Call::Head => store.head(&a).map(drop),
        Call::Read => store.read(&a).map(drop),
        Call::List => store.list(None, None, 10).map(drop),
        Call::Due => store.due(Timestamp(0), 10).map(drop),
        Call::Delete => store.delete(&a).map(drop),
        Call::Tidy => store.tidy().map(drop),
        Call::Compact => store.compact(),
    };
    match answer {
        Ok(()) => false,
        Err(StoreError::Io { .. } | StoreError::Broken { .. }) => true,
        Err(error) => panic!("{call:?}: {error}"),
    }
}

/// Appends the next record to "a" and returns how many it should have, if that was acknowledged.
fn step(store: &LossyStore, expected: u64) -> Result<u64, StoreError> {
    let answers = store.commit(&[append(&run("a"), expected, &[b"x"], RunStatus::Running)])?;
    assert_eq!(answers, [Ok(())]);
    Ok(expected + 1)
}

fn length(store: &LossyStore) -> u64 {
    store.head(&run("a")).expect("head").map_or(0, |head| head.length.0)
}

#[test]
fn a_failed_commit_is_found_or_not_as_scripted_and_breaks_the_store_until_reopened() {
    for (fault, found) in [(Fault::FailBefore, 1), (Fault::DiskFull, 1), (Fault::FailAfter, 2)] {
        let store = LossyStore::default();
        store.on(Call::Commit, 2, fault);
        assert_eq!(step(&store, 0).expect("the first commit"), 1);
        match step(&store, 1) {
            Err(StoreError::Io { source, .. }) => {
                assert_eq!(source.kind() == ErrorKind::StorageFull, fault == Fault::DiskFull);
            }
            answer => panic!("{fault:?}: {answer:?}"),
        }
        assert!(matches!(step(&store, 1), Err(StoreError::Broken { .. })), "{fault:?}");
        assert!(matches!(store.delete(&run("a")), Err(StoreError::Broken { .. })), "{fault:?}");
        assert_eq!(store.calls(Call::Commit), 3);
        for store in [store.reopen(), store.power_cut()] {
            assert_eq!(length(&store.reopen()), found, "{fault:?}");
        }
        let store = store.reopen();
        assert_eq!(step(&store, found).expect("works again"), found + 1);
    }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_a_kill_does_not() {
    let store = LossyStore::default();
    store.on(Call::Commit, 2, Fault::SkipSync);
    step(&store, 0).and_then(|length| step(&store, length)).expect("both are acknowledged");
    let store = store.reopen();
    assert_eq!(length(&store), 2, "killed");
    let store = store.power_cut();
    assert_eq!(length(&store), 1, "cut");

    store.on(Call::Commit, 3, Fault::SkipSync);
    step(&store, 1).and_then(|length| step(&store, length)).expect("both are acknowledged");
    let store = store.power_cut();
    assert_eq!(length(&store), 3, "a later sync saved the earlier commit");

    store.stop_syncing();
    step(&store, 3).expect("acknowledged");
    assert!(store.delete(&run("a")).expect("acknowledged"));
    assert_eq!(length(&store), 0);
    assert_eq!(length(&store.power_cut()), 3);
}

#[test]
fn a_handle_of_an_ended_process_does_nothing() {
    let store = LossyStore::default();
    step(&store, 0).expect("the first commit");
    let next = store.reopen();
    assert!(matches!(step(&store, 1), Err(StoreError::Io { .. })));
    assert!(store.read(&run("a")).is_err());
    assert_eq!(length(&next), 1);
}

#[test]
fn any_call_fails_as_scripted_and_only_that_one_until_a_write_has_failed() {
    for call in Call::ALL {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::DiskFull, Fault::Torn { appends: 0 }] {
            let store = LossyStore::default();
            store.on(call, 2, fault);
            let outcomes = [(); 3].map(|()| fails(&store, call));
            let is_broken = matches!(call, Call::Commit | Call::Delete | Call::Tidy);
            assert_eq!(outcomes, [false, true, is_broken], "{call:?}, {fault:?}");
            assert_eq!(fails(&store, Call::Commit), is_broken, "{call:?}, {fault:?}");
            assert!(!fails(&store, Call::Read), "{call:?}, {fault:?}: what reads goes on");
            assert!(!fails(&store.reopen(), call), "{call:?}, {fault:?}");
        }
    }
}

#[test]
fn a_deletion_that_failed_has_happened_or_not_as_scripted() {
    for (fault, found) in [(Fault::FailBefore, 1), (Fault::FailAfter, 0), (Fault::DiskFull, 1)] {
        let store = LossyStore::default();
        step(&store, 0).expect("the first commit");
        store.on(Call::Delete, 1, fault);
        assert!(fails(&store, Call::Delete));
        assert_eq!(length(&store.power_cut()), found, "{fault:?}");
    }
    let store = LossyStore::default();
    step(&store, 0).expect("the first commit");
    store.on(Call::Delete, 1, Fault::SkipSync);
    assert!(!fails(&store, Call::Delete));
    assert_eq!(length(&store.power_cut()), 1, "acknowledged, and forgotten");
}

#[test]
fn of_a_torn_commit_the_first_appends_are_found_each_of_them_whole() {
    let ids = ["a", "b", "c"].map(run);
    for appends in 0..=4 {
        let store = LossyStore::default();
        store.on(Call::Commit, 1, Fault::Torn { appends });
        let torn = ids.each_ref().map(|run| append(run, 0, &[b"x", b"y"], RunStatus::Running));
        assert!(matches!(store.commit(&torn), Err(StoreError::Io { .. })));
        let store = store.power_cut();
        let lengths = ids.each_ref().map(|run| store.head(run).expect("head").map_or(0, |head| head.length.0));
        assert_eq!(lengths, [0, 1, 2].map(|which| if which < appends { 2 } else { 0 }), "{appends}");
    }
}

/// S1.
#[test]
fn a_replacement_that_failed_has_happened_wholly_or_not_at_all() {
    let replace = || Append { replaces: true, ..append(&run("a"), 3, &[b"new"], RunStatus::Suspended) };
    let faults = [
        (Fault::FailBefore, 3),
        (Fault::FailAfter, 2),
        (Fault::DiskFull, 3),
        (Fault::Torn { appends: 0 }, 3),
        (Fault::Torn { appends: 1 }, 1),
        (Fault::Torn { appends: 2 }, 2),
        (Fault::SkipSync, 3),
    ];
    for (fault, found) in faults {
        let store = LossyStore::default();
        let old = append(&run("a"), 0, &[b"old", b"old", b"old"], RunStatus::Running);
        store.commit(&[old]).expect("the first commit");
        store.on(Call::Commit, 2, fault);
        let answers = store.commit(&[replace(), append(&run("a"), 1, &[b"new"], RunStatus::Running)]);
        assert_eq!(answers.is_ok(), fault == Fault::SkipSync, "{fault:?}");
        let killed = if fault == Fault::SkipSync { 2 } else { found };
        let store = store.reopen();
        assert_eq!(length(&store), killed, "{fault:?}: killed");
        let store = store.power_cut();
        let stored = store.read(&run("a")).expect("read").expect("it exists");
        let frame = if found == 3 { b"old" } else { b"new" };
        assert_eq!(stored.frames.len() as u64, found, "{fault:?}: cut");
        assert!(stored.frames.iter().all(|found| found == frame), "{fault:?}: cut");
    }
}

#[test]
fn a_full_disk_takes_nothing_more_until_something_is_deleted() {
    let store = LossyStore::default();
    store.commit(&[append(&run("old"), 0, &[b"12345"], RunStatus::Completed)]).expect("there is room");
    store.limit_bytes(7);
    let length = step(&store, 0).and_then(|length| step(&store, length)).expect("7 bytes in all");
    // What is refused takes no room.
    assert!(store.commit(&[append(&run("old"), 0, &[b"12345"], RunStatus::Completed)]).expect("no error")[0].is_err());
    match step(&store, length) {
        Err(StoreError::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::StorageFull),
        answer => panic!("{answer:?}"),
    }
    let store = store.reopen();
    assert!(step(&store, length).is_err(), "it is still full");
    let store = store.power_cut();
    assert!(store.delete(&run("old")).expect("nothing is written"));
    assert_eq!(step(&store, length).expect("there is room again"), 3);
    assert!(step(&store, 3).and_then(|length| step(&store, length)).and_then(|length| step(&store, length)).is_ok());
    let less = Append { replaces: true, ..append(&run("a"), 6, &[b"1234"], RunStatus::Running) };
    assert_eq!(store.commit(&[less]).expect("it takes less than what it replaces"), [Ok(())]);
    assert_eq!(step(&store, 1).expect("there is room again"), 2);
}

#[test]
fn a_held_call_goes_on_when_the_last_gate_is_dropped_or_fails_when_its_life_ends() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a tokio runtime");
    for ends in [false, true] {
        let store = LossyStore::default();
        let (gate, second) = (store.hold(Call::Commit), store.hold(Call::Commit));
        std::thread::scope(|scope| {
            let held = scope.spawn(|| fails(&store, Call::Commit));
            tokio.block_on(gate.arrived());
            drop(gate);
            assert!(!fails(&store, Call::Read), "other calls are not held");
            assert_eq!(length(&store), 0, "it went on before the last gate was dropped");
            let next = if ends { store.reopen() } else { store.clone() };
            if !ends {
                drop(second);
            }
            assert_eq!(held.join().expect("no panic"), ends);
            assert_eq!(length(&next), u64::from(!ends));
            assert!(!fails(&next, Call::Commit), "a life begins without gates");
        });
    }
}
