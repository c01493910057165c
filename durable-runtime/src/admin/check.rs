//! Before new code serves: would it go on with the runs that are there?

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::Verification;
use crate::error::AdminError;
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::runtime::Runtime;
use crate::store::{RunHead, RunStatus, StoreError};

/// The most runs that a [`Check`] and a [`StoreReport`](crate::StoreReport) list; the others are counted.
pub const CHECK_LIST_MAX: usize = 1_000;

/// What [`Runtime::check`] found. Its `Display` is a report.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = durable_runtime::Runtime::builder().in_memory().await?;
/// let check = runtime.check().await?;
/// assert!(check.fits());
/// assert_eq!(check.to_string(), "all 0 unfinished runs can be continued by this program (0 running, 0 suspended, 0 halted)\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Check {
    /// How many running runs were looked at.
    pub running: usize,
    /// How many suspended runs were looked at.
    pub suspended: usize,
    /// How many halted runs were looked at.
    pub halted: usize,
    /// How many runs there are of which not even the status can be read.
    pub unreadable: usize,
    /// How many of all these the present program can't continue.
    pub stranded_count: usize,
    /// Those runs, [`CHECK_LIST_MAX`] at most, in the byte order of their ids; then the unreadable ones.
    pub stranded: Vec<Stranded>,
}

/// An unfinished run that the present program can't continue. It is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranded {
    /// Which run.
    pub run: RunId,
    /// The name of its function; `None` if its journal can't be read.
    pub function: Option<String>,
    /// Whether it is running, suspended or halted; `None` if that can't be read.
    pub status: Option<RunStatus>,
    /// What continuing it would end in: a [divergence](HaltReason::Divergence), or another reason.
    pub halt: Halt,
}

impl Check {
    /// Whether the present program can continue every unfinished run.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = durable_runtime::Runtime::builder().in_memory().await?;
    /// assert!(runtime.check().await?.fits());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fits(&self) -> bool {
        self.stranded_count == 0
    }

    fn add(&mut self, stranded: Stranded) {
        self.stranded_count += 1;
        if self.stranded.len() < CHECK_LIST_MAX {
            self.stranded.push(stranded);
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, suspended, halted, unreadable, stranded_count, stranded } = self;
        let looked_at = running + suspended + halted + unreadable;
        if self.fits() {
            write!(f, "all {looked_at} unfinished runs can be continued by this program")?;
        } else {
            write!(f, "{stranded_count} of {looked_at} unfinished runs can't be continued by this program")?;
        }
        write!(f, " ({running} running, {suspended} suspended, {halted} halted")?;
        if *unreadable > 0 {
            write!(f, ", {unreadable} unreadable")?;
        }
        f.write_str(")\n")?;
        for Stranded { run, function, status, halt } in stranded {
            write!(f, "\n{run}: ")?;
            match (status, function) {
                (Some(status), Some(function)) => write!(f, "{status}, {function}")?,
                (Some(status), None) => write!(f, "{status}, unreadable")?,
                (None, _) => f.write_str("unreadable")?,
            }
            for line in halt.to_string().lines() {
                write!(f, "\n    {line}")?;
            }
            f.write_str("\n")?;
        }
        match stranded_count - stranded.len() {
            0 => Ok(()),
            more => writeln!(f, "\n… and {more} more"),
        }
    }
}

impl Runtime {
    /// Replays a run's journal with the present code, and tells how it fits. Runs no step and writes nothing; code
    /// between steps runs, as on every replay, and what it logs is not seen.
    ///
    /// The run may be active (what is recorded at this moment is verified), halted (then as if it were resumed), or
    /// ended (then the recorded result is compared, too).
    ///
    /// # Errors
    /// [`AdminError::Unknown`], [`AdminError::InvalidId`], [`AdminError::Store`]. A journal that can't be read is no
    /// error but [`Verification::Differs`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, StepContext, Verification, durable};
    ///
    /// async fn charge(step: StepContext) -> u32 {
    ///     *step.dependency::<u32>() // there is none
    /// }
    ///
    /// #[durable]
    /// async fn purchase(ctx: Context) -> u32 {
    ///     ctx.run(charge).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// assert!(runtime.start("ord_1", purchase, ()).await?.await.is_err());
    /// // It is halted. The code fits nevertheless, and would try again:
    /// let next = vec!["charge".to_owned()];
    /// assert_eq!(runtime.verify("ord_1").await?, Verification::Continues { next });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify(&self, id: impl AsRef<str>) -> Result<Verification, AdminError> {
        let run = RunId::new(id)?;
        match self.inner.engine.verify_stored(&run).await? {
            Some(verified) => Ok(verified.verification),
            None => Err(AdminError::Unknown { run }),
        }
    }

    /// [Verifies](Self::verify) all unfinished runs, running, suspended and halted, and lists those that the present program can't
    /// continue. Runs no step and writes nothing. Each run is looked at once, whatever becomes of it meanwhile.
    ///
    /// One journal is in memory at a time. To ask this before new code serves, open with
    /// [`RuntimeBuilder::recover_later`](crate::RuntimeBuilder::recover_later).
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn check(&self) -> Result<Check, AdminError> {
        const PAGE: usize = 1_000;
        let (mut check, mut corrupt) = (Check::default(), BTreeSet::new());
        let mut after: Option<RunId> = None;
        loop {
            let from = after.clone();
            // Of all runs, because those that go on would change from one list to another.
            let listing = move |store: &dyn crate::store::Store| store.list(None, from.as_ref(), PAGE);
            let page = self.inner.engine.blocking(listing).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.run.clone());
            for head in page.into_iter().filter(|head| !head.status.is_over()) {
                self.check_one(head, &mut check, &mut corrupt).await?;
            }
        }
        for error in self.inner.engine.blocking(|store| Ok(store.corrupt())).await? {
            // What the store noticed only now was listed, and is told already.
            if let StoreError::Corrupt { run, .. } = &error
                && !corrupt.contains(run)
            {
                let (run, halt) = (run.clone(), Halt::new(HaltReason::Corrupt, None, error.to_string()));
                check.unreadable += 1;
                check.add(Stranded { run, function: None, status: None, halt });
            }
        }
        Ok(check)
    }

    async fn check_one(
        &self,
        head: RunHead,
        check: &mut Check,
        corrupt: &mut BTreeSet<RunId>,
    ) -> Result<(), AdminError> {
        let RunHead { run, status: listed, .. } = head;
        // It may have been deleted since it was listed.
        let Some(verified) = self.inner.engine.verify_stored(&run).await? else { return Ok(()) };
        let status = verified.status.unwrap_or(listed);
        match status {
            RunStatus::Running => check.running += 1,
            RunStatus::Suspended => check.suspended += 1,
            RunStatus::Halted => check.halted += 1,
            // It has ended since.
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => return Ok(()),
        }
        if let Verification::Differs { halt } = verified.verification {
            if halt.reason == HaltReason::Corrupt {
                corrupt.insert(run.clone());
            }
            check.add(Stranded { run, function: verified.function, status: Some(status), halt });
        }
        Ok(())
    }
}
