//! Power cuts: a store that forgets everything after its last sync (R5, S2). Acknowledged means synced.
//!
//! The real thing, a file system in an image that is copied while its writer is killed, is in `tests/power_cut`.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{Call, Fault, LossyStore, Random};
use durable_runtime::{Context, Limits, RunFilter, RunStatus, Runtime, StartError, durable};
use durable_tests::World;
use futures::future::join_all;

use crate::steps::note;

const STEPS: u32 = 5;

#[durable]
async fn through_power_cuts(ctx: Context, value: u32) -> u32 {
    let mut sum = 0;
    for step in 0..STEPS {
        sum += ctx.run(note, value + step).await;
    }
    sum
}

fn expected(value: u32) -> u32 {
    (value..value + STEPS).sum()
}

fn key(run: &str, step: u32) -> String {
    match step {
        0 => format!("{run}:note"),
        step => format!("{run}:note#{}", step + 1),
    }
}

async fn open(world: &World, store: &LossyStore) -> Runtime {
    world.builder().open_store(Arc::new(store.clone())).await.unwrap()
}

/// Runs to the end, or to the commit that fails, and cuts the power there.
async fn until_the_power_cut(world: &World, store: &LossyStore) -> LossyStore {
    let runtime = open(world, store).await;
    match runtime.start("r", through_power_cuts, 1).await {
        Ok(run) => drop(run.await),
        Err(StartError::Store { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let next = store.power_cut();
    runtime.shutdown(Duration::ZERO).await;
    next
}

async fn finish(world: &World, store: &LossyStore) {
    let runtime = open(world, store).await;
    assert_eq!(runtime.start("r", through_power_cuts, 1).await.unwrap().await.unwrap(), expected(1));
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_power_cut_at_any_commit_repeats_at_most_the_step_that_was_not_acknowledged() {
    // Five steps are six commits: the start, and one for each step, the last with the result.
    for commit in 1..=6 {
        for fault in [Fault::FailBefore, Fault::DiskFull, Fault::FailAfter] {
            let (world, store) = (World::default(), LossyStore::default());
            store.on(Call::Commit, commit, fault);
            let store = until_the_power_cut(&world, &store).await;
            finish(&world, &store).await;
            for step in 0..STEPS {
                // Commit 1 is the start; commit n holds step n - 2. After a lost answer nothing is lost.
                let lost = fault != Fault::FailAfter && u64::from(step) + 2 == commit;
                let times = world.effects.count(&key("r", step));
                assert_eq!(times, if lost { 2 } else { 1 }, "step {step}, {fault:?} at commit {commit}");
            }
        }
    }
}

/// The test above can fail: a store that acknowledges without syncing makes an acknowledged step run again.
#[tokio::test]
async fn a_store_that_does_not_sync_is_found_out() {
    let (world, store) = (World::default(), LossyStore::default());
    store.on(Call::Commit, 3, Fault::SkipSync);
    store.on(Call::Commit, 4, Fault::FailBefore);
    let store = until_the_power_cut(&world, &store).await;
    finish(&world, &store).await;
    assert_eq!(world.effects.count(&key("r", 1)), 2, "the checkpoint of step 1 was acknowledged, and is lost");
}

#[tokio::test]
async fn power_cuts_again_and_again_lose_no_acknowledged_start_or_result() {
    const RUNS: u32 = 40;
    const LANES: u32 = 8;
    let seed = std::env::var("DURABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh_seed);
    println!("DURABLE_SEED={seed}");
    let mut random = Random::new(seed);
    // A machine that is slow commits the recovery of each run by itself, and few lives then get any further.
    let limits = Limits { recoveries_without_progress: u32::MAX, ..Limits::default() };
    let (world, mut store) = (World { limits, ..World::default() }, LossyStore::default());
    let mut acknowledged = vec![None; RUNS as usize];
    let mut cuts = 0;
    while acknowledged.iter().any(Option::is_none) {
        store.on(Call::Commit, store.calls(Call::Commit) + 1 + random.below(8) as u64, Fault::FailBefore);
        let before = world.effects.counts();
        let runtime = open(&world, &store).await;
        let started = runtime.list(&RunFilter::new(), None, 1_000).await.unwrap().runs;
        // Lanes of runs one after the other, so that there are many commits and many moments to cut.
        let known = &acknowledged;
        let lanes = (0..LANES).map(async |lane| {
            let mut results = Vec::new();
            for value in lane * RUNS / LANES..(lane + 1) * RUNS / LANES {
                // Starting them all again would use up the few commits of this life.
                if known[value as usize].is_some() {
                    results.push(None);
                    continue;
                }
                results.push(match runtime.start(format!("r{value}"), through_power_cuts, value).await {
                    Ok(run) => run.await.ok(),
                    Err(_) => None,
                });
            }
            results
        });
        let results: Vec<_> = join_all(lanes).await.concat();
        for ((value, known), now) in (0..).zip(&mut acknowledged).zip(results) {
            if known.is_some() {
                let id = format!("r{value}");
                assert!(started.iter().any(|run| run.id.as_str() == id && run.status == RunStatus::Completed), "{id}");
                let again = (0..STEPS).any(|step| {
                    let key = key(&id, step);
                    before.get(&key).copied().unwrap_or(0) != world.effects.count(&key)
                });
                assert!(!again, "a step of {id} ran again, though its result was acknowledged");
            }
            if let Some(result) = now {
                assert_eq!(result, expected(value));
                *known = Some(result);
            }
        }
        store = store.power_cut();
        runtime.shutdown(Duration::ZERO).await;
        cuts += 1;
        assert!(cuts < 1_000, "no progress");
    }
    assert!(cuts > 3, "only {cuts} power cuts hit any work");
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
