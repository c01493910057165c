//! `ctx.emit`: what a run has emitted is delivered, at least once, whatever becomes of the run and the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_runtime::testing;
use durable_runtime::{
    Codec, Context, DELIVERY_FUNCTION, EVENT_BYTES_MAX, Emission, Failure, HaltReason, Limits, RunError, RunFilter,
    RunInfo, RunStatus, Runtime, RuntimeBuilder, durable,
};
use durable_tests::{Effects, Kind, Loss, World, copy, is_left_out, journal, patiently, suspended, yield_often};
use parking_lot::Mutex;

use crate::steps::{gated, halted, note};

const HOUR: Duration = Duration::from_hours(1);

/// Who is told.
#[derive(Debug, Clone, Default)]
struct Broker {
    /// The ids of what has come, each with the event and the attempt.
    came: Arc<Mutex<Vec<(String, u32, u32)>>>,
    is_down: Arc<AtomicBool>,
}

impl Broker {
    fn came(&self) -> Vec<(String, u32, u32)> {
        self.came.lock().clone()
    }

    /// In the order of the ids, each once.
    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.came().into_iter().map(|(id, ..)| id).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    fn is_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    fn on(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let broker = self.clone();
        builder.sink("sales", move |sale: Emission| {
            let broker = broker.clone();
            async move {
                if broker.is_down.load(Ordering::SeqCst) {
                    return Err(Failure::new("the broker is down"));
                }
                broker.came.lock().push((sale.id().to_owned(), sale.decode()?, sale.attempt()));
                Ok(())
            }
        })
    }

    async fn open(&self, world: &World) -> Runtime {
        self.on(world.builder()).open_store(world.disk.open()).await.unwrap()
    }
}

async fn info(runtime: &Runtime, run: &str) -> RunInfo {
    runtime.get(run).await.unwrap().expect("it was started")
}

/// The ids of what is not delivered yet.
async fn undelivered(runtime: &Runtime) -> Vec<String> {
    let filter = RunFilter::default().function(DELIVERY_FUNCTION);
    let runs = runtime.list(&filter, None, 100).await.unwrap().runs;
    runs.into_iter().map(|run| run.id.as_str().to_owned()).collect()
}

/// Waits until all is delivered.
async fn delivered(runtime: &Runtime, broker: &Broker, ids: &[&str]) {
    patiently(ids, async {
        while broker.ids() != ids || !undelivered(runtime).await.is_empty() {
            yield_often().await;
        }
    })
    .await;
}

#[durable]
async fn sells_three(ctx: Context) -> u32 {
    let first = ctx.run(note, 1).await;
    ctx.emit("sales", &first);
    let second = ctx.run(gated, 2).await;
    ctx.emit("sales", &second);
    ctx.emit("sales", &3);
    first + second
}

#[tokio::test]
async fn what_is_emitted_is_delivered_and_then_gone() {
    let (world, broker) = (World::default(), Broker::default());
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_three, ()).tag("of", "ada").await.unwrap();
    delivered(&runtime, &broker, &["r:sales"]).await;
    world.gates.open("gated");
    assert_eq!(patiently("the run", run).await.unwrap(), 3);
    delivered(&runtime, &broker, &["r:sales", "r:sales#2", "r:sales#3"]).await;
    let mut came = broker.came();
    came.sort();
    let came: Vec<_> = came.iter().map(|(id, event, attempt)| (&**id, *event, *attempt)).collect();
    assert_eq!(came, [("r:sales", 1, 1), ("r:sales#2", 2, 1), ("r:sales#3", 3, 1)]);
    let info = info(&runtime, "r").await;
    let emitted: Vec<_> = info.emitted.iter().map(|event| (&*event.key, event.value.text())).collect();
    assert_eq!(emitted, [("sales", "1".to_owned()), ("sales#2", "2".to_owned()), ("sales#3", "3".to_owned())]);
    assert!(info.children.is_empty());
    assert!(runtime.verify_store().await.unwrap().is_sound());
    assert_eq!(runtime.list(&RunFilter::default(), None, 9).await.unwrap().runs.len(), 1);
    let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Emitted).count(), 3);
    assert_eq!(kinds.last(), Some(&Kind::Finished));
}

#[tokio::test]
async fn a_sink_that_is_down_is_tried_again_over_restarts_and_the_run_does_not_wait() {
    let (world, broker) = (World::default(), Broker::default());
    world.gates.open("gated");
    broker.is_down(true);
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_three, ()).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 3);
    patiently("failed attempts", async {
        while info(&runtime, "r:sales#3").await.steps.first().is_none_or(|step| step.failed_attempts.is_empty()) {
            yield_often().await;
        }
    })
    .await;
    assert_eq!(undelivered(&runtime).await, ["r:sales", "r:sales#2", "r:sales#3"]);
    let failed = info(&runtime, "r:sales").await.steps[0].failed_attempts[0].error.clone();
    assert!(failed.contains("the broker is down"), "{failed}");
    runtime.shutdown(Duration::ZERO).await;
    let runtime = broker.open(&world).await;
    runtime.cancel("r:sales#2", "nobody wants to know").await.unwrap();
    broker.is_down(false);
    world.clock.advance(HOUR);
    patiently("the others", async {
        while broker.ids() != ["r:sales", "r:sales#3"] || undelivered(&runtime).await != ["r:sales#2"] {
            yield_often().await;
            world.clock.advance(Duration::from_secs(1));
        }
    })
    .await;
    assert!(broker.came().iter().all(|(.., attempt)| *attempt > 1), "{:?}", broker.came());
    assert_eq!(info(&runtime, "r:sales#2").await.status, RunStatus::Cancelled);
}

#[tokio::test]
async fn without_a_sink_the_run_halts_and_a_later_program_delivers() {
    let (world, broker) = (World::default(), Broker::default());
    world.gates.open("gated");
    let process = world.open().await;
    let run = process.runtime.start("r", sells_three, ()).await.unwrap();
    let halt = halted(patiently("the run", run).await, HaltReason::Misuse).to_string();
    assert!(halt.contains("no sink for that channel (it has: none). Add `.sink(\"sales\", …)`"), "{halt}");
    process.crash().await;
    broker.is_down(true);
    let runtime = broker.open(&world).await;
    runtime.resume("r").await.unwrap();
    let run = runtime.attach("r", sells_three).await.unwrap();
    assert_eq!(patiently("the run", run).await.unwrap(), 3);
    runtime.shutdown(Duration::from_secs(1)).await;
    // One that has lost its sink again.
    let runtime = world.builder().open_store(world.disk.open()).await.unwrap();
    world.clock.advance(HOUR);
    patiently("a second failure", async {
        loop {
            let steps = info(&runtime, "r:sales").await.steps;
            if steps[0]
                .failed_attempts
                .last()
                .is_some_and(|failed| failed.error.contains("has no sink for the channel"))
            {
                break;
            }
            yield_often().await;
        }
    })
    .await;
    runtime.shutdown(Duration::from_secs(1)).await;
    broker.is_down(false);
    let runtime = broker.open(&world).await;
    world.clock.advance(HOUR);
    delivered(&runtime, &broker, &["r:sales", "r:sales#2", "r:sales#3"]).await;
}

#[durable]
async fn sells_and_breaks(ctx: Context) -> Result<u32, String> {
    let first = ctx.run(note, 1).await;
    ctx.emit("sales", &first);
    ctx.run(gated, 2).await;
    ctx.emit("sales", &2);
    panic!("broken")
}

#[tokio::test]
async fn a_run_that_halts_has_emitted_what_was_recorded() {
    let (world, broker) = (World::default(), Broker::default());
    world.gates.open("gated");
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_and_breaks, ()).await.unwrap();
    halted(patiently("the run", run).await, HaltReason::Panic);
    // What is emitted in the stretch of a panic is not recorded: the code may be another one when it is resumed.
    delivered(&runtime, &broker, &["r:sales"]).await;
    assert_eq!(info(&runtime, "r").await.emitted.len(), 1);
}

#[tokio::test]
async fn a_run_that_is_cancelled_has_emitted_what_was_recorded() {
    for is_in_memory in [true, false] {
        let (world, broker) = (World::default(), Broker::default());
        let handle = world.disk.open();
        let mut runtime = broker.on(world.builder()).open_store(handle.clone()).await.unwrap();
        let run = runtime.start("r", sells_three, ()).await.unwrap();
        world.gates.arrived("gated", 1).await;
        if is_in_memory {
            runtime.cancel("r", "enough").await.unwrap();
            assert!(matches!(patiently("the run", run).await, Err(RunError::Cancelled { .. })));
        } else {
            handle.fail_after(0, Loss::Whole);
            runtime.shutdown(Duration::ZERO).await;
            let builder = broker.on(world.builder()).recover_later();
            runtime = builder.open_store(world.disk.open()).await.unwrap();
            runtime.cancel("r", "enough").await.unwrap();
            runtime.recover().await.unwrap();
        }
        delivered(&runtime, &broker, &["r:sales"]).await;
        assert_eq!(info(&runtime, "r").await.status, RunStatus::Cancelled);
        assert!(runtime.verify_store().await.unwrap().is_sound());
    }
}

/// As after a crash right behind the record, before anything was done for it.
#[tokio::test]
async fn what_nobody_delivers_yet_is_delivered_by_the_next_process_whatever_becomes_of_the_run() {
    let (recorded, broker) = (World::default(), Broker::default());
    recorded.gates.open("gated");
    let runtime = broker.open(&recorded).await;
    let run = runtime.start("r", sells_three, ()).await.unwrap();
    patiently("the run", run).await.unwrap();
    let length = 1 + journal(&recorded.disk.memory, "r").iter().position(|entry| entry.kind == Kind::Emitted).unwrap();
    for what in ["goes on", "is cancelled", "is paused"] {
        let (world, broker) = (World::with(copy(&recorded.disk.memory, "r", length)), Broker::default());
        let builder = broker.on(world.builder()).recover_later();
        let runtime = builder.open_store(world.disk.open()).await.unwrap();
        match what {
            "is cancelled" => runtime.cancel("r", "enough").await.unwrap(),
            "is paused" => runtime.pause("r", "later").await.unwrap(),
            _ => {}
        }
        assert!(runtime.verify_store().await.unwrap().is_sound(), "{what}");
        runtime.recover().await.unwrap();
        if what == "is paused" {
            runtime.resume("r").await.unwrap();
        }
        delivered(&runtime, &broker, &["r:sales"]).await;
        let status = if what == "is cancelled" { RunStatus::Cancelled } else { RunStatus::Running };
        assert_eq!(info(&runtime, "r").await.status, status, "{what}");
    }
}

#[tokio::test]
async fn a_run_that_is_paused_as_it_returns_has_emitted_what_is_recorded() {
    let (world, broker) = (World::default(), Broker::default());
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_three, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let pausing = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.pause("r", "later").await }
    });
    yield_often().await;
    world.gates.open("gated");
    pausing.await.unwrap().unwrap();
    halted(patiently("the run", run).await, HaltReason::Paused);
    let emitted = info(&runtime, "r").await.emitted.len();
    let expected = ["r:sales", "r:sales#2", "r:sales#3"];
    delivered(&runtime, &broker, &expected[..emitted]).await;
    runtime.resume("r").await.unwrap();
    delivered(&runtime, &broker, &expected).await;
}

#[tokio::test]
async fn r14_a_delivery_that_is_tried_for_long_has_a_journal_that_begins_anew() {
    for codec in [Codec::Json, Codec::Bincode] {
        let (world, broker) = (World::default(), Broker::default());
        broker.is_down(true);
        let runtime = broker.on(world.builder().codec(codec)).open_store(world.disk.open()).await.unwrap();
        let run = runtime.start("r", sells_for_ever, 3).await.unwrap();
        patiently("the run", run).await.unwrap();
        patiently("a thousand attempts", async {
            while info(&runtime, "r:sales").await.continued == 0 {
                world.clock.advance(Duration::from_mins(5));
                yield_often().await;
            }
        })
        .await;
        broker.is_down(false);
        patiently("the delivery", async {
            while broker.came().is_empty() {
                world.clock.advance(Duration::from_mins(5));
                yield_often().await;
            }
        })
        .await;
        assert!(matches!(&broker.came()[..], [(id, 3, 1_001..)] if id == "r:sales"), "{:?}", broker.came());
    }
}

#[durable]
async fn sells_much(ctx: Context, bytes: usize) -> usize {
    ctx.emit("sales", &vec![7_u8; bytes]);
    ctx.run(note, 1).await;
    bytes
}

/// Given up while it is in memory, and the process dies right then: it is given up, and nothing is wrong with it.
#[tokio::test]
async fn a_delivery_that_is_given_up_stays_so_whatever_crashes() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        for commits in 0..3 {
            let world = World::default();
            let handle = world.disk.open();
            let gates = Arc::clone(&world.gates);
            let sink = move |_| {
                let gates = Arc::clone(&gates);
                async move {
                    gates.pass("sink").await;
                    Ok(())
                }
            };
            let runtime = world.builder().sink("sales", sink).open_store(handle.clone()).await.unwrap();
            runtime.start("r", sells_for_ever, 3).await.unwrap().await.unwrap();
            world.gates.arrived("sink", 1).await;
            yield_often().await;
            handle.fail_after(commits, loss);
            let given_up = runtime.cancel("r:sales", "nobody wants to know").await;
            yield_often().await;
            runtime.shutdown(Duration::ZERO).await;
            let runtime = world.builder().recover_later().open_store(world.disk.open()).await.unwrap();
            assert!(runtime.verify_store().await.unwrap().is_sound(), "{loss:?} {commits}");
            if given_up.is_ok() {
                runtime.recover().await.unwrap();
                let info = info(&runtime, "r:sales").await;
                assert_eq!(info.status, RunStatus::Cancelled, "{loss:?} {commits}");
            }
        }
    }
}

/// R14: also in the codec that takes the most room when it is spelled.
#[tokio::test]
async fn the_largest_event_is_delivered_and_a_larger_one_halts_the_run() {
    for codec in [Codec::Json, Codec::Bincode] {
        let world = World { limits: Limits { payload_bytes: 8_000_000, ..Limits::default() }, ..World::default() };
        let came = Arc::new(Mutex::new(None));
        let sink = {
            let came = Arc::clone(&came);
            move |sale: Emission| {
                let came = Arc::clone(&came);
                async move {
                    if sale.attempt() < 3 {
                        return Err(Failure::new("not yet"));
                    }
                    *came.lock() = Some(sale.payload().bytes().len());
                    Ok(())
                }
            }
        };
        let builder = world.builder().codec(codec).sink("sales", sink);
        let runtime = builder.open_store(world.disk.open()).await.unwrap();
        // `7,` or one byte; and what is around.
        let bytes = if codec == Codec::Json { EVENT_BYTES_MAX / 2 - 1 } else { EVENT_BYTES_MAX - 5 };
        let run = runtime.start("r", sells_much, bytes).await.unwrap();
        assert_eq!(patiently("the run", run).await.unwrap(), bytes);
        patiently("the delivery", async {
            while came.lock().is_none() {
                world.clock.advance(Duration::from_mins(5));
                yield_often().await;
            }
        })
        .await;
        assert!(came.lock().unwrap() > EVENT_BYTES_MAX - 5, "{came:?}");
        let larger = runtime.start("s", sells_much, bytes + 9).await.unwrap();
        let halt = halted(patiently("the run", larger).await, HaltReason::Value).to_string();
        assert!(halt.contains("what is emitted to \"sales\""), "{halt}");
    }
}

#[tokio::test]
async fn a_fork_delivers_what_it_emits_itself() {
    let (world, broker) = (World::default(), Broker::default());
    world.gates.open("gated");
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_three, ()).await.unwrap();
    patiently("the run", run).await.unwrap();
    runtime.fork("r", "gated", "f").await.unwrap();
    let fork = runtime.attach("f", sells_three).await.unwrap();
    patiently("the fork", fork).await.unwrap();
    delivered(&runtime, &broker, &["f:sales#2", "f:sales#3", "r:sales", "r:sales#2", "r:sales#3"]).await;
    assert_eq!(info(&runtime, "f").await.emitted.len(), 3);
}

#[durable]
async fn sells_for_ever(ctx: Context, number: u32) -> u32 {
    ctx.emit("sales", &number);
    let number = ctx.run(note, number).await;
    if number < 3 { ctx.continue_as_new(number + 1).await } else { number }
}

#[tokio::test]
async fn what_each_part_of_a_run_emits_is_told_apart() {
    let (world, broker) = (World::default(), Broker::default());
    let runtime = broker.open(&world).await;
    let run = runtime.start("r", sells_for_ever, 1).await.unwrap();
    patiently("the run", run).await.unwrap();
    delivered(&runtime, &broker, &["r:sales", "r:sales@2", "r:sales@3"]).await;
}

/// Whoever is told of a sale can rely on it: what led to it is recorded.
#[tokio::test]
async fn a_failure_at_any_commit_loses_no_event_that_is_recorded_and_makes_none_up() {
    if is_left_out("a suspended run commits more often") {
        return;
    }
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let mut failures = 0;
        for commits in 0.. {
            let (world, broker) = (World::default(), Broker::default());
            world.gates.open("gated");
            let handle = world.disk.open();
            let runtime = broker.on(world.builder()).open_store(handle.clone()).await.unwrap();
            handle.fail_after(commits, loss);
            if let Ok(run) = runtime.start("r", sells_three, ()).await {
                patiently("the run or a failure", async {
                    let _ = run.await;
                    while handle.is_well() && !undelivered(&runtime).await.is_empty() {
                        yield_often().await;
                    }
                })
                .await;
            }
            let has_failed = !handle.is_well();
            runtime.shutdown(Duration::ZERO).await;
            let runtime = broker.on(world.builder()).recover_later().open_store(world.disk.open()).await.unwrap();
            let runs = runtime.list(&RunFilter::default(), None, 9).await.unwrap().runs;
            assert!(runs.iter().all(|run| run.updated_at.is_some()), "{loss:?} {commits}: one can't be read: {runs:?}");
            runtime.shutdown(Duration::ZERO).await;
            let runtime = broker.open(&world).await;
            let run = runtime.start("r", sells_three, ()).await.unwrap();
            assert_eq!(patiently("the run", run).await.unwrap(), 3, "{loss:?} {commits}");
            delivered(&runtime, &broker, &["r:sales", "r:sales#2", "r:sales#3"]).await;
            for (id, event, _) in broker.came() {
                let number = id.split_once('#').map_or(1, |(_, number)| number.parse().unwrap());
                assert_eq!(event, number, "{loss:?} {commits}");
            }
            assert!(runtime.verify_store().await.unwrap().is_sound(), "{loss:?} {commits}");
            if !has_failed {
                break;
            }
            failures += 1;
        }
        // How many commits there are depends on what shares one.
        assert!(failures > 5, "{failures}");
    }
}

/// Emits when it is dropped.
struct Farewell(Context);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.emit("sales", &7);
    }
}

#[durable]
async fn sells_in_destructors(ctx: Context) -> u32 {
    let kept = Farewell(ctx.clone());
    drop(Farewell(ctx.clone()));
    ctx.sleep(24 * HOUR).await;
    drop(kept);
    1
}

/// R10: that the code is dropped because the run leaves memory is no doing of its own.
#[tokio::test]
async fn r10_in_destructors_only_the_code_emits_not_the_engine() {
    let (world, broker) = (World::default(), Broker::default());
    let runtime = broker.open(&world).await;
    runtime.start("r", sells_in_destructors, ()).await.unwrap().id();
    suspended(&runtime, "r").await;
    delivered(&runtime, &broker, &["r:sales"]).await;
    runtime.shutdown(Duration::from_secs(1)).await;
    let runtime = broker.open(&world).await;
    let run = runtime.attach("r", sells_in_destructors).await.unwrap();
    assert_eq!(info(&runtime, "r").await.emitted.len(), 1);
    world.clock.advance(25 * HOUR);
    assert_eq!(patiently("the run", run).await.unwrap(), 1);
    delivered(&runtime, &broker, &["r:sales", "r:sales#2"]).await;
}

#[durable]
async fn sells_beside(ctx: Context) -> u32 {
    let (first, second) = tokio::join!(
        async {
            let number = ctx.run(note, 1).await;
            ctx.emit("sales", &number);
            number
        },
        async {
            ctx.emit("offers", "shoes");
            ctx.run(note, 2).await
        }
    );
    ctx.emit("sales", &(first + second));
    first + second
}

#[test]
fn emitting_is_explored() {
    let explored =
        testing::explore(sells_beside, ()).dependency_with(Effects::default).worlds_max(1_500).seeds(0..60).check(
            |world| {
                assert_eq!(*world.output(), 3);
                assert_eq!(world.emitted::<u32>("sales"), [1, 3]);
                assert_eq!(world.emitted::<String>("offers"), ["shoes"]);
            },
        );
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}
