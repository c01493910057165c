//! The parent: starts one worker after the other, listens, and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use durable_runtime::testing::Random;

use crate::fact::Fact;
use crate::ledger::{Ledger, Violation};
use crate::life::{ARGUMENT, Compacts, Life, Place, StoreKind};
use crate::order::Order;

/// A worker that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// How many orders a worker starts that is to come to an end.
const ORDERS_OF_A_WHOLE_LIFE: u64 = 8;

/// How many ended runs a worker visits again.
const VISITS: usize = 6;

/// `SIGKILL`.
const KILLED: i32 = 9;

/// The seed to use: `DURABLE_SEED`, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var("DURABLE_SEED") {
        Ok(seed) => seed.parse().expect("DURABLE_SEED is a number"),
        Err(_) => std::hash::RandomState::new().build_hasher().finish(),
    }
}

/// Many lives on one store.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) store: StoreKind,
    pub(crate) folder: PathBuf,
    pub(crate) random: Random,
    lives: u32,
    pub(crate) told: Told,
}

/// What a trial's workers told, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) ledger: Ledger,
    pub(crate) ends: Vec<End>,
    /// The fail points that were reached.
    pub(crate) reached: BTreeSet<String>,
    /// How often each was reached in the newest life that came to its end.
    pub(crate) hits: BTreeMap<String, usize>,
    /// Those where a worker died.
    pub(crate) died_at: BTreeSet<Place>,
}

/// How a life is to end.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// Killed from outside.
    Killed(Moment),
    /// It kills itself at a fail point, or comes to its end before.
    AtPlace(Place),
    /// It shuts down in order after so many facts.
    InOrder(usize),
    /// It shuts down in order when all runs have ended.
    Whole,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It was killed from outside, in the middle of this.
    Killed(Death),
    /// It killed itself at a fail point.
    AtPlace,
    /// It came to its end.
    InOrder,
}

/// When a worker was killed from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Death {
    /// While it opened the store.
    Opening,
    /// While it recovered what the life before had left.
    Early,
    /// In the middle of things.
    AtWork,
    /// While the store was being compacted, or right after it.
    Compacting,
    /// When everything was done and the store was tidying itself up.
    Idle,
}

/// After which words a worker is killed, and how much later.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    death: Death,
    /// The first fact to wait for.
    trigger: Fact,
    /// How many further facts to wait for.
    facts: usize,
    /// How long to listen for yet another one: so the kill comes at any time between two facts, too.
    patience: Duration,
}

impl Moment {
    pub(crate) fn of(random: &mut Random) -> Self {
        let death = match random.below(10) {
            0 | 1 => Death::Opening,
            2 | 3 => Death::Early,
            4 => Death::Idle,
            5 => Death::Compacting,
            _ => Death::AtWork,
        };
        Self::of_death(death, random)
    }

    pub(crate) fn of_death(death: Death, random: &mut Random) -> Self {
        let (trigger, facts, microseconds_max) = match death {
            // The files are made first, then sled takes its time, then its first records are written.
            Death::Opening => (Fact::Opening, random.below(24), [5_000, 50_000, 400_000][random.below(3)]),
            Death::Early => (Fact::Opening, 8 + random.below(30), 2_000),
            Death::AtWork => (Fact::Opening, 40 + random.below(500), 2_000),
            Death::Compacting => (Fact::Compacting, random.below(20), 20_000),
            // Tidying begins when nothing was committed for 50 ms.
            Death::Idle => (Fact::Idle, 0, 120_000),
        };
        Self { death, trigger, facts, patience: Duration::from_micros(random.below(microseconds_max) as u64) }
    }
}

impl Trial {
    pub(crate) fn new(seed: u64, store: StoreKind, folder: PathBuf) -> Self {
        Self { store, folder, random: Random::new(seed), lives: 0, told: Told::default() }
    }

    /// Lives, kills, and lives again, so many times; the last life comes to an end. What was heard is in `told`.
    pub(crate) fn run(&mut self, kills: usize) -> Result<(), Violation> {
        for _ in 0..kills {
            let moment = Moment::of(&mut self.random);
            self.live(&Ending::Killed(moment), |_| {})?;
        }
        self.live_to_the_end()
    }

    /// A life after which all runs have ended.
    pub(crate) fn live_to_the_end(&mut self) -> Result<(), Violation> {
        self.live(&Ending::Whole, |_| {})?;
        match self.told.ledger.runs.iter().find(|(_, run)| run.result.is_none()) {
            Some((run, _)) => Err(Violation::BrokenPromise(format!("{run} was acknowledged, but never finished"))),
            None => Ok(()),
        }
    }

    /// One life, as `change` makes it, and how it ended.
    pub(crate) fn live(&mut self, ending: &Ending, change: impl FnOnce(&mut Life)) -> Result<End, Violation> {
        let mut life = self.life(ending);
        change(&mut life);
        let mut worker = Worker::start(&life)?;
        let end = match ending {
            Ending::Killed(moment) => worker.kill_at(moment, &mut self.told).map(End::Killed)?,
            Ending::AtPlace(place) => worker.let_die(place, &mut self.told)?,
            Ending::InOrder(_) | Ending::Whole => worker.let_end(&mut self.told)?,
        };
        self.told.ends.push(end);
        Ok(end)
    }

    fn life(&mut self, ending: &Ending) -> Life {
        self.lives += 1;
        let first = self.told.ledger.first_unknown_order();
        let random_order = Order { number: self.random.below(usize::try_from(first).unwrap_or(usize::MAX)) as u64 };
        let whole = first + ORDERS_OF_A_WHOLE_LIFE;
        let (last, compacts) = match ending {
            Ending::Killed(Moment { death: Death::Compacting, .. }) => (u64::MAX, Compacts::Always),
            Ending::Killed(Moment { death: Death::Idle, .. }) | Ending::AtPlace(_) | Ending::Whole => {
                (whole, Compacts::Once)
            }
            Ending::Killed(_) | Ending::InOrder(_) => (u64::MAX, Compacts::Once),
        };
        let is_whole = matches!(ending, Ending::Whole);
        Life {
            number: self.lives,
            folder: self.folder.clone(),
            store: self.store,
            dies_at: if let Ending::AtPlace(place) = ending { Some(place.clone()) } else { None },
            orders: (first, last),
            lanes: 8,
            compacts,
            deletes: self.told.ledger.deletable().collect(),
            // At the end all are visited: a run may have finished, and the worker not have lived to say so.
            visit_after: (!is_whole).then(|| random_order.run_id()),
            visits: if is_whole { usize::MAX } else { VISITS },
            facts: if let Ending::InOrder(facts) = ending { *facts } else { usize::MAX },
            lingers: matches!(ending, Ending::Killed(Moment { death: Death::Idle, .. })),
        }
    }
}

impl Told {
    fn hear(&mut self, life: u32, fact: Fact) -> Result<(), Violation> {
        match &fact {
            Fact::Reached { point } => drop(self.reached.insert(point.clone())),
            Fact::Hits { point, hits } => drop(self.hits.insert(point.clone(), *hits)),
            _ => {}
        }
        self.ledger.hear(life, fact)
    }

    /// At how many fail points a worker died.
    pub(crate) fn points_died_at(&self) -> usize {
        self.died_at.iter().map(|place| &*place.point).collect::<BTreeSet<&str>>().len()
    }

    /// How many lives were ended by a kill.
    pub(crate) fn kills(&self) -> usize {
        self.ends.iter().filter(|end| **end != End::InOrder).count()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ends = BTreeMap::<End, usize>::new();
        self.ends.iter().for_each(|end| *ends.entry(*end).or_default() += 1);
        writeln!(f, "{} kills in {} lives {ends:?}", self.kills(), self.ends.len())?;
        writeln!(f, "  {} fail points reached, died at {} of them", self.reached.len(), self.points_died_at())?;
        write!(f, "  {}", self.ledger.counts())
    }
}

/// A worker process and what comes out of its pipe. Dropping it kills it.
struct Worker {
    life: u32,
    process: Child,
    facts: Receiver<Result<Fact, String>>,
    listener: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(life: &Life) -> Result<Self, Violation> {
        let trouble = |error: std::io::Error| Violation::Trouble(format!("no worker could be started: {error}"));
        let program = std::env::current_exe().map_err(trouble)?;
        let argument = serde_json::to_string(life).map_err(|error| trouble(error.into()))?;
        let mut process = Command::new(program)
            .args([ARGUMENT, &argument])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(trouble)?;
        let pipe = process.stdout.take().ok_or_else(|| Violation::Trouble("a worker without a pipe".to_owned()))?;
        let (sender, facts) = channel();
        let listener = std::thread::spawn(move || {
            for fact in told(pipe) {
                if sender.send(fact).is_err() {
                    return;
                }
            }
        });
        Ok(Self { life: life.number, process, facts, listener: Some(listener) })
    }

    /// Waits for the next fact; `None` at the end of the pipe.
    fn next(&self, told: &mut Told) -> Result<Option<Fact>, Violation> {
        match self.facts.recv_timeout(SILENCE_MAX) {
            Ok(fact) => self.heard(fact, told).map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(Violation::Trouble(format!("life {} said nothing for {SILENCE_MAX:?}", self.life)))
            }
        }
    }

    fn heard(&self, fact: Result<Fact, String>, told: &mut Told) -> Result<Fact, Violation> {
        let fact = fact.map_err(|line| Violation::Trouble(format!("life {} said {line:?}", self.life)))?;
        told.hear(self.life, fact.clone())?;
        Ok(fact)
    }

    /// Listens until the moment has come, kills, and hears what was still in the pipe: it was told before the kill.
    /// Returns in the middle of what the worker died.
    fn kill_at(&mut self, moment: &Moment, told: &mut Told) -> Result<Death, Violation> {
        let mut has_opened = false;
        let mut left = None;
        while left != Some(0) {
            let Some(fact) = self.next(told)? else { break };
            has_opened |= matches!(fact, Fact::Opened { .. });
            left = match left {
                Some(left) => Some(left - 1),
                None => (fact == moment.trigger).then_some(moment.facts),
            };
        }
        if let Ok(fact) = self.facts.recv_timeout(moment.patience) {
            has_opened |= matches!(self.heard(fact, told)?, Fact::Opened { .. });
        }
        let status = self.kill()?;
        while let Some(fact) = self.next(told)? {
            has_opened |= matches!(fact, Fact::Opened { .. });
        }
        match moment.death {
            _ if status.signal() != Some(KILLED) => {
                Err(Violation::Trouble(format!("life {} ended by itself before it was killed: {status}", self.life)))
            }
            Death::Opening if has_opened => Ok(Death::Early),
            death => Ok(death),
        }
    }

    /// Listens until the worker has killed itself at this place, or has come to an end before.
    fn let_die(&mut self, place: &Place, told: &mut Told) -> Result<End, Violation> {
        let (mut is_done, mut last) = (false, None);
        while let Some(fact) = self.next(told)? {
            match fact {
                Fact::Dying { point, hit } => last = Some(Place { point, hit }),
                Fact::Done { .. } => is_done = true,
                _ => {}
            }
        }
        match self.process.wait() {
            Ok(status) if status.signal() == Some(KILLED) && last.as_ref() == Some(place) => {
                told.died_at.insert(place.clone());
                Ok(End::AtPlace)
            }
            Ok(status) if status.success() && is_done && last.is_none() => Ok(End::InOrder),
            other => {
                Err(Violation::Trouble(format!("life {} was to die at {place:?} and ended with {other:?}", self.life)))
            }
        }
    }

    /// Listens until the worker has come to an end by itself.
    fn let_end(&mut self, told: &mut Told) -> Result<End, Violation> {
        let mut is_done = false;
        while let Some(fact) = self.next(told)? {
            is_done |= matches!(fact, Fact::Done { .. });
        }
        match self.process.wait() {
            Ok(status) if status.success() && is_done => Ok(End::InOrder),
            other => Err(Violation::Trouble(format!("life {} did not come to its end: {other:?}", self.life))),
        }
    }

    fn kill(&mut self) -> Result<ExitStatus, Violation> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map_err(|error| Violation::Trouble(format!("life {} could not be killed: {error}", self.life)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        drop(self.process.kill());
        drop(self.process.wait());
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

/// The facts of a pipe until its end; `Err` is a line that is none.
fn told(pipe: ChildStdout) -> impl Iterator<Item = Result<Fact, String>> {
    let mut pipe = BufReader::new(pipe);
    std::iter::from_fn(move || {
        let mut line = String::new();
        match pipe.read_line(&mut line) {
            Ok(0) => None,
            // A line without an end would have been torn by the kill, which short writes to a pipe never are.
            Ok(_) if line.ends_with('\n') => Some(serde_json::from_str(&line).map_err(|_| line)),
            Ok(_) => Some(Err(line)),
            Err(error) => Some(Err(error.to_string())),
        }
    })
}
