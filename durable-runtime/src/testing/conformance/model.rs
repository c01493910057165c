//! Random work, done in the store and in [`MemoryStore`] side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{StoreHarness, look, run, tidy_up};
use crate::clock::Timestamp;
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, MemoryStore, Record, RunStatus, Store};
use crate::testing::Random;

const OPERATIONS: usize = 400;

/// Random appends (right and wrong positions, new and stale fences, some that replace), reads, deletes, housekeeping
/// and reopenings: the store answers as [`MemoryStore`] does, always.
///
/// The seed is printed; `DURABLE_SEED=<number>` in the environment chooses another.
///
/// # Panics
/// When the two differ.
pub fn model_agrees_with_the_memory_store(harness: &dyn StoreHarness) {
    let seed = std::env::var("DURABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("model: DURABLE_SEED={seed}");
    let mut random = Random::new(seed);
    let model = MemoryStore::default();
    let mut store = harness.open();
    for operation in 0..OPERATIONS {
        let context = format!("DURABLE_SEED={seed}, operation {operation}");
        match random.below(100) {
            0..60 => {
                let appends = some_appends(&mut random, &model);
                let (answers, expected) = (store.commit(&appends), model.commit(&appends));
                assert_eq!(answers.expect("commit"), expected.expect("the model"), "{context}: {appends:?}");
            }
            60..70 => {
                let id = some_run(&mut random);
                assert_eq!(store.read(&id).expect("read"), model.read(&id).expect("the model"), "{context}");
                assert_eq!(store.head(&id).expect("head"), model.head(&id).expect("the model"), "{context}");
            }
            70..80 => compare_pages(&mut random, &*store, &model, &context),
            80..86 => {
                let id = some_run(&mut random);
                assert_eq!(
                    store.delete(&id).expect("delete"),
                    model.delete(&id).expect("the model"),
                    "{context}: {id}"
                );
            }
            86..91 => {
                store.tidy().expect("tidy");
            }
            91 => tidy_up(&*store),
            92..94 => store.compact().expect("compact"),
            _ => {
                drop(store);
                store = harness.open();
                assert_eq!(look(&*store), look(&model), "{context}: reopened");
            }
        }
        if operation % 16 == 0 {
            assert_eq!(look(&*store), look(&model), "{context}");
        }
    }
    assert_eq!(store.corrupt().len(), 0, "DURABLE_SEED={seed}");
    let store: Arc<dyn Store> = super::reopen(harness, store);
    assert_eq!(look(&*store), look(&model), "DURABLE_SEED={seed}: at the end");
}

fn some_run(random: &mut Random) -> RunId {
    run(["a", "a\0", "aa", "b", "c", "d", "e", "f", "g"][random.below(9)])
}

fn some_appends(random: &mut Random, model: &MemoryStore) -> Vec<Append> {
    let count = 1 + random.below(6);
    let mut reached: BTreeMap<RunId, (u64, u64)> = BTreeMap::new();
    let mut next = || {
        let id = some_run(random);
        let head = model.head(&id).expect("the model");
        let (length, fence) = head.map_or((0, 0), |head| (head.length.0, head.fence.0));
        let append = some_append(random, &id, reached.get(&id).copied().unwrap_or((length, fence)));
        // If it applies, as most do.
        reached.insert(id, (append.length_after().0, append.fence.0));
        append
    };
    (0..count).map(|_| next()).collect()
}

/// An append to a run of this length and fence.
fn some_append(random: &mut Random, id: &RunId, (length, fence): (u64, u64)) -> Append {
    let expected = if random.one_in(5) { length + 1 - random.number() % 2 * length } else { length };
    let fence = match random.below(8) {
        0 => fence + 1,
        1 => fence.saturating_sub(1),
        _ => fence,
    };
    let some_record = |random: &mut Random| {
        let bytes = if random.one_in(20) { random.below(40_000) } else { random.below(300) };
        let due = random.one_in(3).then(|| Timestamp(random.number() % 1_000));
        Record { frame: random.bytes(bytes), due }
    };
    let count = random.below(4);
    let statuses =
        [RunStatus::Suspended, RunStatus::Halted, RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled];
    Append {
        run: id.clone(),
        expected: Position(expected),
        fence: Fence(fence),
        records: (0..count).map(|_| some_record(random)).collect(),
        replaces: random.one_in(6),
        clears: (0..random.below(3)).map(|_| Position(random.number() % (length + 3))).collect(),
        status: if random.one_in(2) { statuses[random.below(4)] } else { RunStatus::Running },
    }
}

fn compare_pages(random: &mut Random, store: &dyn Store, model: &MemoryStore, context: &str) {
    let statuses = [RunStatus::Running, RunStatus::Suspended, RunStatus::Halted, RunStatus::Completed];
    let status = (!random.one_in(4)).then(|| statuses[random.below(4)]);
    let limit = random.below(6);
    let after = (!random.one_in(3)).then(|| some_run(random));
    let listed = store.list(status, after.as_ref(), limit).expect("list");
    let expected = model.list(status, after.as_ref(), limit).expect("the model");
    assert_eq!(listed, expected, "{context}: list({status:?}, {after:?}, {limit})");
    let now = Timestamp(random.number() % 1_200);
    let (dues, expected) = (store.due(now, limit), model.due(now, limit));
    assert_eq!(dues.expect("due"), expected.expect("the model"), "{context}: due({now:?}, {limit})");
}
