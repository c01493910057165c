//! `LossyStore` keeps the contract until it is told not to, and then fails as told.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use durable_runtime::RunStatus;
use durable_runtime::store::{Store, StoreError};
use durable_runtime::testing::conformance::StoreHarness;
use durable_runtime::testing::{Fault, LossyStore};

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
        store.on_commit(2, fault);
        assert_eq!(step(&store, 0).expect("the first commit"), 1);
        match step(&store, 1) {
            Err(StoreError::Io { source, .. }) => {
                assert_eq!(source.kind() == ErrorKind::StorageFull, fault == Fault::DiskFull);
            }
            answer => panic!("{fault:?}: {answer:?}"),
        }
        assert!(matches!(step(&store, 1), Err(StoreError::Broken { .. })), "{fault:?}");
        assert!(matches!(store.delete(&run("a")), Err(StoreError::Broken { .. })), "{fault:?}");
        assert_eq!(store.commits(), 3);
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
    store.on_commit(2, Fault::SkipSync);
    step(&store, 0).and_then(|length| step(&store, length)).expect("both are acknowledged");
    let store = store.reopen();
    assert_eq!(length(&store), 2, "killed");
    let store = store.power_cut();
    assert_eq!(length(&store), 1, "cut");

    store.on_commit(3, Fault::SkipSync);
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
