//! Runs that come from somewhere else, as journals.

use crate::engine::NotCreated;
use crate::error::AdminError;
use crate::journal::Journal;
use crate::runtime::Runtime;

impl Runtime {
    /// Records a run that was recorded elsewhere, or deleted since, under the id that it had: all of its journal, in one append, or
    /// nothing.
    ///
    /// An unfinished one goes on, as if this process had recovered it, and waits for the times that it waited for; one
    /// whose function is not in this program is kept, and told to whoever asks. A halted one stays halted, one that has ended
    /// stays as it ended. The same journal again, also of a run that has gone on since, is no error and does nothing.
    ///
    /// Take care that an unfinished run goes on in one place only: nothing tells the store that it was exported from. Import
    /// [child runs](crate::Child) before their parent, whose id their ids begin with: a parent that goes on and does not find a child of its own starts it anew.
    ///
    /// # Errors
    /// [`AdminError::Taken`] if the id belongs to another run, [`AdminError::NotAJournal`],
    /// [`AdminError::ShuttingDown`]: nothing was changed. [`AdminError::Store`]: it is unknown whether the run was
    /// recorded; importing it again is safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Journal, Runtime, durable};
    ///
    /// #[durable]
    /// async fn moved(ctx: Context) -> u32 {
    ///     ctx.run("answer", async || 42).await
    /// }
    ///
    /// let here = Runtime::builder().in_memory().await?;
    /// here.start("m-1", moved, ()).await?.await?;
    /// let lines = here.journal("m-1").await?.expect("it was started").to_lines();
    ///
    /// let there = Runtime::builder().in_memory().await?;
    /// there.import(&Journal::from_lines(&lines)?).await?;
    /// assert_eq!(there.attach("m-1", moved).await?.await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import(&self, journal: &Journal) -> Result<(), AdminError> {
        let Journal { run, events } = journal;
        match self.inner.engine.create(run, events.clone()).await {
            Ok(()) => Ok(()),
            Err(NotCreated::Taken(there)) if !events.is_empty() && there.events.starts_with(events) => Ok(()),
            Err(NotCreated::Taken(_)) => Err(AdminError::Taken { run: run.clone() }),
            Err(NotCreated::Illegal(detail)) => Err(AdminError::NotAJournal { run: run.clone(), detail }),
            Err(NotCreated::ShuttingDown) => Err(AdminError::ShuttingDown),
            Err(NotCreated::Store(error)) => Err(AdminError::Store(error)),
        }
    }
}
