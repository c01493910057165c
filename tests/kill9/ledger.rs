//! What the parent heard, over all lives, and what must hold of it. Knows nothing of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::fact::{Execution, Fact, Refusal};
use crate::order::Order;

/// Why the trial failed.
#[derive(Debug, Clone)]
pub(crate) enum Violation {
    /// Something that was acknowledged did not hold.
    BrokenPromise(String),
    /// A worker did not do as it was told, so nothing can be said.
    Trouble(String),
}

impl Violation {
    pub(crate) fn is_broken_promise(&self) -> bool {
        matches!(self, Self::BrokenPromise(_))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenPromise(what) => write!(f, "broken promise: {what}"),
            Self::Trouble(what) => write!(f, "trouble: {what}"),
        }
    }
}

fn broken<T>(what: String) -> Result<T, Violation> {
    Err(Violation::BrokenPromise(what))
}

/// Everything that was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) runs: BTreeMap<String, Run>,
    recovered: usize,
    facts: usize,
    compactions: usize,
    visits: usize,
    repeated: usize,
}

/// What was heard of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) is_started: bool,
    pub(crate) result: Option<Result<Vec<Execution>, Refusal>>,
    /// By key within the run.
    pub(crate) steps: BTreeMap<String, Step>,
}

/// What was heard of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// In the order they were heard; also those that a kill made nobody remember.
    pub(crate) executions: Vec<Execution>,
    /// The execution whose outcome is acknowledged.
    pub(crate) outcome: Option<Execution>,
}

/// How much was heard.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) facts: usize,
    pub(crate) started: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) checkpoints: usize,
    pub(crate) executions: usize,
    /// Attempts that failed, were recorded, and were followed by another one.
    pub(crate) retried: usize,
    /// Attempts that ran again, because a kill came before their record.
    pub(crate) repeated: usize,
    /// Unfinished runs found when a store was opened.
    pub(crate) recovered: usize,
    pub(crate) visits: usize,
    pub(crate) compactions: usize,
}

impl Ledger {
    /// Takes in what the worker told in this life; later lives have higher numbers.
    pub(crate) fn hear(&mut self, life: u32, fact: Fact) -> Result<(), Violation> {
        self.facts += 1;
        match fact {
            Fact::Opening | Fact::Compacting | Fact::Idle | Fact::Done => Ok(()),
            Fact::Compacted => {
                self.compactions += 1;
                Ok(())
            }
            Fact::Opened { known, resumed, skipped } => self.opened(known, resumed, &skipped),
            Fact::Started { run } => {
                self.runs.entry(run).or_default().is_started = true;
                Ok(())
            }
            Fact::Effect(execution) if execution.life != life => {
                Err(Violation::Trouble(format!("{execution:?} was told in life {life}")))
            }
            Fact::Effect(execution) => self.effect(execution),
            Fact::Durable(outcome) => self.durable(&outcome),
            Fact::Finished { run, result } => self.finished(&run, result),
            Fact::Failed { what, error } => Err(Violation::Trouble(format!("life {life}: {what} failed: {error}"))),
        }
    }

    fn opened(&mut self, known: usize, resumed: usize, skipped: &[String]) -> Result<(), Violation> {
        self.recovered += resumed;
        if !skipped.is_empty() {
            return broken(format!("runs were not continued: {skipped:?}"));
        }
        // A run that began a step was started, even if `start` did not live to say so (R1).
        if known < self.runs.len() {
            return broken(format!("{} runs were acknowledged, the store knows {known}", self.runs.len()));
        }
        let finished = self.runs.values().filter(|run| run.result.is_some()).count();
        if known - resumed < finished {
            return broken(format!("{finished} runs were finished, but of {known} runs {resumed} were resumed"));
        }
        Ok(())
    }

    fn effect(&mut self, execution: Execution) -> Result<(), Violation> {
        let (run, key) = execution.run_and_step();
        let run = self.runs.entry(run.to_owned()).or_default();
        if run.result.is_some() {
            return broken(format!("{execution:?} happened after its run had finished"));
        }
        let step = run.steps.entry(key.to_owned()).or_default();
        if let Some(outcome) = &step.outcome {
            return broken(format!("{execution:?} happened although {outcome:?} was an acknowledged checkpoint"));
        }
        let Execution { life, attempt, .. } = execution;
        let (lowest, highest) = match step.executions.last() {
            None => (1, 1),
            // Before a further attempt begins, it is recorded that the one before failed (R11).
            Some(last) if last.life == life => (last.attempt + 1, last.attempt + 1),
            Some(last) => (last.attempt, last.attempt + 1),
        };
        if !(lowest..=highest).contains(&attempt) {
            return broken(format!("{execution:?} came after {:?}", step.executions));
        }
        if step.executions.last().is_some_and(|last| last.attempt == attempt) {
            self.repeated += 1;
        }
        step.executions.push(execution);
        Ok(())
    }

    fn durable(&mut self, outcome: &Execution) -> Result<(), Violation> {
        let (run, key) = outcome.run_and_step();
        let step = self.runs.entry(run.to_owned()).or_default().steps.entry(key.to_owned()).or_default();
        match &step.outcome {
            Some(first) if first == outcome => Ok(()),
            Some(first) => broken(format!("{} has two outcomes, {first:?} and {outcome:?}", outcome.key)),
            // Were it an earlier execution, the later ones would have run although it was recorded.
            None if step.executions.last() == Some(outcome) => {
                step.outcome = Some(outcome.clone());
                Ok(())
            }
            None => broken(format!("{outcome:?} is the outcome, but executed were {:?}", step.executions)),
        }
    }

    fn finished(&mut self, run: &str, result: Result<Vec<Execution>, Refusal>) -> Result<(), Violation> {
        match &result {
            Ok(executions) => executions.iter().try_for_each(|outcome| self.durable(outcome))?,
            Err(refusal) => self.durable(&refusal.by)?,
        }
        let known = self.runs.entry(run.to_owned()).or_default();
        if let Some(first) = &known.result {
            self.visits += 1;
            return if *first == result { Ok(()) } else { broken(format!("{run} returned {first:?}, now {result:?}")) };
        }
        if let Some((key, step)) = known.steps.iter().find(|(_, step)| step.outcome.is_none()) {
            return broken(format!("{run} finished, but {key} has no outcome: {:?}", step.executions));
        }
        if Order::of_run_id(run).is_none_or(|order| order.is_refused() != result.is_err()) {
            return broken(format!("{run} returned {result:?}"));
        }
        known.result = Some(result);
        Ok(())
    }

    /// The first order that was not acknowledged as started.
    pub(crate) fn first_unknown_order(&self) -> u64 {
        let mut started = (0..).map(|number| Order { number }.run_id());
        let unknown = started.position(|run| !self.runs.get(&run).is_some_and(|run| run.is_started));
        unknown.unwrap_or(0) as u64
    }

    pub(crate) fn counts(&self) -> Counts {
        let runs = self.runs.values();
        let mut counts = Counts {
            facts: self.facts,
            recovered: self.recovered,
            visits: self.visits,
            compactions: self.compactions,
            repeated: self.repeated,
            ..Counts::default()
        };
        for run in runs {
            counts.started += usize::from(run.is_started);
            counts.completed += usize::from(matches!(run.result, Some(Ok(_))));
            counts.failed += usize::from(matches!(run.result, Some(Err(_))));
            for step in run.steps.values() {
                let attempts: BTreeSet<u32> = step.executions.iter().map(|execution| execution.attempt).collect();
                counts.checkpoints += usize::from(step.outcome.is_some());
                counts.executions += step.executions.len();
                counts.retried += attempts.len().saturating_sub(1);
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { facts, started, completed, failed, checkpoints, executions, retried, repeated, recovered, .. } =
            self;
        let Self { visits, compactions, .. } = self;
        write!(
            f,
            "{started} runs ({completed} completed, {failed} failed), {checkpoints} checkpoints of {executions} executions ({retried} failed and tried again, {repeated} repeated after a kill), {recovered} recoveries, {visits} results read again, {compactions} compactions, {facts} facts"
        )
    }
}

/// The ledger's rules, each with the shortest story that breaks it (R5).
pub(crate) fn each_broken_promise_is_noticed() {
    let execution = |step: &str, life, attempt| Execution { key: format!("order-000000:{step}"), life, attempt };
    let effect = |step, life, attempt| (life, Fact::Effect(execution(step, life, attempt)));
    let durable = |told, step, life, attempt| (told, Fact::Durable(execution(step, life, attempt)));
    let opened = |life, known, resumed| (life, Fact::Opened { known, resumed, skipped: Vec::new() });
    let run = || "order-000000".to_owned();
    let finished = |told, outcomes: Vec<Execution>| (told, Fact::Finished { run: run(), result: Ok(outcomes) });
    let refused = |told, by| (told, Fact::Finished { run: run(), result: Err(Refusal { by }) });
    let started = |life| (life, Fact::Started { run: run() });

    let fine = vec![
        opened(1, 0, 0),
        started(1),
        effect("a", 1, 1),
        effect("b", 1, 1),
        opened(2, 1, 1),
        effect("a", 2, 1),
        effect("b", 2, 2),
        durable(2, "a", 2, 1),
        opened(3, 1, 1),
        durable(3, "b", 2, 2),
        finished(3, vec![execution("b", 2, 2), execution("a", 2, 1)]),
        opened(4, 1, 0),
        finished(4, vec![execution("b", 2, 2), execution("a", 2, 1)]),
    ];
    let broken: Vec<(&str, Vec<_>)> = vec![
        ("the store knows 0", vec![started(1), opened(2, 0, 0)]),
        ("the store knows 0", vec![effect("a", 1, 1), opened(2, 0, 0)]),
        ("were resumed", vec![effect("a", 1, 1), finished(1, vec![execution("a", 1, 1)]), opened(2, 1, 1)]),
        ("not continued", vec![(1, Fact::Opened { known: 1, resumed: 0, skipped: vec![run()] })]),
        ("acknowledged checkpoint", vec![effect("a", 1, 1), durable(1, "a", 1, 1), effect("a", 2, 1)]),
        ("acknowledged checkpoint", vec![effect("a", 1, 1), durable(1, "a", 1, 1), effect("a", 1, 2)]),
        ("came after", vec![effect("a", 1, 1), effect("a", 1, 1)]),
        ("came after", vec![effect("a", 1, 1), effect("a", 1, 2), effect("a", 2, 1)]),
        ("came after", vec![effect("a", 1, 1), effect("a", 2, 3)]),
        ("came after", vec![effect("a", 1, 2)]),
        ("two outcomes", vec![effect("a", 1, 1), durable(1, "a", 1, 1), durable(2, "a", 2, 1)]),
        ("is the outcome", vec![effect("a", 1, 1), effect("a", 2, 1), durable(2, "a", 1, 1)]),
        ("is the outcome", vec![durable(1, "a", 1, 1)]),
        ("is the outcome", vec![finished(1, vec![execution("a", 1, 1)])]),
        ("has no outcome", vec![effect("a", 1, 1), finished(1, Vec::new())]),
        ("returned", vec![effect("a", 1, 1), refused(1, execution("a", 1, 1))]),
        ("after its run had finished", vec![finished(1, Vec::new()), effect("a", 1, 1)]),
        ("now Ok([])", vec![effect("a", 1, 1), finished(1, vec![execution("a", 1, 1)]), finished(2, Vec::new())]),
    ];
    let tell = |facts: &[(u32, Fact)]| {
        let mut ledger = Ledger::default();
        facts.iter().cloned().try_for_each(|(life, fact)| ledger.hear(life, fact)).map(|()| ledger.counts())
    };
    let counts = tell(&fine).expect("nothing was broken");
    assert_eq!((counts.checkpoints, counts.repeated, counts.retried, counts.visits), (2, 1, 1, 1), "{counts}");
    for (expected, facts) in broken {
        match tell(&facts) {
            Err(Violation::BrokenPromise(message)) if message.contains(expected) => {}
            other => panic!("expected {expected:?} of {facts:?}, got {other:?}"),
        }
    }
}
