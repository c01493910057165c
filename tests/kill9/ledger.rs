//! What the parent heard, over all lives, and what must hold of it. Knows nothing of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::fact::{Execution, Fact, Known, Refusal};
use crate::order::{Order, RACERS, without_part};

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
    /// Without those that were deleted.
    pub(crate) runs: BTreeMap<String, Run>,
    deleted: BTreeSet<u64>,
    /// All orders below this were started.
    first_unknown: u64,
    /// What this life's store told of its runs so far.
    listed: BTreeMap<u64, Known>,
    /// Lives that came to their end with every step that they had begun.
    ended_in_order: BTreeSet<u32>,
    counts: Counts,
}

/// What was heard of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) is_started: bool,
    pub(crate) result: Option<Result<Vec<Execution>, Refusal>>,
    /// How often its step was executed that runs at most once.
    pub(crate) seals: usize,
    /// What was delivered of what it emitted, in the order it was heard, and in which lives, by the id of the event.
    pub(crate) events: BTreeMap<String, (Execution, Vec<u32>)>,
    /// By key within the run.
    pub(crate) steps: BTreeMap<String, Step>,
    /// Whether the store was found to have all of it, once it had ended.
    pub(crate) is_inspected: bool,
    /// A worker was about to delete it; perhaps it is gone.
    is_being_deleted: bool,
}

/// What was heard of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// In the order they were heard; also those that a kill made nobody remember.
    pub(crate) executions: Vec<Execution>,
    /// The execution whose outcome is acknowledged.
    pub(crate) outcome: Option<Execution>,
    /// It has panicked since it was executed last.
    is_halted: bool,
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
    /// Attempts that were executed, be it once or more often.
    pub(crate) attempts: usize,
    /// Executions of attempts that ran again, because a kill came before their record.
    pub(crate) repeated: usize,
    /// The same, because they had panicked.
    pub(crate) mended: usize,
    /// Unfinished runs found when a store was opened.
    pub(crate) recovered: usize,
    pub(crate) visits: usize,
    /// Events, and how often one was delivered again.
    pub(crate) delivered: usize,
    pub(crate) delivered_again: usize,
    pub(crate) compactions: usize,
    pub(crate) deleted: usize,
    /// Starts, outcomes and results that were acknowledged, of the runs that were inspected.
    pub(crate) acknowledged: usize,
    /// How many of them the store had.
    pub(crate) found: usize,
    /// The records of those runs.
    pub(crate) records: u64,
}

impl Counts {
    /// Acknowledged, and not in the store.
    pub(crate) fn lost(&self) -> usize {
        self.acknowledged - self.found
    }

    /// Executions that nothing explains.
    pub(crate) fn doubled(&self) -> usize {
        self.executions - self.attempts - self.repeated - self.mended
    }
}

impl Ledger {
    /// Takes in what the worker told in this life; later lives have higher numbers.
    pub(crate) fn hear(&mut self, life: u32, fact: Fact) -> Result<(), Violation> {
        self.counts.facts += 1;
        match fact {
            Fact::Opening => {
                self.listed.clear();
                Ok(())
            }
            // Who dies when and where changes nothing of what must hold.
            Fact::Compacting
            | Fact::Idle
            | Fact::Leaving
            | Fact::Reached { .. }
            | Fact::Hits { .. }
            | Fact::Dying { .. } => Ok(()),
            Fact::Done { interrupted } => {
                if interrupted == 0 {
                    self.ended_in_order.insert(life);
                }
                Ok(())
            }
            Fact::Sealed { run } => {
                let seals = &mut self.runs.entry(run.clone()).or_default().seals;
                *seals += 1;
                if *seals > 1 { broken(format!("{run} was sealed {seals} times (R6)")) } else { Ok(()) }
            }
            Fact::Delivered { id, event } => self.delivered(life, &id, &event),
            Fact::Compacted => {
                self.counts.compactions += 1;
                Ok(())
            }
            Fact::Found { runs } => {
                self.listed.extend(runs);
                Ok(())
            }
            Fact::Opened { resumed, skipped } => self.opened(resumed, &skipped),
            Fact::Started { run } => self.started(run),
            Fact::Effect(execution) if execution.life != life => {
                Err(Violation::Trouble(format!("{execution:?} was told in life {life}")))
            }
            Fact::Effect(execution) => self.effect(execution),
            Fact::Durable(outcome) => self.durable(&outcome),
            Fact::Finished { run, result } => self.finished(&run, result),
            Fact::Halted { run } => self.halted(&run),
            Fact::Deleting { run } => match self.runs.get_mut(&run) {
                Some(known) if known.is_inspected => {
                    known.is_being_deleted = true;
                    Ok(())
                }
                other => Err(Violation::Trouble(format!("{run} was not to be deleted: {other:?}"))),
            },
            Fact::Deleted { run, existed: true } => {
                self.forget(&run);
                Ok(())
            }
            // Listed when the store was opened, and deleted by nobody since.
            Fact::Deleted { run, existed: false } => broken(format!("{run} was to be deleted and was not there")),
            Fact::Failed { what, error } => Err(Violation::Trouble(format!("life {life}: {what} failed: {error}"))),
        }
    }

    fn opened(&mut self, resumed: usize, skipped: &[String]) -> Result<(), Violation> {
        self.counts.recovered += resumed;
        if !skipped.is_empty() {
            return broken(format!("runs were not continued: {skipped:?}"));
        }
        let mut gone = Vec::new();
        for (id, run) in &self.runs {
            let listed = Order::of_run_id(id).and_then(|order| self.listed.get(&order.number));
            match (listed, &run.result) {
                (None, _) if run.is_being_deleted => gone.push(id.clone()),
                // A run that began a step was started, even if `start` did not live to say so (R1).
                (None, _) => return broken(format!("{id} was acknowledged, and the store does not know it")),
                (Some(Known::Running | Known::Halted), Some(result)) => {
                    return broken(format!("{id} has returned {result:?}, and is unfinished"));
                }
                (Some(Known::Halted), None) if Order::of_run_id(id).is_none_or(|order| !order.breaks()) => {
                    return broken(format!("{id} is halted for no reason"));
                }
                _ => {}
            }
        }
        for run in gone {
            self.forget(&run);
        }
        if let Some(back) = self.listed.keys().find(|number| self.deleted.contains(number)) {
            return broken(format!("order {back} was deleted and is back"));
        }
        Ok(())
    }

    fn started(&mut self, run: String) -> Result<(), Violation> {
        self.refuse_deleted(&run, "was started")?;
        let known = self.runs.entry(run).or_default();
        self.counts.started += usize::from(!known.is_started);
        known.is_started = true;
        let is_started = |number: u64| {
            let run = self.runs.get(&Order { number }.run_id());
            run.is_some_and(|run| run.is_started) || self.deleted.contains(&number)
        };
        while is_started(self.first_unknown) {
            self.first_unknown += 1;
        }
        Ok(())
    }

    fn refuse_deleted(&self, run: &str, what: &str) -> Result<(), Violation> {
        match Order::of_run_id(run) {
            Some(order) if self.deleted.contains(&order.number) => broken(format!("{run} {what} after it was deleted")),
            _ => Ok(()),
        }
    }

    fn forget(&mut self, run: &str) {
        if self.runs.remove(run).is_some() {
            self.counts.deleted += 1;
            self.deleted.extend(Order::of_run_id(run).map(|order| order.number));
        }
    }

    fn effect(&mut self, execution: Execution) -> Result<(), Violation> {
        let (id, key) = execution.run_and_step();
        self.refuse_deleted(id, &format!("executed {key}"))?;
        let run = self.runs.entry(id.to_owned()).or_default();
        if run.result.is_some() {
            return broken(format!("{execution:?} happened after its run had finished"));
        }
        if let Some(winner) = rival(key).and_then(|rival| run.steps.get(&rival)?.outcome.clone()) {
            return broken(format!("{execution:?} happened although {winner:?} had won the race"));
        }
        let step = run.steps.entry(key.to_owned()).or_default();
        if let Some(outcome) = &step.outcome {
            return broken(format!("{execution:?} happened although {outcome:?} was an acknowledged checkpoint"));
        }
        match step.executions.last() {
            None if execution.attempt == 1 => self.counts.attempts += 1,
            // Before a further attempt begins, it is recorded that the one before failed (R11).
            Some(last) if execution.attempt == last.attempt + 1 => self.counts.attempts += 1,
            Some(last) if execution.attempt == last.attempt && step.is_halted => self.counts.mended += 1,
            Some(last)
                if execution.attempt == last.attempt
                    && execution.life != last.life
                    // A step that lost its race is dropped, in whatever way its life ends.
                    && (rival(key).is_some() || !self.ended_in_order.contains(&last.life)) =>
            {
                self.counts.repeated += 1;
            }
            _ => return broken(format!("{execution:?} came after {:?}", step.executions)),
        }
        self.counts.executions += 1;
        step.is_halted = false;
        step.executions.push(execution);
        Ok(())
    }

    /// An event is delivered when it and all that its run has learned before are durable (R5); again only if a kill came before that was
    /// recorded.
    fn delivered(&mut self, life: u32, id: &str, event: &Execution) -> Result<(), Violation> {
        let (run, _) = event.run_and_step();
        // What a run has emitted is delivered though the run is gone.
        if Order::of_run_id(run).is_some_and(|order| self.deleted.contains(&order.number)) {
            return Ok(());
        }
        if id.split_once(':').map(|(emitted_by, _)| emitted_by) != Some(run) {
            return broken(format!("{id} is {event:?}, of another run"));
        }
        self.durable(event)?;
        let events = &mut self.runs.entry(run.to_owned()).or_default().events;
        let (first, lives) = events.entry(id.to_owned()).or_insert_with(|| (event.clone(), Vec::new()));
        let is_recorded = |last: &u32| *last == life || self.ended_in_order.contains(last);
        if first != event {
            return broken(format!("{id} is {event:?}, and was {first:?}"));
        }
        if lives.last().is_some_and(is_recorded) {
            return broken(format!("{id} was delivered in life {life}, and before in {lives:?}"));
        }
        let counted = if lives.is_empty() { &mut self.counts.delivered } else { &mut self.counts.delivered_again };
        *counted += 1;
        lives.push(life);
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
                self.counts.checkpoints += 1;
                Ok(())
            }
            None => broken(format!("{outcome:?} is the outcome, but executed were {:?}", step.executions)),
        }
    }

    fn finished(&mut self, run: &str, result: Result<Vec<Execution>, Refusal>) -> Result<(), Violation> {
        self.refuse_deleted(run, "returned")?;
        match &result {
            Ok(executions) => executions.iter().try_for_each(|outcome| self.durable(outcome))?,
            Err(refusal) => self.durable(&refusal.by)?,
        }
        let known = self.runs.entry(run.to_owned()).or_default();
        if let Some(first) = &known.result {
            self.counts.visits += 1;
            return if *first == result { Ok(()) } else { broken(format!("{run} returned {first:?}, now {result:?}")) };
        }
        let has_outcome = |key: &str| known.steps.get(key).is_some_and(|step| step.outcome.is_some());
        let open = known
            .steps
            .iter()
            .find(|(key, _)| !has_outcome(key) && !rival(key).is_some_and(|rival| has_outcome(&rival)));
        if let Some((key, step)) = open {
            return broken(format!("{run} finished, but {key} has no outcome: {:?}", step.executions));
        }
        if Order::of_run_id(run).is_none_or(|order| order.is_refused() != result.is_err()) {
            return broken(format!("{run} returned {result:?}"));
        }
        self.counts.completed += usize::from(result.is_ok());
        self.counts.failed += usize::from(result.is_err());
        known.result = Some(result);
        Ok(())
    }

    fn halted(&mut self, run: &str) -> Result<(), Violation> {
        if Order::of_run_id(run).is_none_or(|order| !order.breaks()) {
            return broken(format!("{run} is halted for no reason"));
        }
        let steps = &mut self.runs.entry(run.to_owned()).or_default().steps;
        steps.values_mut().filter(|step| step.outcome.is_none()).for_each(|step| step.is_halted = true);
        Ok(())
    }

    /// The store has so many of the things that were acknowledged of a run that has ended, in so many records.
    pub(crate) fn inspected(&mut self, run: &str, found: usize, records: u64) {
        if let Some(run) = self.runs.get_mut(run).filter(|run| !run.is_inspected) {
            let outcomes = run.steps.values().filter(|step| step.outcome.is_some()).count();
            self.counts.acknowledged += 1 + outcomes + usize::from(run.result.is_some());
            self.counts.found += found;
            self.counts.records += records;
            run.is_inspected = true;
        }
    }

    /// The orders that may be deleted: they were inspected, and no worker will start them anew.
    pub(crate) fn deletable(&self) -> impl Iterator<Item = u64> {
        let inspected = self.runs.iter().filter(|(_, run)| run.is_inspected);
        let numbers = inspected.filter_map(|(id, _)| Order::of_run_id(id)).map(|order| order.number);
        numbers.filter(|number| *number < self.first_unknown)
    }

    /// The first order that was not acknowledged as started.
    pub(crate) fn first_unknown_order(&self) -> u64 {
        self.first_unknown
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// The other one of two steps that race.
fn rival(key: &str) -> Option<String> {
    let name = without_part(key);
    let at = RACERS.iter().position(|racer| *racer == name)?;
    RACERS.get(1 - at).map(|rival| key.replacen(name, rival, 1))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { facts, started, completed, failed, checkpoints, executions, attempts, repeated, mended, .. } = self;
        let Self { recovered, visits, delivered, delivered_again, compactions, deleted, acknowledged, found, .. } =
            self;
        write!(
            f,
            "{started} runs ({completed} completed, {failed} failed, {deleted} deleted), {checkpoints} outcomes of {attempts} attempts in {executions} executions ({repeated} repeated after a kill, {mended} after a panic), {recovered} recoveries, {visits} results read again, {delivered} events delivered ({delivered_again} again after a kill), {compactions} compactions, {facts} facts; of {acknowledged} starts, outcomes and results {found} were found: {} lost, {} doubled",
            self.lost(),
            self.doubled()
        )
    }
}
