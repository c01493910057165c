//! One world from its beginning to its end: one process after the other, until the run has its result.

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use super::clock::{self, VirtualClock};
use super::disk::Disk;
use super::mishap::Crash;
use super::schedule::Schedule;
use super::script::NotSent;
use super::stage::{Death, Seen, Stage};
use super::{Exploration, World};
use crate::context::{Dependencies, Environment};
use crate::emission::Sinks;
use crate::engine::{Counters, Limits, load};
use crate::entropy::FixedEntropy;
use crate::error::{RunError, StartError};
use crate::function::DurableFunction;
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::journal::Journal;
use crate::payload::Payload;
use crate::run::Run;
use crate::runtime::Runtime;
use crate::store::Store;
use crate::testing::LossyStore;
use crate::value;

/// How long a process may wait for nothing but time; a run that waits longer never ends.
const PATIENCE: Duration = Duration::from_hours(24 * 366 * 100);

/// The most processes of one world.
const LIVES_MAX: u32 = 200;

/// A world that was played.
pub(super) struct Played<O> {
    pub(super) seen: Seen,
    pub(super) journal: Journal,
    /// What was recorded of it, and of the runs that it has started, before they continued as new.
    pub(super) parts: BTreeMap<RunId, Vec<Journal>>,
    /// Of the runs that it has started, and of theirs.
    pub(super) children: Vec<Journal>,
    /// What became of the run.
    pub(super) end: End<O>,
    pub(super) dependencies: Arc<Dependencies>,
    pub(super) lives: u32,
}

/// What became of a run.
pub(super) enum End<O> {
    Returned(O),
    Halted(Halt),
    /// It can't end, for this reason.
    Stuck(String),
}

/// How the life of a process ended.
enum LifeEnd<O> {
    Died(Death),
    StoreFailed,
    Over(End<O>),
}

impl<F: DurableFunction> Exploration<F> {
    /// Plays one world.
    pub(super) fn play(&self, schedule: Schedule) -> Played<F::Output> {
        let stage = Stage::new(self.id.clone(), schedule, Arc::clone(&self.script), self.codec);
        let mut store = LossyStore::default();
        let dependencies = Arc::new(self.dependencies());
        let end = loop {
            let ended = self.live(&stage, &store, &dependencies);
            match ended {
                LifeEnd::Died(Death::Endless) => {
                    break End::Stuck("the run goes on and on without an end".to_owned());
                }
                LifeEnd::Died(Death::Crash(Crash::Unsynced)) => store = store.power_cut(),
                LifeEnd::Died(Death::Crash(_)) | LifeEnd::StoreFailed => store = store.reopen(),
                LifeEnd::Over(end) => break end,
            }
            if stage.life() >= LIVES_MAX {
                break End::Stuck(format!("the run has not ended after {LIVES_MAX} lives"));
            }
        };
        let journal = journal(&store, &self.id);
        let children = children(&store, &self.id);
        let parts = std::mem::take(&mut *stage.parts.lock());
        Played { seen: stage.seen(), journal, parts, children, end, dependencies, lives: stage.life() }
    }

    /// One process, from opening the store to its death or the end of the run.
    fn live(&self, stage: &Arc<Stage>, store: &LossyStore, dependencies: &Arc<Dependencies>) -> LifeEnd<F::Output> {
        // One for each process: dropping it is what ends all that the process did.
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let tokio = tokio.unwrap_or_else(|error| panic!("a tokio runtime can't be built: {error}"));
        tokio.block_on(async {
            let clock = stage.be_born();
            let ended = {
                let over = Box::pin(self.process(clock, stage, store, dependencies));
                let death = Box::pin(stage.death());
                let time_is_up = Box::pin(select(clock::sleep(PATIENCE), Box::pin(stage.operator())));
                match select(death, select(over, time_is_up)).await {
                    Either::Left((death, _)) => LifeEnd::Died(death),
                    Either::Right((Either::Left((over, _)), _)) => over,
                    Either::Right((Either::Right((Either::Right(_), _)), _)) => LifeEnd::StoreFailed,
                    Either::Right((Either::Right((Either::Left(_), _)), _)) => {
                        LifeEnd::Over(End::Stuck("the run waits for something that never comes".to_owned()))
                    }
                }
            };
            stage.end_life();
            ended
        })
    }

    async fn process(
        &self,
        clock: VirtualClock,
        stage: &Arc<Stage>,
        store: &LossyStore,
        dependencies: &Arc<Dependencies>,
    ) -> LifeEnd<F::Output> {
        let environment = Environment {
            clock: Arc::new(clock),
            entropy: Arc::new(FixedEntropy),
            dependencies: Arc::clone(dependencies),
            sinks: Sinks::taking_all(),
            codec: self.codec,
            limits: self.world_limits(),
            counters: Counters::default(),
            suspends: stage.suspends(),
            director: Some(Arc::clone(stage) as _),
        };
        let disk = Disk::start(Arc::clone(stage), store.clone());
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let runtime = match Runtime::simulated(environment, &store, disk) {
            Ok(runtime) => runtime,
            Err(error) => return LifeEnd::Over(End::Stuck(format!("the store does not open again: {error}"))),
        };
        let ended = self.outcome(&runtime, stage).await;
        if let LifeEnd::Over(End::Returned(_)) = &ended {
            stage.note(format_args!("the run returned"));
        }
        ended
    }

    /// The limits of the test, but for that of crashes in a row: a world has as many of them as its schedule says.
    fn world_limits(&self) -> Limits {
        Limits { recoveries_without_progress: self.limits.recoveries_without_progress.max(LIVES_MAX), ..self.limits }
    }

    /// What becomes of the run, while others send to it.
    async fn result(&self, runtime: &Runtime, stage: &Stage, run: Run<F::Output>) -> Result<F::Output, RunError> {
        let sending = Box::pin(self.send(runtime, stage));
        match select(run.into_future(), sending).await {
            Either::Left((result, _)) => result,
            Either::Right((NotSent::Ended, run)) => run.await,
            Either::Right((NotSent::Failed(halt), _)) => Err(RunError::Halted { run: self.id.clone(), halt }),
        }
    }

    /// Sends what the script says, one after the other, each until it is acknowledged. Ends only if that fails.
    async fn send(&self, runtime: &Runtime, stage: &Stage) -> NotSent {
        for (number, sending) in self.script.sendings.iter().enumerate().skip(stage.sent_before()) {
            clock::sleep(stage.sender_waits(number, sending.after)).await;
            if sending.is_promise && !stage.may_settle(&sending.name) {
                stage.is_sent();
                continue;
            }
            let send = || (sending.send)(runtime.clone(), self.id.clone(), number);
            if let Err(error) = send().await {
                return error;
            }
            if stage.is_sent()
                && let Err(error) = send().await
            {
                return error;
            }
        }
        std::future::pending().await
    }

    async fn outcome(&self, runtime: &Runtime, stage: &Stage) -> LifeEnd<F::Output> {
        let encoded = Payload::encode(self.codec, &self.input, self.limits.payload_bytes);
        let input = match encoded.and_then(|input| input.decode::<F::Input>()) {
            Ok(input) => input,
            Err(error) => return LifeEnd::Over(End::Stuck(format!("the input can't be recorded: {error}"))),
        };
        match runtime.start(&self.id, self.function, input).await {
            Ok(run) => match self.result(runtime, stage, run).await {
                Ok(output) => self.ask_again(runtime, output).await,
                Err(RunError::Halted { halt, .. }) if halt.reason == HaltReason::Storage => LifeEnd::StoreFailed,
                Err(RunError::Halted { halt, .. }) => LifeEnd::Over(End::Halted(halt)),
                Err(error) => LifeEnd::Over(End::Stuck(error.to_string())),
            },
            Err(StartError::Store { .. }) => LifeEnd::StoreFailed,
            Err(error) => LifeEnd::Over(End::Stuck(error.to_string())),
        }
    }

    /// Whether a value, recorded and read, is not what it was.
    fn is_read_otherwise(&self, output: &F::Output) -> bool {
        let recorded = Payload::encode(self.codec, output, self.limits.payload_bytes);
        let read = recorded.and_then(|recorded| recorded.decode::<F::Output>());
        read.is_ok_and(|read| value::digest(&read).ok() != value::digest(output).ok())
    }

    /// A run that has returned is only asked for its result (R1).
    async fn ask_again(&self, runtime: &Runtime, output: F::Output) -> LifeEnd<F::Output> {
        let executed = runtime.stats().steps_executed;
        let again = match runtime.attach(&self.id, self.function).await {
            Ok(run) => run.await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let same = match &again {
            Ok(again) => value::digest(again).ok() == value::digest(&output).ok(),
            Err(_) => false,
        };
        if same && runtime.stats().steps_executed == executed {
            return LifeEnd::Over(End::Returned(output));
        }
        let why = match again {
            Err(why) => why,
            Ok(_) if self.is_read_otherwise(&output) => {
                "what it returns is read otherwise each time, as a `HashSet` in it is, which has no order: return a `BTreeSet`".to_owned()
            }
            Ok(_) => "another result, or it ran again".to_owned(),
        };
        LifeEnd::Over(End::Stuck(format!("asked again, the run that has returned does not give its result: {why}")))
    }
}

pub(super) fn journal(store: &LossyStore, run: &RunId) -> Journal {
    // The handle of the last life: that one was not ended.
    let loaded = load(store, run).unwrap_or_else(|error| panic!("the journal can't be read: {error}"));
    Journal { run: run.clone(), events: loaded.map(|loaded| loaded.events).unwrap_or_default() }
}

fn children(store: &LossyStore, run: &RunId) -> Vec<Journal> {
    let prefix = format!("{}:", run.as_str());
    let heads = store.list(None, Some(run), usize::MAX);
    let heads = heads.unwrap_or_else(|error| panic!("the runs can't be listed: {error}"));
    let children = heads.into_iter().filter(|head| head.run.as_str().starts_with(&prefix));
    children.map(|head| journal(store, &head.run)).collect()
}

impl<O> Played<O> {
    /// What was recorded of the run: all its parts, the last one last.
    pub(super) fn journals(&self) -> impl Iterator<Item = &Journal> {
        self.parts.get(&self.journal.run).into_iter().flatten().chain([&self.journal])
    }

    /// The world of a run that returned; otherwise what became of it.
    pub(super) fn world(self) -> Result<World<O>, String> {
        match self.end {
            End::Returned(output) => Ok(World {
                output,
                before: self.parts.get(&self.journal.run).cloned().unwrap_or_default(),
                journal: self.journal,
                seen: self.seen,
                dependencies: self.dependencies,
                lives: self.lives,
            }),
            End::Halted(halt) => Err(format!("the run halted: {halt}")),
            End::Stuck(why) => Err(why),
        }
    }
}
