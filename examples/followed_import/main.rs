//! A long import shows how far it is, and a reader follows it: across a restart of the process, without missing a page or
//! seeing one twice.
//!
//! `cargo run --example followed_import` ends the first process after a few pages. The reader remembers one number, as a browser does
//! with `Last-Event-ID`. How it is tested is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod catalogue;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::{PublishedError, Runtime};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::catalogue::{Catalogue, Progress, import};

const PAGES: u32 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let catalogue = Catalogue::slow(Duration::from_millis(30));

    let runtime = open(folder.path(), &catalogue).await?;
    runtime.start("import-1", import, PAGES).await?.id();
    let reading = tokio::spawn(read(runtime.clone(), 0));
    // Ends once the reader has seen a few pages, whatever the import is doing just now.
    let seen = runtime.follow::<Progress>("import-1", "progress", 0).take(3).count().await;
    runtime.shutdown(Duration::ZERO).await;
    let next = reading.await??;
    println!("the first process has ended after {seen} pages or more; the reader will ask for number {next}");

    let runtime = open(folder.path(), &catalogue).await?;
    let end = read(runtime.clone(), next).await?;
    let songs = runtime.attach("import-1", import).await?.await?.map_err(|failure| failure.to_string())?;
    let stage = runtime.published::<String>("import-1", "stage").await?;
    println!("{songs} songs, {end} pages; the stage is {stage:?}");
    runtime.shutdown(Duration::from_secs(1)).await;
    if end == u64::from(PAGES) && stage.as_deref() == Some("done") { Ok(()) } else { Err("it ended otherwise".into()) }
}

/// Shows all from this number on, and returns the next one: when the run has ended, or the process is about to.
async fn read(runtime: Runtime, mut next: u64) -> Result<u64, PublishedError> {
    let mut progress = runtime.follow::<Progress>("import-1", "progress", next);
    // The runtime is not kept open by who only reads.
    drop(runtime);
    loop {
        match progress.try_next().await {
            Ok(Some((number, Progress { page, pages, songs }))) => {
                println!("  {number}: page {page} of {pages}, {songs} songs");
                next = number + 1;
            }
            Ok(None) | Err(PublishedError::ShuttingDown { .. }) => return Ok(next),
            Err(error) => return Err(error),
        }
    }
}

async fn open(folder: &Path, catalogue: &Catalogue) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(catalogue.clone()).open(folder.join("imports.durable")).await?)
}
