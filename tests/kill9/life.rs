//! One life of the worker: opens the store, recovers, and works until it is killed or has done what it was told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use durable_runtime::store::SledStore;
use durable_runtime::testing::{FAIL_POINTS, on_fail_point};
use durable_runtime::{
    AdminError, DELIVERY_FUNCTION, Durability, HaltReason, OpenError, Queue, Run, RunError, RunFilter, RunStatus,
    RunSummary, Runtime, RuntimeBuilder,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::fact::{Execution, Fact, Known, Refusal, World};
use crate::forgetful::Forgetful;
use crate::order::{Order, PANIC, fulfil, tells_of_events};
use crate::repeating::lose_newest_records;

/// The argument that makes this program a worker; the next one is its [`Life`].
pub(crate) const ARGUMENT: &str = "--worker";

/// How often a worker resumes one run: once, and as often as others who wait for it do at the same time.
const HALTS_MAX: usize = 8;

/// How many runs are told in one fact.
const FOUND_AT_ONCE: usize = 100;

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) folder: PathBuf,
    pub(crate) store: StoreKind,
    /// Where it kills itself.
    pub(crate) dies_at: Option<Place>,
    /// The first order to start, and the one to stop at.
    pub(crate) orders: (u64, u64),
    /// How many runs it keeps going at once.
    pub(crate) lanes: usize,
    /// Whether to compact the store after each start.
    pub(crate) compacts: Compacts,
    /// Orders whose runs are deleted.
    pub(crate) deletes: BTreeSet<u64>,
    /// Ended runs after this one are visited again, so many of them.
    pub(crate) visit_after: Option<String>,
    pub(crate) visits: usize,
    /// How many facts it tells before it shuts down in order, whatever is still to do.
    pub(crate) facts: usize,
    /// Whether to wait to be killed once nothing is left to do.
    pub(crate) lingers: bool,
}

/// The so many-th time that a life comes to a fail point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) point: String,
    /// From 1.
    pub(crate) hit: usize,
}

/// How often a worker compacts its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compacts {
    Never,
    /// After its first start.
    Once,
    /// After each start.
    Always,
}

/// Which store a worker opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoreKind {
    /// Sled, synced.
    Synced,
    /// Sled, trusting the operating system.
    Buffered,
    /// Sled behind a mistake: see [`Forgetful`].
    Forgetful,
    /// Sled after another mistake: see [`lose_newest_records`].
    Repeating,
}

impl StoreKind {
    /// Opens a runtime on the store in `folder`.
    pub(crate) async fn open(self, runtime: RuntimeBuilder, folder: &Path) -> Result<Runtime, OpenError> {
        match self {
            Self::Synced => runtime.open(folder).await,
            Self::Buffered => runtime.durability(Durability::Buffered).open(folder).await,
            Self::Forgetful => {
                let store = SledStore::open(folder, Durability::Sync)?;
                runtime.open_store(Arc::new(Forgetful::new(store))).await
            }
            Self::Repeating => {
                let store = SledStore::open(folder, Durability::Sync)?;
                lose_newest_records(&store)?;
                runtime.open_store(Arc::new(store)).await
            }
        }
    }
}

/// The queue in which some of the orders are started.
const QUEUE: &str = "orders";

/// Lives the life that the argument describes.
pub(crate) fn live(life: &str) -> ExitCode {
    let life: Life = serde_json::from_str(life).expect("the parent describes a life");
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(PANIC) {
            report(panic);
        }
    }));
    let world = Arc::new(World::of_stdout(life.number, life.facts));
    let watched = FAIL_POINTS.iter().map(|point| (*point, watch(point, life.dies_at.as_ref(), &world)));
    let watched: Vec<(&str, Arc<AtomicUsize>)> = watched.collect();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = tokio.expect("threads for the worker").block_on(Worker::work(Arc::clone(&world), life));
    for (point, hits) in watched {
        world.tell(&Fact::Hits { point: point.to_owned(), hits: hits.load(Ordering::Relaxed) });
    }
    world.tell(&done);
    ExitCode::SUCCESS
}

/// Counts how often the fail point is reached, tells when that is for the first time, and dies there if that is the
/// place.
fn watch(point: &'static str, dies_at: Option<&Place>, world: &Arc<World>) -> Arc<AtomicUsize> {
    let (world, hits) = (Arc::clone(world), Arc::new(AtomicUsize::new(0)));
    let last = dies_at.filter(|place| place.point == point).map(|place| place.hit);
    let count = Arc::clone(&hits);
    on_fail_point(point, move || {
        let hit = count.fetch_add(1, Ordering::Relaxed) + 1;
        if hit == 1 {
            world.tell(&Fact::Reached { point: point.to_owned() });
        }
        if Some(hit) == last {
            world.tell(&Fact::Dying { point: point.to_owned(), hit });
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("a process may kill itself");
        }
    });
    hits
}

#[derive(Clone)]
struct Worker {
    world: Arc<World>,
    runtime: Runtime,
    /// The runtime is shutting down, and refuses.
    is_leaving: Arc<AtomicBool>,
}

impl Worker {
    /// Works, and returns how that ended.
    async fn work(world: Arc<World>, life: Life) -> Fact {
        world.tell(&Fact::Opening);
        let queue = Queue::new(QUEUE).concurrency(2);
        let builder = Runtime::builder().queue(queue).shared_dependency(Arc::clone(&world));
        let builder = tells_of_events(builder, Arc::clone(&world));
        let runtime = match life.store.open(builder, &life.folder).await {
            Ok(runtime) => runtime,
            Err(error) => return Fact::Failed { what: "open".to_owned(), error: error.to_string() },
        };
        let worker = Self { world, runtime, is_leaving: Arc::default() };
        let known = worker.tell_what_was_found().await;

        let mut tasks = JoinSet::new();
        worker.go_on_with(&known, &life, &mut tasks);
        let next = Arc::new(AtomicU64::new(life.orders.0));
        for _ in 0..life.lanes {
            let (worker, next) = (worker.clone(), Arc::clone(&next));
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= life.orders.1 || worker.is_leaving.load(Ordering::Relaxed) {
                        return;
                    }
                    let compacts = match life.compacts {
                        Compacts::Never => false,
                        Compacts::Once => number == life.orders.0,
                        Compacts::Always => true,
                    };
                    worker.clone().start(Order { number }, compacts).await;
                }
            });
        }
        let has_enough = tokio::select! {
            () = worker.world.enough() => true,
            () = worker.all_done_and_delivered(&mut tasks) => false,
        };
        if life.lingers && !has_enough {
            worker.world.tell(&Fact::Idle);
            std::future::pending::<()>().await;
        }
        worker.is_leaving.store(true, Ordering::Relaxed);
        worker.world.tell(&Fact::Leaving);
        let stopped = worker.runtime.clone().shutdown(Duration::from_secs(30)).await;
        // Those that wait for a result are told that there will be none.
        worker.all_done(&mut tasks).await;
        Fact::Done { interrupted: stopped.interrupted }
    }

    async fn tell_what_was_found(&self) -> Vec<RunSummary> {
        let runs = list_all(&self.runtime).await;
        let known = runs.iter().map(|run| {
            let order = Order::of_run_id(run.id.as_str()).expect("all other runs are orders");
            (order.number, known(run.status))
        });
        let known: Vec<_> = known.collect();
        for runs in known.chunks(FOUND_AT_ONCE) {
            self.world.tell(&Fact::Found { runs: runs.to_vec() });
        }
        let recovery = self.runtime.recovery();
        let skipped = recovery.skipped.iter().map(|(run, halt)| format!("{run}: {halt}")).collect();
        self.world.tell(&Fact::Opened { resumed: recovery.resumed, skipped });
        runs
    }

    /// Deletes some runs, waits for those that have not ended, and visits some that have.
    fn go_on_with(&self, known: &[RunSummary], life: &Life, tasks: &mut JoinSet<()>) {
        let is_deleted = |run: &&RunSummary| {
            Order::of_run_id(run.id.as_str()).is_some_and(|order| life.deletes.contains(&order.number))
        };
        let deleted: Vec<String> = known.iter().filter(is_deleted).map(|run| run.id.as_str().to_owned()).collect();
        let worker = self.clone();
        tasks.spawn(async move {
            for run in deleted {
                worker.delete(run).await;
            }
        });
        for run in known.iter().filter(|run| crate::life::known(run.status) != Known::Ended) {
            tasks.spawn(self.clone().attach(run.id.as_str().to_owned()));
        }
        let ended = known.iter().filter(|run| crate::life::known(run.status) == Known::Ended && !is_deleted(run));
        let visited = ended.filter(|run| Some(run.id.as_str()) > life.visit_after.as_deref()).take(life.visits);
        for (run, again) in visited.zip([true, false].into_iter().cycle()) {
            let run = run.id.as_str().to_owned();
            match Order::of_run_id(&run) {
                // The same id with the same input attaches (R1).
                Some(order) if again => drop(tasks.spawn(self.clone().start(order, false))),
                _ => drop(tasks.spawn(self.clone().attach(run))),
            }
        }
    }

    async fn all_done_and_delivered(&self, tasks: &mut JoinSet<()>) {
        self.all_done(tasks).await;
        let undelivered = RunFilter::new().function(DELIVERY_FUNCTION);
        while let Ok(page) = self.runtime.list(&undelivered, None, 1).await
            && !page.runs.is_empty()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn all_done(&self, tasks: &mut JoinSet<()>) {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                self.failed("a task of the worker", &error);
            }
        }
    }

    async fn start(self, order: Order, compacts: bool) {
        let run = order.run_id();
        let start = self.runtime.start(&run, fulfil, (order, Vec::new()));
        // Some begin in their turn, and of those some one at a time.
        let start = match order.number % 6 {
            0 => start.queue(QUEUE),
            3 => start.queue(QUEUE).key("one at a time"),
            _ => start,
        };
        match start.await {
            Ok(handle) => {
                self.world.tell(&Fact::Started { run: run.clone() });
                if compacts {
                    self.compact().await;
                }
                self.finished(run, handle).await;
            }
            Err(error) => self.failed(&format!("start {run}"), &error),
        }
    }

    async fn attach(self, run: String) {
        match self.runtime.attach(&run, fulfil).await {
            Ok(handle) => self.finished(run, handle).await,
            Err(error) => self.failed(&format!("attach {run}"), &error),
        }
    }

    /// Waits for a run's result; mends it, and lets it go on, where it is halted by its broken step.
    async fn finished(&self, run: String, mut handle: Run<Outcome>) {
        for _ in 0..HALTS_MAX {
            match handle.await {
                Ok(result) => return self.world.tell(&Fact::Finished { run, result }),
                Err(RunError::Halted { halt, .. }) if halt.reason == HaltReason::Panic => {
                    self.world.tell(&Fact::Halted { run: run.clone() });
                    self.world.mend(&run);
                    // Recorded in the store, since the run is not in memory; the order does not wait for it.
                    let told = self.runtime.signal(&run, "mended", &self.world.life).await;
                    if let Err(error) = told {
                        self.failed(&format!("signal {run}"), &error);
                    }
                    match self.runtime.resume(&run).await {
                        // Somebody else who waits for it was faster.
                        Ok(()) | Err(AdminError::Running { .. } | AdminError::Finished { .. }) => {}
                        Err(error) => return self.failed(&format!("resume {run}"), &error),
                    }
                }
                Err(error) => return self.failed(&format!("await {run}"), &error),
            }
            handle = match self.runtime.attach(&run, fulfil).await {
                Ok(handle) => handle,
                Err(error) => return self.failed(&format!("attach {run} again"), &error),
            };
        }
        let error = format!("it was halted {HALTS_MAX} times, and resumed");
        self.world.tell(&Fact::Failed { what: format!("resume {run}"), error });
    }

    async fn delete(&self, run: String) {
        self.world.tell(&Fact::Deleting { run: run.clone() });
        match self.runtime.delete(&run).await {
            Ok(existed) => self.world.tell(&Fact::Deleted { run, existed }),
            Err(error) => self.failed(&format!("delete {run}"), &error),
        }
    }

    async fn compact(&self) {
        self.world.tell(&Fact::Compacting);
        match self.runtime.compact().await {
            Ok(()) => self.world.tell(&Fact::Compacted),
            Err(error) => self.failed("compact", &error),
        }
    }

    /// A runtime that is shutting down may refuse anything.
    fn failed(&self, what: &str, error: &dyn std::error::Error) {
        if !self.is_leaving.load(Ordering::Relaxed) {
            self.world.tell(&Fact::Failed { what: what.to_owned(), error: error.to_string() });
        }
    }
}

type Outcome = Result<Vec<Execution>, Refusal>;

fn known(status: RunStatus) -> Known {
    match status {
        RunStatus::Running | RunStatus::Suspended => Known::Running,
        RunStatus::Halted => Known::Halted,
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => Known::Ended,
    }
}

/// All runs of orders that the store knows.
pub(crate) async fn list_all(runtime: &Runtime) -> Vec<RunSummary> {
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let listed = runtime.list(&RunFilter::new(), after.as_ref(), usize::MAX).await;
        let page = listed.expect("the store can be listed");
        runs.extend(page.runs.into_iter().filter(|run| run.function.as_deref() != Some(DELIVERY_FUNCTION)));
        after = page.next;
        if after.is_none() {
            return runs;
        }
    }
}
