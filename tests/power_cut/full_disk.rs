//! A disk that becomes full: a typed error, no more writes, and nothing acknowledged is lost.

use std::sync::mpsc;
use std::time::Duration;

use durable_runtime::Durability;
use durable_runtime::store::{MemoryStore, SledStore, StoreError};

use crate::image::Image;
use crate::workload::Workload;
use crate::{everything, not_run};

/// Longer than anything takes; a store that hangs fails the test instead of stopping it.
const HANG: Duration = Duration::from_mins(2);

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let mounted = match Image::create().and_then(|image| image.mount()) {
        Ok(mounted) => mounted,
        Err(reason) => return not_run(&reason),
    };
    let ballast = mounted.path().join("ballast");
    std::fs::write(&ballast, vec![1; 460 << 20]).expect("a disk of 512 MiB");
    let folder = mounted.path().join("store");
    let (sender, receiver) = mpsc::channel();
    let writer = std::thread::spawn({
        let folder = folder.clone();
        move || {
            let store = SledStore::open(folder, Durability::Sync).expect("open");
            let mut workload = Workload::without_housekeeping(1);
            let mut acknowledged = 0_u64;
            let error = loop {
                match workload.next(&store) {
                    Ok(()) => acknowledged += 1,
                    Err(error) => break error,
                }
            };
            sender.send((acknowledged, error, workload.next(&store))).expect("somebody waits");
        }
    });
    let (acknowledged, error, after) = receiver.recv_timeout(HANG).expect("a full disk hangs the store");
    println!("after {acknowledged} operations: {error}");
    assert!(matches!(error, StoreError::Io { .. } | StoreError::Damaged { .. }), "{error:?}");
    assert!(matches!(after, Err(StoreError::Broken { .. })), "{after:?}");
    writer.join().expect("closing a store on a full disk does not panic");

    std::fs::remove_file(ballast).expect("remove");
    let store = SledStore::open(folder, Durability::Sync).expect("the store opens when there is space again");
    let model = MemoryStore::default();
    let mut workload = Workload::without_housekeeping(1);
    for _ in 0..acknowledged {
        workload.next(&model).expect("the model");
    }
    let states = [everything(&model), {
        workload.next(&model).expect("the model");
        everything(&model)
    }];
    assert!(states.contains(&everything(&store)), "what was found is not what {acknowledged} operations made");
}
