//! The part to copy: a run for each copy, and the one that waits for enough of them.

use std::time::Duration;

use durable_runtime::{ChildCancelled, Context, Retry, StepContext, durable};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::archives::{ArchiveError, Archives};

/// How many copies make a document safe.
const COPIES: usize = 3;

/// Why there is no copy in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum NoCopy {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Cancelled(#[from] ChildCancelled),
}

/// There are fewer copies than it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("only {copies} copies of {COPIES}")]
pub struct NotSafe {
    pub copies: usize,
}

/// Has copies made in all archives, and tells the author as soon as there are enough; returns where those are.
///
/// Each copy is made by a run of its own. The archive that takes its time keeps nobody waiting, and its copy is made all the
/// same: such a run goes on to its own end, also when this one has ended.
#[durable]
pub async fn archive_document(ctx: Context, text: String, archives: Vec<String>) -> Result<Vec<String>, NotSafe> {
    let text = &text;
    let copies = ctx.map(&archives, |archive| async move {
        ctx.run(make_copy, archive.clone(), text.clone()).await??;
        Ok::<_, NoCopy>(())
    });
    let enough = copies.at_least(COPIES).await.map_err(|too_few| NotSafe { copies: too_few.succeeded.len() })?;
    let places: Vec<String> = enough.succeeded.into_iter().map(|(index, ())| archives[index].clone()).collect();
    ctx.run(tell_author, &places).await;
    Ok(places)
}

/// Makes a copy, and reads it again.
#[durable]
pub async fn make_copy(ctx: Context, archive: String, text: String) -> Result<(), ArchiveError> {
    let patient = Retry::exponential(Duration::from_millis(20)).max_attempts(5).unless(ArchiveError::is_for_good);
    ctx.run(upload, &archive, &text).retry(patient).await?;
    ctx.run(compare, &archive, &text).retry(patient).await
}

/// Under the id of the copy's run: sent again, the archive has it already.
async fn upload(step: StepContext, archive: &str, text: &str) -> Result<(), ArchiveError> {
    step.dependency::<Archives>().of(archive).store(step.run_id().as_str(), text).await
}

async fn compare(step: StepContext, archive: &str, text: &str) -> Result<(), ArchiveError> {
    step.dependency::<Archives>().of(archive).compare(step.run_id().as_str(), text)
}

async fn tell_author(step: StepContext, places: &[String]) {
    step.dependency::<Archives>().tell(step.idempotency_key(), places);
}
