//! The parent: starts one worker after the other, listens, and kills.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use durable_runtime::Durability;
use durable_runtime::testing::Random;

use crate::fact::Fact;
use crate::ledger::{Ledger, Violation};
use crate::life::{ARGUMENT, Life};
use crate::order::Order;

/// A worker that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How many orders a worker starts that is to come to an end.
const ORDERS_OF_A_WHOLE_LIFE: u64 = 8;

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
    pub(crate) durability: Durability,
    /// Whether the workers' store breaks its word.
    pub(crate) forgetful: bool,
    pub(crate) kills: u32,
    pub(crate) folder: PathBuf,
}

/// When a worker was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// While it opened the store.
    Opening,
    /// While it recovered what the life before had left.
    Early,
    /// In the middle of things.
    AtWork,
    /// When everything was done and the store was tidying itself up.
    Idle,
}

/// After which words a worker is killed, and how much later.
struct Moment {
    death: Death,
    /// How many facts it may still tell, once it has told `Opening`, or `Idle`.
    facts: usize,
    /// How long to listen for a further fact.
    patience: Duration,
    /// How often to give way to other threads before the kill.
    yields: usize,
}

impl Moment {
    fn of(random: &mut Random) -> Self {
        let (death, facts) = match random.below(10) {
            0 | 1 => (Death::Opening, 0),
            2 | 3 => (Death::Early, 1 + random.below(20)),
            4 => (Death::Idle, 0),
            _ => (Death::AtWork, 20 + random.below(400)),
        };
        // Tidying begins when nothing was committed for 50 ms.
        let patience = if death == Death::Idle { 20 + random.below(100) } else { 0 };
        let patience = Duration::from_millis(patience as u64);
        let yields_max = if random.one_in(2) { 10_000 } else { 50 };
        Self { death, facts, patience, yields: random.below(yields_max) }
    }
}

impl Trial {
    /// Lives, kills, and lives again; the last life comes to an end. Returns what was heard.
    pub(crate) fn run(&self) -> Result<(Ledger, Vec<Death>), Violation> {
        let mut random = Random::new(self.seed);
        let mut ledger = Ledger::default();
        let mut deaths = Vec::new();
        for number in 1..=self.kills {
            let moment = Moment::of(&mut random);
            let life = self.life(number, &ledger, &mut random, Some(moment.death));
            Worker::start(&life)?.kill_at(&moment, &mut ledger)?;
            deaths.push(moment.death);
        }
        let last = self.life(self.kills + 1, &ledger, &mut random, None);
        Worker::start(&last)?.let_end(&mut ledger)?;
        match ledger.runs.iter().find(|(_, run)| run.result.is_none()) {
            Some((run, _)) => Err(Violation::BrokenPromise(format!("{run} was acknowledged, but never finished"))),
            None => Ok((ledger, deaths)),
        }
    }

    fn life(&self, number: u32, ledger: &Ledger, random: &mut Random, death: Option<Death>) -> Life {
        let first = ledger.first_unknown_order();
        let end = match death {
            None | Some(Death::Idle) => first + ORDERS_OF_A_WHOLE_LIFE,
            Some(Death::Opening | Death::Early | Death::AtWork) => u64::MAX,
        };
        let known = usize::try_from(first).unwrap_or(usize::MAX);
        Life {
            number,
            folder: self.folder.clone(),
            buffered: self.durability == Durability::Buffered,
            forgetful: self.forgetful,
            orders: (first, end),
            compacts: random.one_in(3),
            visit_after: (known > 0).then(|| Order { number: random.below(known) as u64 }.run_id()),
            lingers: death == Some(Death::Idle),
        }
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
    fn kill_at(mut self, moment: &Moment, ledger: &mut Ledger) -> Result<(), Violation> {
        let trigger = if moment.death == Death::Idle { Fact::Idle } else { Fact::Opening };
        let mut left = None;
        while left != Some(0) {
            let Some(fact) = self.next(ledger)? else { break };
            left = match left {
                Some(left) => Some(left - 1),
                None => (fact == trigger).then_some(moment.facts),
            };
        }
        if !moment.patience.is_zero()
            && let Ok(fact) = self.facts.recv_timeout(moment.patience)
        {
            self.heard(fact, ledger)?;
        }
        (0..moment.yields).for_each(|_| std::thread::yield_now());
        let status = self.kill()?;
        while self.next(ledger)?.is_some() {}
        if status.signal() == Some(KILLED) {
            Ok(())
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
