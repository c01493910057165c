//! Bugs that were found once, each by the sentence that was not true.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use durable_runtime::store::{Append, DueTimer, MemoryStore, Refused, RunHead, Store, StoreError, StoredRun};
use durable_runtime::{
    Clock, Context, HaltReason, Limits, Retry, RunError, RunFilter, RunId, RunStatus, Sleep, StartError, StepContext,
    Timestamp, durable,
};
use durable_tests::{Effects, Loss, World, is_left_out, patiently, suspended};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::steps::{gated, halted, note};

type Answers = Result<Vec<Result<(), Refused>>, StoreError>;

type OddCommit = Box<dyn FnOnce(&MemoryStore, &[Append]) -> Answers + Send>;

/// A store whose calls do something odd, once.
#[derive(Default)]
struct Odd {
    memory: MemoryStore,
    commit: Mutex<Option<OddCommit>>,
    read: Mutex<Option<Pause>>,
    list: Mutex<Option<Pause>>,
}

/// A call that tells that it was made, and waits until it may go on.
struct Pause {
    made: oneshot::Sender<()>,
    may_go_on: mpsc::Receiver<()>,
}

/// What the test has of a [`Pause`].
struct Paused {
    made: oneshot::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

fn pause() -> (Pause, Paused) {
    let ((made, was_made), (go_on, may_go_on)) = (oneshot::channel(), mpsc::channel());
    (Pause { made, may_go_on }, Paused { made: was_made, go_on })
}

impl Pause {
    fn pass(at: &Mutex<Option<Self>>) {
        let pause = at.lock().take();
        if let Some(Self { made, may_go_on }) = pause {
            made.send(()).expect("the test waits");
            may_go_on.recv().expect("the test goes on");
        }
    }
}

impl std::fmt::Debug for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Odd").finish_non_exhaustive()
    }
}

impl Store for Odd {
    fn commit(&self, appends: &[Append]) -> Answers {
        let odd = self.commit.lock().take();
        odd.map_or_else(|| self.memory.commit(appends), |odd| odd(&self.memory, appends))
    }

    fn head(&self, run: &RunId) -> Result<Option<RunHead>, StoreError> {
        self.memory.head(run)
    }

    fn read(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        Pause::pass(&self.read);
        self.memory.read(run)
    }

    fn list(&self, status: Option<RunStatus>, after: Option<&RunId>, limit: usize) -> Result<Vec<RunHead>, StoreError> {
        Pause::pass(&self.list);
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
async fn regression_gated(ctx: Context, value: u32) -> u32 {
    let value = ctx.run(gated, value).await;
    ctx.run(note, value).await
}

async fn after_an_odd_commit(odd: impl FnOnce(&MemoryStore, &[Append]) -> Answers + Send + 'static) {
    let (world, store) = (World::default(), Arc::<Odd>::default());
    let runtime = world.builder().open_store(store.clone()).await.unwrap();
    let run = runtime.start("r", regression_gated, 1).await.unwrap();
    world.gates.arrived("gated", 1).await;
    *store.commit.lock() = Some(Box::new(odd));
    world.gates.open("gated");
    let halt = halted(patiently("the run", run.into_future()).await, HaltReason::Storage);
    assert!(halt.message.contains("the store"), "{halt}");
    let refused = patiently("a start", runtime.start("s", regression_gated, 1)).await.unwrap_err();
    assert!(matches!(refused, StartError::Store { source: StoreError::Broken { .. }, .. }), "{refused}");
    patiently("the shutdown", runtime.shutdown(Duration::ZERO)).await;
    let runtime = world.builder().open_store(store).await.unwrap();
    assert_eq!(runtime.attach("r", regression_gated).await.unwrap().await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_panics_halts_the_runs_that_wait_for_it() {
    after_an_odd_commit(|_, _| panic!("the store has a bug")).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_every_append_halts_the_runs_that_wait_for_it() {
    after_an_odd_commit(|_, _| Ok(Vec::new())).await;
}

static REGRESSION_HALTS: AtomicBool = AtomicBool::new(true);

#[durable]
async fn regression_halting(ctx: Context) -> u32 {
    let value = ctx.run(note, 1).await;
    assert!(!REGRESSION_HALTS.load(Ordering::SeqCst), "not yet");
    value
}

#[tokio::test]
async fn a_resume_that_is_given_up_half_way_is_done_all_the_same() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", regression_halting, ()).await.unwrap().await.unwrap_err();
    REGRESSION_HALTS.store(false, Ordering::SeqCst);
    process.handle.hold();
    let runtime = process.runtime.clone();
    let resuming = tokio::spawn(async move { runtime.resume("r").await });
    process.handle.held().await;
    resuming.abort();
    resuming.await.unwrap_err();
    process.handle.release();
    let run = patiently("the run", process.runtime.attach("r", regression_halting)).await.unwrap();
    assert_eq!(run.await.unwrap(), 1);
    patiently("the shutdown", process.runtime.shutdown(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_deletion_that_is_given_up_half_way_is_done_all_the_same() {
    let world = World::default();
    world.gates.open("gated");
    let process = world.open().await;
    process.runtime.start("r", regression_gated, 1).await.unwrap().await.unwrap();
    process.handle.hold();
    let runtime = process.runtime.clone();
    let deleting = tokio::spawn(async move { runtime.delete("r").await });
    process.handle.held().await;
    deleting.abort();
    deleting.await.unwrap_err();
    process.handle.release();
    let run = patiently("a new run", process.runtime.start("r", regression_gated, 2)).await.unwrap();
    assert_eq!(run.await.unwrap(), 2);
    patiently("the shutdown", process.runtime.shutdown(Duration::ZERO)).await;
}

#[tokio::test]
async fn attaching_to_a_run_that_is_just_being_started_awaits_it() {
    let (world, store) = (World::default(), Arc::<Odd>::default());
    let runtime = world.builder().open_store(store.clone()).await.unwrap();
    let (pause, paused) = pause();
    *store.read.lock() = Some(pause);
    let attaching = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.attach("r", regression_gated).await }
    });
    paused.made.await.unwrap();
    runtime.start("r", regression_gated, 1).await.unwrap().id();
    paused.go_on.send(()).unwrap();
    let attached = attaching.await.unwrap().unwrap();
    world.gates.open("gated");
    assert_eq!(attached.await.unwrap(), 1);
}

#[tokio::test]
async fn a_run_that_is_being_started_begins_no_step_during_a_shutdown() {
    for deadline in [Duration::from_secs(30), Duration::ZERO] {
        let world = World::default();
        let process = world.open().await;
        process.handle.hold();
        let starting = tokio::spawn({
            let runtime = process.runtime.clone();
            async move { runtime.start("r", regression_gated, 1).await }
        });
        process.handle.held().await;
        let due = world.clock.now().after(deadline);
        let stopping = tokio::spawn(process.runtime.shutdown(deadline));
        world.asked_for(due).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        process.handle.release();
        let run = starting.await.unwrap().unwrap();
        assert!(matches!(patiently("the run", run.into_future()).await, Err(RunError::Stopped { .. })));
        patiently("the shutdown", stopping).await.unwrap();
        assert!(world.effects.keys().is_empty(), "a step began while the runtime was shutting down");
    }
}

#[tokio::test]
async fn the_store_is_free_when_a_shutdown_returns_whatever_else_is_being_asked() {
    let (world, store) = (World::default(), Arc::<Odd>::default());
    let runtime = world.builder().open_store(store.clone()).await.unwrap();
    let (pause, paused) = pause();
    *store.list.lock() = Some(pause);
    let listing = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.list(&RunFilter::new(), None, 1).await }
    });
    paused.made.await.unwrap();
    let mut shutdowns: Vec<_> =
        (0..2).map(|_| tokio::spawn(runtime.clone().shutdown(Duration::from_secs(30)))).collect();
    for _ in 0..200 {
        // Through the pool on which stores are closed, so that a shutdown that does not wait is over by then.
        tokio::task::spawn_blocking(tokio::task::yield_now).await.unwrap().await;
    }
    assert!(!shutdowns.iter().any(tokio::task::JoinHandle::is_finished), "the store is still held");
    paused.go_on.send(()).unwrap();
    listing.await.unwrap().unwrap();
    for shutdown in &mut shutdowns {
        patiently("a shutdown", shutdown).await.unwrap();
    }
    assert_eq!(Arc::strong_count(&store), 1, "the store is still held");
}

#[durable]
async fn regression_long_name(ctx: Context, bytes: usize) -> u32 {
    ctx.run(note, 1).named("x".repeat(bytes)).await
}

/// R14.
#[tokio::test]
async fn a_name_that_is_too_long_to_be_recorded_halts_the_run_before_the_step() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("fits", regression_long_name, 1_024).await.unwrap().await.unwrap(), 1);
    for bytes in [1_025, 17 << 20] {
        let run = process.runtime.start(format!("r{bytes}"), regression_long_name, bytes).await.unwrap();
        let halt = halted(run.await, HaltReason::Misuse);
        assert!(halt.message.contains("1024") && halt.message.len() < 4_096, "{}", halt.message.len());
    }
    assert_eq!(world.effects.keys().len(), 1, "a step ran whose outcome can't be recorded");
}

/// Says at length why it can't be written.
#[derive(Debug, Deserialize)]
struct Talkative;

impl Serialize for Talkative {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no ".repeat(6 << 20)))
    }
}

async fn talk(step: StepContext) -> Talkative {
    step.dependency::<Effects>().note(&step);
    Talkative
}

#[durable]
async fn regression_talkative_step(ctx: Context) -> u32 {
    ctx.run(talk).await;
    1
}

#[durable]
async fn regression_talkative_function(ctx: Context) -> Talkative {
    ctx.run(note, 1).await;
    Talkative
}

/// R14.
#[tokio::test]
async fn a_value_that_says_at_length_why_it_can_not_be_recorded_halts_its_run_for_good() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", regression_talkative_step, ()).await.unwrap();
    let halt = halted(run.await, HaltReason::Value);
    assert!(halt.message.contains("no no") && halt.message.contains("not repeated"), "{}", halt.message.len());
    process.runtime.resume("r").await.unwrap();
    halted(process.runtime.attach("r", regression_talkative_step).await.unwrap().await, HaltReason::Value);
    assert_eq!(world.effects.keys(), ["r:talk"], "the effect was repeated");
    let run = process.runtime.start("s", regression_talkative_function, ()).await.unwrap();
    halted(run.await.map(drop), HaltReason::Value);
    for id in ["r", "s"] {
        assert_eq!(process.runtime.get(id).await.unwrap().unwrap().status, RunStatus::Halted);
    }
}

#[test]
fn a_runtime_whose_tokio_runtime_has_ended_says_so_instead_of_hanging() {
    let world = World::default();
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = tokio();
    let (runtime, run) = first.block_on(async {
        let runtime = world.builder().open_store(Arc::new(world.disk.memory.clone())).await.unwrap();
        let run = runtime.start("r", regression_gated, 1).await.unwrap();
        world.gates.arrived("gated", 1).await;
        (runtime, run)
    });
    drop(first);
    tokio().block_on(async {
        let ended = patiently("the run", run.into_future()).await;
        assert!(matches!(ended, Err(RunError::Stopped { .. })), "{ended:?}");
        let refused = patiently("a start", runtime.start("s", regression_gated, 1)).await.unwrap_err();
        assert!(refused.to_string().contains("tokio"), "{refused}");
        patiently("a resume", runtime.resume("r")).await.unwrap_err();
        patiently("a deletion", runtime.delete("r")).await.unwrap_err();
        patiently("the shutdown", runtime.shutdown(Duration::ZERO)).await;
    });
}

#[tokio::test]
async fn a_limit_of_no_recoveries_lets_new_runs_begin() {
    let limits = Limits { recoveries_without_progress: 0, ..Limits::default() };
    let world = World { limits, ..World::default() };
    let process = world.open().await;
    let run = process.runtime.start("r", regression_gated, 1).await.unwrap();
    world.gates.open("gated");
    assert_eq!(run.await.unwrap(), 1);
}

#[tokio::test]
async fn a_run_that_ended_is_not_shown_as_interrupted() {
    if is_left_out("it counts commits until one fails") {
        return;
    }
    let world = World::default();
    // The last commit is written, but nobody is told.
    let process = world.open_failing(2, Loss::Acknowledgement).await;
    world.gates.open("gated");
    let run = process.runtime.start("r", regression_gated, 1).await.unwrap();
    halted(run.await, HaltReason::Storage);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt), (RunStatus::Completed, None));
    assert_eq!(process.runtime.list(&RunFilter::new(), None, 1).await.unwrap().runs[0].halt, None);
}

#[durable]
async fn breaks_after_a_step(ctx: Context) -> u32 {
    let number = ctx.run("step", async || 1).await;
    panic!("broken at {number}")
}

#[tokio::test]
async fn a_halt_shares_a_commit_with_what_was_recorded_before_it() {
    if is_left_out("a suspended run commits more often") {
        return;
    }
    for commits in 1..3 {
        let world = World::default();
        // The start is the first one.
        let process = world.open_failing(commits, Loss::Whole).await;
        let run = process.runtime.start("r", breaks_after_a_step, ()).await.unwrap();
        let expected = if commits == 1 { HaltReason::Storage } else { HaltReason::Panic };
        halted(patiently("the run", run.into_future()).await, expected);
    }
}

/// A clock that comes to the end of a wait when it is looked at for the `looks`-th time.
#[derive(Debug)]
struct Striking {
    looks_left: AtomicUsize,
    due: Timestamp,
}

impl Clock for Striking {
    fn now(&self) -> Timestamp {
        let looks_left = self.looks_left.load(Ordering::SeqCst);
        self.looks_left.store(looks_left.saturating_sub(1), Ordering::SeqCst);
        Timestamp(self.due.0 - u64::from(looks_left > 0))
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        self.looks_left.store(0, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

/// The disk of the test, and what it says of the run when its step is tried.
static STRUCK: Mutex<(Option<MemoryStore>, Vec<RunStatus>)> = Mutex::new((None, Vec::new()));

async fn refuse_once(step: StepContext) -> Result<u32, String> {
    let mut struck = STRUCK.lock();
    let head = struck.0.as_ref().unwrap().head(step.run_id()).unwrap();
    struck.1.push(head.unwrap().status);
    if step.attempt() == 1 { Err("busy".to_owned()) } else { Ok(step.attempt()) }
}

#[durable]
async fn regression_retried(ctx: Context) -> Result<u32, String> {
    ctx.run(refuse_once).retry(Retry::fixed(Duration::from_mins(1))).await
}

#[tokio::test]
async fn an_attempt_that_falls_due_while_it_is_asked_about_begins_when_that_is_recorded() {
    for looks in 0..8 {
        let world = World::default();
        *STRUCK.lock() = (Some(world.disk.memory.clone()), Vec::new());
        let process = world.open().await;
        process.runtime.start("r", regression_retried, ()).await.unwrap().id();
        let due = world.clock.now().after(Duration::from_mins(1));
        suspended(&process.runtime, "r").await;
        process.crash().await;
        let clock = Striking { looks_left: AtomicUsize::new(looks), due };
        let runtime = world.builder().clock(clock).open_store(world.disk.open()).await.unwrap();
        let run = runtime.attach("r", regression_retried).await.unwrap();
        assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(2));
        // A death would be counted as one (R12): only what is running is recovered.
        let statuses = STRUCK.lock().1.clone();
        assert_eq!(statuses, [RunStatus::Running; 2], "{looks} looks");
    }
}
