//! The parent: starts one worker after the other, listens, and kills.

use std::collections::BTreeMap;
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
use crate::life::{ARGUMENT, Life, StoreKind};
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
    pub(crate) seed: u64,
    pub(crate) store: StoreKind,
    pub(crate) folder: PathBuf,
}

/// What a trial's workers told, and how they died.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) ledger: Ledger,
    pub(crate) deaths: Vec<Death>,
}

/// When a worker was killed.
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
struct Moment {
    death: Death,
    /// The first fact to wait for.
    trigger: Fact,
    /// How many further facts to wait for.
    facts: usize,
    /// How long to listen for yet another one: so the kill comes at any time between two facts, too.
    patience: Duration,
}

impl Moment {
    fn of(random: &mut Random) -> Self {
        let death = match random.below(10) {
            0 | 1 => Death::Opening,
            2 | 3 => Death::Early,
            4 => Death::Idle,
            5 => Death::Compacting,
            _ => Death::AtWork,
        };
        Self::of_death(death, random)
    }

    fn of_death(death: Death, random: &mut Random) -> Self {
        let (trigger, facts, microseconds_max) = match death {
            // The files are made first, then sled takes its time, then its first records are written.
            Death::Opening => (Fact::Opening, 0, [5_000, 50_000, 400_000][random.below(3)]),
            Death::Early => (Fact::Opening, 1 + random.below(20), 2_000),
            Death::AtWork => (Fact::Opening, 20 + random.below(500), 2_000),
            Death::Compacting => (Fact::Compacting, random.below(10), 20_000),
            // Tidying begins when nothing was committed for 50 ms.
            Death::Idle => (Fact::Idle, 0, 120_000),
        };
        Self { death, trigger, facts, patience: Duration::from_micros(random.below(microseconds_max) as u64) }
    }
}

impl Trial {
    pub(crate) fn new(seed: u64, store: StoreKind, folder: PathBuf) -> Self {
        Self { seed, store, folder }
    }

    /// Lives, kills, and lives again, so many times; the last life comes to an end. Returns what was heard.
    pub(crate) fn run(&self, kills: usize) -> Result<Told, Violation> {
        let mut random = Random::new(self.seed);
        let mut told = Told { ledger: Ledger::default(), deaths: Vec::new() };
        for number in (1..).take(kills) {
            let moment = Moment::of(&mut random);
            let life = self.life(number, &told.ledger, &mut random, Some(moment.death));
            told.deaths.push(Worker::start(&life)?.kill_at(&moment, &mut told.ledger)?);
        }
        let last = self.life(u32::MAX, &told.ledger, &mut random, None);
        Worker::start(&last)?.let_end(&mut told.ledger)?;
        match told.ledger.runs.iter().find(|(_, run)| run.result.is_none()) {
            Some((run, _)) => Err(Violation::BrokenPromise(format!("{run} was acknowledged, but never finished"))),
            None => Ok(told),
        }
    }

    /// Kills the first life while it opens the store. Whether that had succeeded is told by the death.
    pub(crate) fn kill_while_opening(&self) -> Result<Told, Violation> {
        let mut random = Random::new(self.seed);
        let mut ledger = Ledger::default();
        let moment = Moment::of_death(Death::Opening, &mut random);
        let mut life = self.life(1, &ledger, &mut random, Some(moment.death));
        // Starts nothing, should it come so far.
        life.orders = (0, 0);
        life.lingers = true;
        let death = Worker::start(&life)?.kill_at(&moment, &mut ledger)?;
        Ok(Told { ledger, deaths: vec![death] })
    }

    fn life(&self, number: u32, ledger: &Ledger, random: &mut Random, death: Option<Death>) -> Life {
        let first = ledger.first_unknown_order();
        let end = match death {
            None | Some(Death::Idle) => first + ORDERS_OF_A_WHOLE_LIFE,
            Some(Death::Opening | Death::Early | Death::AtWork | Death::Compacting) => u64::MAX,
        };
        let random_order = Order { number: random.below(usize::try_from(first).unwrap_or(usize::MAX)) as u64 };
        Life {
            number,
            folder: self.folder.clone(),
            store: self.store,
            orders: (first, end),
            compacts: death == Some(Death::Compacting) || random.one_in(4),
            // At the end all are visited: a run may have finished, and the worker not have lived to say so.
            visit_after: death.map(|_| random_order.run_id()),
            visits: death.map_or(usize::MAX, |_| VISITS),
            lingers: death == Some(Death::Idle),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut deaths = BTreeMap::<Death, usize>::new();
        self.deaths.iter().for_each(|death| *deaths.entry(*death).or_default() += 1);
        writeln!(f, "{} kills {deaths:?}, {} lives", self.deaths.len(), self.deaths.len() + 1)?;
        write!(f, "  told:  {}", self.ledger.counts())
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
    fn next(&self, ledger: &mut Ledger) -> Result<Option<Fact>, Violation> {
        match self.facts.recv_timeout(SILENCE_MAX) {
            Ok(fact) => self.heard(fact, ledger).map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(Violation::Trouble(format!("life {} said nothing for {SILENCE_MAX:?}", self.life)))
            }
        }
    }

    fn heard(&self, fact: Result<Fact, String>, ledger: &mut Ledger) -> Result<Fact, Violation> {
        let fact = fact.map_err(|line| Violation::Trouble(format!("life {} said {line:?}", self.life)))?;
        ledger.hear(self.life, fact.clone())?;
        Ok(fact)
    }

    /// Listens until the moment has come, kills, and hears what was still in the pipe: it was told before the kill.
    /// Returns in the middle of what the worker died.
    fn kill_at(mut self, moment: &Moment, ledger: &mut Ledger) -> Result<Death, Violation> {
        let mut death = moment.death;
        let mut left = None;
        while left != Some(0) {
            let Some(fact) = self.next(ledger)? else { break };
            left = match left {
                Some(left) => Some(left - 1),
                None => (fact == moment.trigger).then_some(moment.facts),
            };
        }
        if let Ok(fact) = self.facts.recv_timeout(moment.patience) {
            self.heard(fact, ledger)?;
            if death == Death::Opening {
                death = Death::Early;
            }
        }
        let status = self.kill()?;
        while let Some(fact) = self.next(ledger)? {
            if death == Death::Opening && matches!(fact, Fact::Opened { .. }) {
                death = Death::Early;
            }
        }
        if status.signal() == Some(KILLED) {
            Ok(death)
        } else {
            Err(Violation::Trouble(format!("life {} ended by itself before it was killed: {status}", self.life)))
        }
    }

    /// Listens until the worker has come to an end by itself.
    fn let_end(mut self, ledger: &mut Ledger) -> Result<(), Violation> {
        let mut is_done = false;
        while let Some(fact) = self.next(ledger)? {
            is_done = fact == Fact::Done;
        }
        let status = self.process.wait();
        match status {
            Ok(status) if status.success() && is_done => Ok(()),
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
