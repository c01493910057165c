//! The store at the end, opened by the parent: everything it heard is there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use durable_runtime::{RunInfo, RunStatus, Runtime, StepInfo, StepStatus};
use futures::TryStreamExt as _;

use crate::fact::{Execution, Refusal};
use crate::ledger::{Ledger, Run, Step, Violation};
use crate::life::list_all;
use crate::order::{LEARNED, Order, Receipt, SEAL, filling, fulfil, without_part};
use crate::reaper::Trial;
use crate::reference::{Reference, essence};

/// How much was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    runs: usize,
    checkpoints: usize,
    failed_attempts: usize,
    bytes: usize,
    /// By run, how much there was of what was acknowledged, and its records.
    by_run: BTreeMap<String, (usize, u64)>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, checkpoints, failed_attempts, bytes, .. } = self;
        write!(f, "{runs} runs, {checkpoints} outcomes of {bytes} bytes, {failed_attempts} failed attempts")
    }
}

/// Compares the store with what was heard, once all runs have ended.
pub(crate) fn inspect(trial: &mut Trial) -> Result<Found, Violation> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.expect("a thread to look into the store");
    let found = tokio.block_on(look(trial, &trial.told.ledger)).map_err(Violation::BrokenPromise)?;
    found.by_run.iter().for_each(|(run, (found, records))| trial.told.ledger.inspected(run, *found, *records));
    Ok(found)
}

async fn look(trial: &Trial, ledger: &Ledger) -> Result<Found, String> {
    let opened = trial.store.open(Runtime::builder(), &trial.folder).await;
    let runtime = opened.map_err(|error| error.to_string())?;
    let unfinished = runtime.recovery();
    if unfinished.resumed != 0 || !unfinished.skipped.is_empty() {
        return Err(format!("all runs had finished, but {unfinished:?}"));
    }
    let listed: BTreeSet<String> = list_all(&runtime).await.iter().map(|run| run.id.as_str().to_owned()).collect();
    let heard: BTreeSet<String> = ledger.runs.keys().cloned().collect();
    if listed != heard {
        return Err(format!("runs heard of and listed: {:?}", heard.symmetric_difference(&listed)));
    }
    let mut found = Found { runs: listed.len(), ..Found::default() };
    let reference = Reference::new().await?;
    for (id, run) in &ledger.runs {
        let attached = runtime.attach(id, fulfil).await.map_err(|error| error.to_string())?;
        let result = attached.await.map_err(|error| error.to_string())?;
        let events: BTreeSet<String> = run.events.keys().cloned().collect();
        let emitted = Order::of_run_id(id).map(Order::events).unwrap_or_default();
        if events != emitted.iter().cloned().collect() {
            return Err(format!("{id} has emitted {emitted:?}, and delivered was {events:?}"));
        }
        if run.result.as_ref() != Some(&result) {
            return Err(format!("{id} returned {:?}, now {result:?}", run.result));
        }
        let order = Order::of_run_id(id).ok_or_else(|| format!("{id} is no order"))?;
        let (essence, unkilled) = (essence(&result), reference.of(order).await?);
        if essence != unkilled {
            return Err(format!("{id} came to {essence:?}, and unkilled it comes to {unkilled:?}"));
        }
        let learned = runtime.follow::<Execution>(id, LEARNED, 0).try_collect::<Vec<_>>().await;
        let info = runtime.get(id).await.map_err(|error| error.to_string())?;
        let info = info.ok_or_else(|| format!("{id} is not in the store"))?;
        compare_learned(&result, &learned.map_err(|error| error.to_string())?, info.continued > 0)
            .map_err(|difference| format!("{id}: {difference}"))?;
        let outcomes = found.compare_run(run, &info).map_err(|difference| format!("{id}: {difference}"))?;
        // The start and the result, too.
        found.by_run.insert(id.clone(), (1 + outcomes + 1, info.events));
    }
    if runtime.stats().steps_executed != 0 {
        return Err(format!("looking made steps run: {:?}", runtime.stats()));
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    Ok(found)
}

/// Each execution that the code has learned of is published once, and in that order, whoever was killed in between.
/// Of a run that has continued as new, the last one before that, and those since.
fn compare_learned(
    result: &Result<Vec<Execution>, Refusal>,
    learned: &[(u64, Execution)],
    has_continued: bool,
) -> Result<(), String> {
    let first = learned.first().map_or(0, |(number, _)| *number);
    if !learned.iter().map(|(number, _)| *number).eq(first..first + learned.len() as u64)
        || (first > 0) != has_continued
    {
        return Err(format!("what it published is not numbered without gaps: {learned:?}"));
    }
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    match result {
        Ok(known) if !known.iter().skip(first).eq(learned.iter().map(|(_, by)| by)) => {
            Err(format!("it published {learned:?}, and learned {known:?}"))
        }
        Err(_) if learned.is_empty() => Err("it published nothing".to_owned()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What a run has taken along of a step when it continued as new: one outcome, as it was heard of.
fn compare_before(step: &Step, before: &[Receipt]) -> Result<usize, String> {
    let outcome = step.outcome.as_ref().ok_or("it has no outcome, and the run went on")?;
    match before.iter().filter(|receipt| receipt.by == *outcome).map(|receipt| &receipt.filling).collect::<Vec<_>>()[..]
    {
        [bytes] if *bytes == filling(outcome, bytes.len()) => Ok(1),
        _ => Err(format!("it came to {outcome:?}, and the run has gone on with {before:?}")),
    }
}

impl Found {
    /// Returns how many of the acknowledged outcomes there are.
    fn compare_run(&mut self, run: &Run, info: &RunInfo) -> Result<usize, String> {
        let status = match &run.result {
            Some(Ok(_)) => RunStatus::Completed,
            Some(Err(_)) => RunStatus::Failed,
            None => RunStatus::Running,
        };
        if info.status != status || info.halt.is_some() {
            return Err(format!("it is {}, {:?}, and should be {status}", info.status, info.halt));
        }
        let mut recorded: BTreeMap<&str, &StepInfo> = info.steps.iter().map(|step| (&*step.key, step)).collect();
        if recorded.len() != info.steps.len() {
            return Err(format!("a step is recorded twice: {:?}", info.steps));
        }
        // It may be said to be interrupted, sealed or not, but not to be sealed if it was not.
        if let Some(seal) = recorded.remove(SEAL)
            && seal.status == StepStatus::Completed
            && run.seals == 0
        {
            return Err("it is said to be sealed, and nobody heard of it".to_owned());
        }
        let part = if info.continued == 0 { String::new() } else { format!("@{}", info.continued + 1) };
        if let Some(unheard) = recorded.keys().find(|key| !run.steps.contains_key(&format!("{key}{part}"))) {
            return Err(format!("recorded is {unheard}, heard of were {:?}", run.steps.keys()));
        }
        let (_, before): (Order, Vec<Receipt>) = info.input.decode().map_err(|error| error.to_string())?;
        if before.is_empty() != (info.continued == 0) {
            return Err(format!("it has continued as new {} times, with {before:?}", info.continued));
        }
        let mut outcomes = 0;
        for (key, step) in &run.steps {
            if without_part(key) == key && info.continued > 0 {
                // Nothing is left of it but what the run has taken along.
                outcomes += compare_before(step, &before).map_err(|difference| format!("{key}: {difference}"))?;
                continue;
            }
            match (recorded.get(without_part(key)), &step.outcome) {
                (Some(recorded), Some(outcome)) => {
                    self.compare_step(step, outcome, recorded).map_err(|difference| format!("{key}: {difference}"))?;
                    outcomes += 1;
                }
                (None, Some(outcome)) => return Err(format!("{outcome:?} is not recorded")),
                // It lost its race, before its outcome or after.
                (_, None) => {}
            }
        }
        Ok(outcomes)
    }

    fn compare_step(&mut self, step: &Step, outcome: &Execution, recorded: &StepInfo) -> Result<(), String> {
        let output = recorded.output.as_ref().ok_or("its outcome is not recorded")?;
        let output_bytes = output.bytes().len();
        let output: Result<Receipt, Refusal> = output.decode().map_err(|error| error.to_string())?;
        let by = match (&recorded.status, output) {
            (StepStatus::Completed, Ok(Receipt { by, filling: bytes })) => {
                if bytes != filling(&by, bytes.len()) {
                    return Err(format!("its payload is garbled: {bytes}"));
                }
                by
            }
            (StepStatus::Failed, Err(refusal)) => refusal.by,
            (status, output) => return Err(format!("it is {status:?} with {output:?}")),
        };
        if by != *outcome || recorded.attempts != by.attempt {
            return Err(format!("recorded is {by:?} after {} attempts, heard was {outcome:?}", recorded.attempts));
        }
        let attempts: Vec<u32> = recorded.failed_attempts.iter().map(|failed| failed.attempt).collect();
        if !attempts.iter().copied().eq(1..by.attempt) {
            return Err(format!("before attempt {} the attempts {attempts:?} failed", by.attempt));
        }
        for failed in &recorded.failed_attempts {
            let error: Result<Receipt, Refusal> =
                serde_json::from_str(&failed.error).map_err(|error| error.to_string())?;
            // Of a failed attempt that was repeated, the last execution is the one that was recorded.
            let last = step.executions.iter().rfind(|execution| execution.attempt == failed.attempt);
            if last != error.as_ref().err().map(|refusal| &refusal.by) {
                return Err(format!("attempt {} is recorded as {error:?}, the last was {last:?}", failed.attempt));
            }
        }
        self.checkpoints += 1;
        self.failed_attempts += attempts.len();
        self.bytes += output_bytes;
        Ok(())
    }
}
