//! Is what the store has what was written?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::CHECK_LIST_MAX;
use crate::clock::Timestamp;
use crate::engine::{Flaw, Unsound, decode};
use crate::error::AdminError;
use crate::id::{Position, RunId};
use crate::runtime::Runtime;
use crate::store::{RunHead, RunStatus, Store, StoreError};

/// How many runs are read in one go; between two pages others have their turn.
const PAGE: usize = 100;

/// What [`Runtime::verify_store`] found. Its `Display` is a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreReport {
    /// How many runs were looked at, those that can't be read included.
    pub runs: u64,
    /// How many records of theirs were read.
    pub records: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many runs are not sound.
    pub findings_count: usize,
    /// Those runs, [`CHECK_LIST_MAX`] at most.
    pub findings: Vec<Finding>,
}

/// A run that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Which run.
    pub run: RunId,
    /// What kind of trouble.
    pub flaw: Flaw,
    /// The record at which it was noticed, if it can be told.
    pub position: Option<Position>,
    /// What was found.
    pub detail: String,
}

impl StoreReport {
    /// Whether nothing was found.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = durable_runtime::Runtime::builder().in_memory().await?;
    /// assert!(runtime.verify_store().await?.is_sound());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }

    fn add(&mut self, finding: Finding) {
        self.findings_count += 1;
        if self.findings.len() < CHECK_LIST_MAX {
            self.findings.push(finding);
        }
    }
}

impl Finding {
    fn of(run: RunId, unsound: Unsound) -> Self {
        let Unsound { flaw, position, detail } = unsound;
        Self { run, flaw, position, detail }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, flaw, position, detail } = self;
        let what = match flaw {
            Flaw::Record => "a record can't be read",
            Flaw::Order => "a record stands where it can't",
            Flaw::Status => "its status is not that of its records",
            Flaw::Timers => "its timers are not those of its records",
        };
        write!(f, "{run}: {what}")?;
        if let Some(position) = position {
            write!(f, ", at position {position}")?;
        }
        write!(f, ": {detail}")
    }
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, records, bytes, findings_count, findings } = self;
        if self.is_sound() {
            return writeln!(f, "all {runs} runs are sound ({records} records, {bytes} bytes)");
        }
        writeln!(
            f,
            "{findings_count} of {runs} runs are not sound ({records} records, {bytes} bytes could be read)\n"
        )?;
        for finding in findings {
            writeln!(f, "{finding}")?;
        }
        let more = findings_count - findings.len();
        if more > 0 {
            writeln!(f, "… and {more} more")?;
        }
        f.write_str("\nThe others go on. A run with a record, an order or a status that is not sound is kept and refused: delete it, or restore a backup of the folder. One with other timers goes on by its records.\n")
    }
}

/// The timers of a run, by record.
type Timers = BTreeMap<Position, Timestamp>;

/// What is in the store of one run.
struct Looked {
    records: u64,
    bytes: u64,
    /// Its head, and the timers it may have.
    sound: Result<(RunHead, Timers), Unsound>,
}

impl Runtime {
    /// Reads all that is in the store, every record of every run, and tells what is not as it was written: records that
    /// can't be read, that can't follow each other, or that disagree with the status or the timers that the store keeps
    /// beside them. Writes nothing and runs no code.
    ///
    /// Reads page by page, one journal at a time, while everything goes on; what changes meanwhile is no finding. All
    /// timers that are set are in memory at once.
    ///
    /// A run that is found corrupt is refused as long as it is ([D0206](StoreError::Corrupt)): it is neither continued nor
    /// attached to, [`list`](Self::list) shows it with the reason, and [`delete`](Self::delete) removes it.
    ///
    /// # Errors
    /// [`AdminError::Store`]: the store failed as a whole.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn kept_safe(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("safe-1", kept_safe, ()).await?.await?;
    /// let report = runtime.verify_store().await?;
    /// assert!(report.is_sound());
    /// assert_eq!((report.runs, report.records), (1, 2)); // started and finished
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify_store(&self) -> Result<StoreReport, AdminError> {
        let engine = &self.inner.engine;
        let mut report = StoreReport::default();
        let mut corrupt = BTreeSet::new();
        let mut listed = engine.blocking(timers).await?;
        let mut suspects = Vec::new();
        let mut after: Option<RunId> = None;
        loop {
            let from = after.clone();
            let page = engine.blocking(move |store| page(store, from.as_ref())).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (run, looked) in page {
                let set = listed.remove(&run).unwrap_or_default();
                // It may have been deleted since it was listed.
                let Some(Looked { records, bytes, sound }) = looked else { continue };
                report.runs += 1;
                report.records += records;
                report.bytes += bytes;
                match sound {
                    Ok((_, asked)) if foreign(&set, &asked).is_none() => {}
                    Ok(_) => suspects.push(run),
                    Err(unsound) => {
                        corrupt.insert(run.clone());
                        report.add(Finding::of(run, unsound));
                    }
                }
            }
        }
        // Timers of runs that are not there.
        suspects.extend(listed.into_keys().filter(|run| !corrupt.contains(run)));
        for some in suspects.chunks(PAGE) {
            let some = some.to_vec();
            let findings = engine.blocking(move |store| other_timers(store, some)).await?;
            for finding in findings {
                report.add(finding);
            }
        }
        for error in engine.blocking(|store| Ok(store.corrupt())).await? {
            // What the store noticed only now was listed, and is told already.
            if let StoreError::Corrupt { run, position, detail } = error
                && !corrupt.contains(&run)
            {
                report.runs += 1;
                report.add(Finding { run, flaw: Flaw::Record, position, detail });
            }
        }
        Ok(report)
    }
}

/// All timers that are set.
fn timers(store: &dyn Store) -> Result<BTreeMap<RunId, Timers>, StoreError> {
    let mut timers: BTreeMap<RunId, Timers> = BTreeMap::new();
    for timer in store.due(Timestamp(u64::MAX), usize::MAX)? {
        timers.entry(timer.run).or_default().insert(timer.position, timer.due);
    }
    Ok(timers)
}

fn page(store: &dyn Store, after: Option<&RunId>) -> Result<Vec<(RunId, Option<Looked>)>, StoreError> {
    let heads = store.list(None, after, PAGE)?;
    heads.into_iter().map(|head| Ok((head.run.clone(), look(store, &head.run)?))).collect()
}

/// Reads one run. `None` if it is not there.
fn look(store: &dyn Store, run: &RunId) -> Result<Option<Looked>, StoreError> {
    let stored = match store.read(run) {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(None),
        Err(StoreError::Corrupt { position, detail, .. }) => {
            let sound = Err(Unsound { flaw: Flaw::Record, position, detail });
            return Ok(Some(Looked { records: 0, bytes: 0, sound }));
        }
        Err(error) => return Err(error),
    };
    let records = stored.frames.len() as u64;
    let bytes = stored.frames.iter().map(|frame| frame.len() as u64).sum();
    let sound = decode(stored).map(|(loaded, whole)| {
        // Only a run that is suspended has its timers listed (S10).
        let asked = if loaded.head.status == RunStatus::Suspended { whole.timers } else { Timers::new() };
        (loaded.head, asked)
    });
    Ok(Some(Looked { records, bytes, sound }))
}

/// The first timer that is set and not asked for. One that is asked for need not be set: the branch that waited for it
/// may have lost.
fn foreign(set: &Timers, asked: &Timers) -> Option<Position> {
    set.iter().find(|(position, due)| asked.get(position) != Some(due)).map(|(position, _)| *position)
}

/// Looks again at runs whose timers seemed to be others, which may only have changed between two looks: the timers are
/// listed between two looks at each run, and a run that is the same before and after is what they belong to.
fn other_timers(store: &dyn Store, runs: Vec<RunId>) -> Result<Vec<Finding>, StoreError> {
    let before = runs.into_iter().map(|run| Ok((look(store, &run)?, run))).collect::<Result<Vec<_>, StoreError>>()?;
    let mut listed = timers(store)?;
    let mut findings = Vec::new();
    for (looked, run) in before {
        let (head, asked) = match looked {
            None => (None, Timers::new()),
            Some(Looked { sound: Ok((head, asked)), .. }) => (Some(head), asked),
            // Not in the first look: it is being damaged right now, and the next report tells.
            Some(Looked { sound: Err(_), .. }) => continue,
        };
        let set = listed.remove(&run).unwrap_or_default();
        let is_same = match store.head(&run) {
            Ok(now) => now == head,
            Err(StoreError::Corrupt { .. }) => false,
            Err(error) => return Err(error),
        };
        if is_same && let Some(position) = foreign(&set, &asked) {
            let detail = format!("by its records it has {}, by the store {}", asked.len(), set.len());
            findings.push(Finding { run, flaw: Flaw::Timers, position: Some(position), detail });
        }
    }
    Ok(findings)
}
