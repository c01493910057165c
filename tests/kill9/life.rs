//! One life of the worker: opens the store, recovers, and works until it is killed or has done what it was told.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_runtime::store::SledStore;
use durable_runtime::{Durability, OpenError, RunStatus, RunSummary, Runtime, RuntimeBuilder};
use serde::{Deserialize, Serialize};

use crate::fact::{Fact, World};
use crate::forgetful::Forgetful;
use crate::order::{Order, fulfil};

/// The argument that makes this program a worker; the next one is its [`Life`].
pub(crate) const ARGUMENT: &str = "--worker";

/// How many runs a worker keeps going at once.
const LANES: usize = 8;

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) folder: PathBuf,
    pub(crate) store: StoreKind,
    /// The first order to start, and the one to stop at.
    pub(crate) orders: (u64, u64),
    /// Whether to compact the store after each start.
    pub(crate) compacts: bool,
    /// Ended runs after this one are visited again, so many of them.
    pub(crate) visit_after: Option<String>,
    pub(crate) visits: usize,
    /// Whether to wait to be killed once nothing is left to do.
    pub(crate) lingers: bool,
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
        }
    }
}

/// Lives the life that the argument describes.
pub(crate) fn live(life: &str) -> ExitCode {
    let life: Life = serde_json::from_str(life).expect("the parent describes a life");
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.expect("threads for the worker").block_on(Worker::work(life));
    ExitCode::SUCCESS
}

#[derive(Clone)]
struct Worker {
    world: Arc<World>,
    runtime: Runtime,
}

impl Worker {
    async fn work(life: Life) {
        let world = Arc::new(World::of_stdout(life.number));
        world.tell(&Fact::Opening);
        let builder = Runtime::builder().shared_dependency(Arc::clone(&world));
        let runtime = match life.store.open(builder, &life.folder).await {
            Ok(runtime) => runtime,
            Err(error) => return world.tell(&Fact::Failed { what: "open".to_owned(), error: error.to_string() }),
        };
        let worker = Self { world, runtime };
        let known = list_all(&worker.runtime).await;
        let recovery = worker.runtime.recovery();
        let skipped = recovery.skipped.iter().map(|(run, halt)| format!("{run}: {halt}")).collect();
        worker.world.tell(&Fact::Opened { known: known.len(), resumed: recovery.resumed, skipped });

        let mut tasks = tokio::task::JoinSet::new();
        for run in &known {
            if run.status == RunStatus::Running {
                tasks.spawn(worker.clone().attach(run.id.as_str().to_owned()));
            }
        }
        let ended = known.iter().filter(|run| run.status != RunStatus::Running);
        let visited = ended.filter(|run| Some(run.id.as_str()) > life.visit_after.as_deref()).take(life.visits);
        for (run, again) in visited.zip([true, false].into_iter().cycle()) {
            let run = run.id.as_str().to_owned();
            match Order::of_run_id(&run) {
                // The same id with the same input attaches (R1).
                Some(order) if again => drop(tasks.spawn(worker.clone().start(order, false))),
                _ => drop(tasks.spawn(worker.clone().attach(run))),
            }
        }
        let next = Arc::new(AtomicU64::new(life.orders.0));
        for _ in 0..LANES {
            let (worker, next) = (worker.clone(), Arc::clone(&next));
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= life.orders.1 {
                        return;
                    }
                    worker.clone().start(Order { number }, life.compacts).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                worker.failed("a task of the worker", &error);
            }
        }
        if life.lingers {
            worker.world.tell(&Fact::Idle);
            std::future::pending::<()>().await;
        }
        worker.runtime.shutdown(Duration::from_secs(10)).await;
        worker.world.tell(&Fact::Done);
    }

    async fn start(self, order: Order, compacts: bool) {
        let run = order.run_id();
        match self.runtime.start(&run, fulfil, order).await {
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

    async fn finished<T>(&self, run: String, handle: durable_runtime::Run<T>)
    where
        durable_runtime::Run<T>: IntoFuture<Output = Result<Outcome, durable_runtime::RunError>>,
    {
        match handle.await {
            Ok(result) => self.world.tell(&Fact::Finished { run, result }),
            Err(error) => self.failed(&format!("await {run}"), &error),
        }
    }

    async fn compact(&self) {
        self.world.tell(&Fact::Compacting);
        match self.runtime.compact().await {
            Ok(()) => self.world.tell(&Fact::Compacted),
            Err(error) => self.failed("compact", &error),
        }
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) {
        self.world.tell(&Fact::Failed { what: what.to_owned(), error: error.to_string() });
    }
}

type Outcome = Result<Vec<crate::fact::Execution>, crate::fact::Refusal>;

/// All runs that the store knows.
pub(crate) async fn list_all(runtime: &Runtime) -> Vec<RunSummary> {
    let mut runs: Vec<RunSummary> = Vec::new();
    loop {
        let after = runs.last().map(|run| run.id.clone());
        let page = runtime.list(None, after.as_ref(), usize::MAX).await.expect("the store can be listed");
        if page.is_empty() {
            return runs;
        }
        runs.extend(page);
    }
}
