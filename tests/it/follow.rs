//! `Runtime::follow`: what a run publishes, from any number on, wherever the run is and whatever becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durable_runtime::store::{
    Append, DueTimer, MemoryStore, Refused, RunHead, Store, StoreError, StoredPart, StoredRun,
};
use durable_runtime::{
    Context, Follow, HaltReason, Position, PublishedError, RunId, RunStatus, Runtime, Timestamp, durable,
};
use durable_tests::{World, is_left_out, patiently, suspended, yield_often};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;

use crate::steps::{gated, halted, note};

const DAY: Duration = Duration::from_hours(24);

async fn next<T>(follow: &mut Follow<T>) -> Result<Option<(u64, T)>, PublishedError> {
    patiently("the next value", follow.try_next()).await
}

/// The number and the value, which there must be.
async fn given(follow: &mut Follow<u32>) -> (u64, u32) {
    next(follow).await.unwrap().expect("the run goes on")
}

#[durable]
async fn followed(ctx: Context, count: u32) {
    for number in 0..count {
        ctx.publish("number", &(number * 10));
        ctx.publish("other", "not asked for");
        ctx.run(gated, number).named(format!("gate {number}")).await;
    }
    ctx.publish("number", &7);
}

#[tokio::test]
async fn a_reader_that_comes_again_behind_the_last_number_misses_nothing() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", followed, 3).await.unwrap();
    let follow = |from| process.runtime.follow::<u32>("r", "number", from);
    let mut first = follow(0);
    let mut late = follow(2);
    assert_eq!(given(&mut first).await, (0, 0));
    assert!(first.try_next().now_or_never().is_none(), "there is no more yet");
    drop(first);
    world.gates.open("gate 0");
    world.gates.open("gate 1");
    let mut again = follow(1);
    assert_eq!(given(&mut again).await, (1, 10));
    assert_eq!(given(&mut again).await, (2, 20));
    assert_eq!(given(&mut late).await, (2, 20));
    world.gates.open("gate 2");
    for follower in [&mut again, &mut late] {
        assert_eq!(given(follower).await, (3, 7));
        assert_eq!(next(follower).await.unwrap(), None);
    }
    run.await.unwrap();
    // When it has ended, too; and beyond its end there is nothing.
    let all: Vec<(u64, u32)> = follow(0).try_collect().await.unwrap();
    assert_eq!(all, [(0, 0), (1, 10), (2, 20), (3, 7)]);
    assert_eq!(next(&mut follow(4)).await.unwrap(), None);
    assert_eq!(next(&mut follow(u64::MAX)).await.unwrap(), None);
    assert_eq!(next(&mut process.runtime.follow::<u32>("r", "never", 0)).await.unwrap(), None);
}

#[durable]
async fn followed_day(ctx: Context) -> u32 {
    ctx.publish("number", &0);
    ctx.sleep(DAY).await;
    ctx.publish("number", &1);
    ctx.signal::<()>("end").await;
    ctx.run(note, 5).await
}

/// A run that sleeps is not woken by those who follow it, and they need nobody else to be told.
#[tokio::test]
async fn a_suspended_run_is_followed_where_it_is() {
    if is_left_out("a run leaves memory, and comes back, before it leaves it for good") {
        return;
    }
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", followed_day, ()).await.unwrap().id();
    suspended(&process.runtime, "r").await;
    yield_often().await;
    let steps = process.runtime.stats();
    let mut follow = process.runtime.follow::<u32>("r", "number", 0);
    assert_eq!(given(&mut follow).await, (0, 0));
    assert!(follow.try_next().now_or_never().is_none());
    yield_often().await;
    assert_eq!(process.runtime.stats(), steps, "following wakes nobody");
    world.clock.advance(DAY);
    assert_eq!(given(&mut follow).await, (1, 1));
    process.runtime.signal("r", "end", &()).await.unwrap();
    assert_eq!(next(&mut follow).await.unwrap(), None);
}

#[tokio::test]
async fn the_end_of_a_cancelled_run_is_the_end_of_the_stream() {
    for sleeps in [false, true] {
        let world = World::default();
        let process = world.open().await;
        if sleeps {
            process.runtime.start("r", followed_day, ()).await.unwrap().id();
            suspended(&process.runtime, "r").await;
        } else {
            process.runtime.start("r", followed, 1).await.unwrap().id();
            world.gates.arrived("gate 0", 1).await;
        }
        let mut follow = process.runtime.follow::<u32>("r", "number", 0);
        assert_eq!(given(&mut follow).await, (0, 0));
        assert!(follow.try_next().now_or_never().is_none());
        process.runtime.cancel("r", "enough").await.unwrap();
        assert_eq!(next(&mut follow).await.unwrap(), None);
    }
}

#[durable]
async fn followed_until_it_panics(ctx: Context) {
    ctx.publish("number", &0);
    ctx.run(note, 1).await;
    assert!(!is_bad(&ctx), "a bad world");
    ctx.publish("number", &1);
}

/// Runs that panic.
static BAD: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// What no durable function may do: look at something outside its run. Here it stands for a deploy.
fn is_bad(ctx: &Context) -> bool {
    BAD.lock().contains(ctx.run_id().as_str())
}

/// It would wait for good, and nobody would know.
#[tokio::test]
async fn a_run_that_halts_is_told_and_can_be_followed_again_when_it_is_resumed() {
    BAD.lock().insert("halts");
    let world = World::default();
    let process = world.open().await;
    let mut unknown = process.runtime.follow::<u32>("halts", "number", 0);
    assert!(matches!(next(&mut unknown).await, Err(PublishedError::Unknown { .. })));
    let run = process.runtime.start("halts", followed_until_it_panics, ()).await.unwrap();
    let mut follow = process.runtime.follow::<u32>("halts", "number", 0);
    assert_eq!(given(&mut follow).await, (0, 0));
    halted(run.await, HaltReason::Panic);
    let told = next(&mut follow).await.unwrap_err();
    let PublishedError::Halted { halt, .. } = &told else { panic!("{told}") };
    assert_eq!(halt.reason, HaltReason::Panic);
    assert!(told.to_string().starts_with("[D0176] run halts publishes nothing more until it is resumed"), "{told}");
    assert!(next(&mut follow).await.unwrap().is_none(), "the error is the last item");
    // Who comes when it is halted is told all there is first.
    let mut late = process.runtime.follow::<u32>("halts", "number", 0);
    assert_eq!(given(&mut late).await, (0, 0));
    assert!(matches!(next(&mut late).await, Err(PublishedError::Halted { .. })));
    BAD.lock().remove("halts");
    process.runtime.resume("halts").await.unwrap();
    let rest: Vec<(u64, u32)> = process.runtime.follow("halts", "number", 1).try_collect().await.unwrap();
    assert_eq!(rest, [(1, 1)]);
}

#[durable]
async fn followed_mixture(ctx: Context) {
    ctx.publish("mixture", &1);
    ctx.publish("mixture", "two");
    ctx.publish("mixture", &3);
}

#[tokio::test]
async fn what_can_not_be_read_is_told_with_its_number() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("r", followed_mixture, ()).await.unwrap().await.unwrap();
    let mut follow = runtime.follow::<u32>("r", "mixture", 0);
    assert_eq!(given(&mut follow).await, (0, 1));
    let error = next(&mut follow).await.unwrap_err();
    let PublishedError::Value { run, name, number, .. } = &error else { panic!("{error}") };
    assert_eq!((run.as_str(), name.as_str(), *number), ("r", "mixture", 1));
    assert!(error.to_string().starts_with("[D0175] what run r has published as \"mixture\", number 1,"), "{error}");
    assert!(next(&mut follow).await.unwrap().is_none());
    assert_eq!(given(&mut runtime.follow("r", "mixture", 2)).await, (2, 3));
    assert_eq!(runtime.published::<u32>("r", "mixture").await.unwrap(), Some(3));
    let wrong = runtime.published::<String>("r", "mixture").await;
    assert!(matches!(wrong, Err(PublishedError::Value { number: 2, .. })), "{wrong:?}");

    for name in ["", "mixture#2"] {
        let wrong = runtime.published::<u32>("r", name).await.unwrap_err();
        assert!(matches!(wrong, PublishedError::Name { .. }), "{wrong}");
        assert!(matches!(next(&mut runtime.follow::<u32>("r", name, 0)).await, Err(PublishedError::Name { .. })));
    }
    assert!(matches!(runtime.published::<u32>("", "mixture").await, Err(PublishedError::InvalidId(_))));
    assert!(matches!(runtime.published::<u32>("nobody", "mixture").await, Err(PublishedError::Unknown { .. })));
}

#[tokio::test]
async fn a_run_that_is_deleted_while_it_is_followed_is_gone() {
    let world = World::default();
    let process = world.open().await;
    BAD.lock().insert("deleted");
    let run = process.runtime.start("deleted", followed_until_it_panics, ()).await.unwrap();
    halted(run.await, HaltReason::Panic);
    let mut follow = process.runtime.follow::<u32>("deleted", "number", 0);
    assert_eq!(given(&mut follow).await, (0, 0));
    assert!(process.runtime.delete("deleted").await.unwrap());
    process.runtime.start("deleted", followed, 1).await.unwrap().id();
    world.gates.arrived("gate 0", 1).await;
    let gone = next(&mut follow).await;
    assert!(matches!(gone, Err(PublishedError::Unknown { .. })), "{gone:?}");
}

/// Also from another task, and whoever holds a stream holds neither the runs nor the folder.
#[tokio::test]
async fn a_shutdown_ends_what_is_followed_and_the_next_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Runtime::builder().open(folder.path().join("runs.durable"));
    for in_order in [true, false] {
        let runtime = open().await.unwrap();
        let id = if in_order { "in order" } else { "dropped" };
        runtime.start(id, followed_day, ()).await.unwrap().id();
        let mut follow = runtime.follow::<u32>(id, "number", 0);
        assert_eq!(given(&mut follow).await, (0, 0));
        let (told, waiting) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            told.send(()).unwrap();
            (follow.try_next().await, follow)
        });
        waiting.await.unwrap();
        if in_order {
            runtime.shutdown(Duration::from_secs(1)).await;
        } else {
            drop(runtime);
        }
        let (end, mut follow) = patiently("the end of the stream", task).await.unwrap();
        assert!(matches!(end, Err(PublishedError::ShuttingDown { .. })), "{end:?}");
        assert_eq!(next(&mut follow).await.unwrap(), None);
        // It is free, though somebody holds the stream.
        let opened = patiently("the folder", async {
            loop {
                match open().await {
                    Ok(runtime) => return runtime,
                    Err(_) if !in_order => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let runtime = opened.await;
        assert_eq!(given(&mut runtime.follow(id, "number", 0)).await, (0, 0));
        runtime.cancel(id, "enough").await.unwrap();
        drop(follow);
        runtime.shutdown(Duration::from_secs(1)).await;
    }
}

/// It stands still until it is recovered, and is not by being followed.
#[tokio::test]
async fn a_run_that_was_not_recovered_is_followed() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", followed, 1).await.unwrap().id();
    world.gates.arrived("gate 0", 1).await;
    process.crash().await;
    world.gates.open("gate 0");
    let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
    let mut follow = runtime.follow::<u32>("r", "number", 0);
    assert_eq!(given(&mut follow).await, (0, 0));
    yield_often().await;
    assert!(follow.try_next().now_or_never().is_none());
    assert_eq!(runtime.get("r").await.unwrap().unwrap().recoveries, 0);
    runtime.recover().await.unwrap();
    assert_eq!(given(&mut follow).await, (1, 7));
    assert_eq!(next(&mut follow).await.unwrap(), None);
}

#[durable]
async fn followed_by_many(ctx: Context, count: u32) {
    for number in 0..count {
        ctx.publish("number", &number);
        if number % 10 == 9 {
            ctx.run(note, number).await;
        }
    }
}

/// Readers that begin anywhere and come and go: each gets every number once.
#[tokio::test]
async fn twenty_readers_get_each_number_once() {
    const COUNT: u32 = 300;
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", followed_by_many, COUNT).await.unwrap();
    let readers = (0..20_u64).map(|reader| {
        let runtime = process.runtime.clone();
        tokio::spawn(async move {
            let (mut next_number, begin) = (reader * 7, reader * 7);
            loop {
                let mut follow = runtime.follow::<u32>("r", "number", next_number);
                // Goes away after some, and comes again.
                for _ in 0..=reader * 5 {
                    match next(&mut follow).await.unwrap() {
                        Some((number, value)) => {
                            assert_eq!((number, u64::from(value)), (next_number, next_number));
                            next_number += 1;
                        }
                        None => return (begin, next_number),
                    }
                }
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        let (_, end) = reader.await.unwrap();
        assert_eq!(end, u64::from(COUNT));
    }
    run.await.unwrap();
}

/// Counts the records that are read, and the bytes of the largest part.
#[derive(Debug, Default)]
struct Counting {
    memory: MemoryStore,
    wholes: AtomicUsize,
    records: AtomicUsize,
    largest: AtomicUsize,
}

impl Store for Counting {
    fn commit(&self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        self.memory.commit(appends)
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.memory.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.wholes.fetch_add(1, Ordering::Relaxed);
        self.memory.read(run)
    }

    fn read_part(&self, run: &RunId, from: Position, bytes_max: usize) -> Result<Option<StoredPart>, StoreError> {
        let part = self.memory.read_part(run, from, bytes_max)?;
        let frames = part.as_ref().map(|part| part.frames.as_slice()).unwrap_or_default();
        self.records.fetch_add(frames.len(), Ordering::Relaxed);
        self.largest.fetch_max(frames.iter().map(Vec::len).sum(), Ordering::Relaxed);
        Ok(part)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        self.memory.list(status, after, limit)
    }

    fn corrupt(&self) -> Vec<StoreError> {
        self.memory.corrupt()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        self.memory.due(now, limit)
    }

    fn delete(&self, run: &RunId) -> Result<bool, StoreError> {
        self.memory.delete(run)
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        self.memory.tidy()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.memory.compact()
    }
}

#[durable]
async fn followed_tokens(ctx: Context, count: u32) {
    for number in 0..count {
        ctx.publish("token", &format!("{number:>300}"));
        if number % 100 == 99 {
            ctx.run("thinks", async || ()).await;
        }
    }
}

/// R14: however many values there are, each record is read once, and at most a megabyte of them is in memory.
#[tokio::test]
async fn r14_following_ten_thousand_values_reads_each_record_once() {
    if is_left_out("a run that leaves memory at each of its steps is read as often") {
        return;
    }
    for count in [10_000, 20_000] {
        let counting = Arc::new(Counting::default());
        let store = Arc::clone(&counting) as Arc<dyn Store>;
        let runtime = Runtime::builder().open_store(store).await.unwrap();
        let run = runtime.start("r", followed_tokens, count).await.unwrap();
        for when in ["while it goes on", "when it has ended"] {
            counting.records.store(0, Ordering::Relaxed);
            let mut follow = runtime.follow::<String>("r", "token", 0).enumerate();
            while let Some((expected, token)) = patiently("a token", follow.next()).await {
                let (number, token) = token.unwrap();
                assert_eq!((number, token), (expected as u64, format!("{expected:>300}")));
            }
            let length = runtime.get("r").await.unwrap().unwrap().events;
            assert_eq!(counting.records.load(Ordering::Relaxed) as u64, length, "{when}");
        }
        run.await.unwrap();
        let (wholes, largest) = (counting.wholes.load(Ordering::Relaxed), counting.largest.load(Ordering::Relaxed));
        assert_eq!(wholes, 2, "for `get`");
        assert!(largest <= 1_024 * 1_024, "{largest} bytes at once");
    }
}

/// What a run has published is told of those who follow another one, by nobody.
#[tokio::test]
async fn each_follows_its_own_run() {
    let world = World::default();
    let process = world.open().await;
    let runs: BTreeMap<String, u32> = (0..30).map(|run| (format!("r{run}"), run % 5 + 1)).collect();
    for number in 0..5 {
        world.gates.open(&format!("gate {number}"));
    }
    let followers = runs.iter().map(|(run, count)| {
        let (runtime, run, count) = (process.runtime.clone(), run.clone(), *count);
        async move {
            runtime.start(&run, followed, count).await.unwrap().id();
            let all: Vec<(u64, u32)> = runtime.follow(&run, "number", 0).try_collect().await.unwrap();
            let expected = (0..count).map(|number| number * 10).chain([7]);
            assert!(all.into_iter().eq((0..).zip(expected)), "{run}");
        }
    });
    patiently("the ends of all", futures::future::join_all(followers)).await;
}
