//! A document is safe when three of five archives have a copy: nobody waits for the slowest, and one may be full.
//!
//! `cargo run --example archived_document` has a run for each copy, and one that waits for three of them. The process ends when
//! the first copy is made, and another one goes on. The author is told when there are three copies; the fourth is made
//! later, by a run that nobody waits for any more. What is promised is in `document.rs`, and how that is tested in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod document;

mod archives;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::Runtime;

use crate::archives::{Archive, Archives};
use crate::document::{archive_document, make_copy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let archives = Archives::new([
        Archive::new("Athens", Duration::from_millis(20)),
        Archive::full("Berlin"),
        Archive::new("Cairo", Duration::from_millis(100)),
        Archive::new("Delhi", Duration::from_millis(500)),
        Archive::new("Essen", Duration::from_millis(60)),
    ]);

    let runtime = open(folder.path(), &archives).await?;
    let document = ("To my heirs: …".to_owned(), archives.names());
    runtime.start("will-1", archive_document, document).await?.id();
    while archives.with_copy().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    runtime.shutdown(Duration::ZERO).await;
    println!("the first process has ended; copies are in {:?}", archives.with_copy());

    let runtime = open(folder.path(), &archives).await?; // goes on
    let places = runtime.attach("will-1", archive_document).await?.await??;
    let told = archives.told();
    println!("the author knows of copies in {places:?}; copies are in {:?}", archives.with_copy());

    // A run of its own, which nobody waits for any more.
    runtime.attach("will-1:make_copy#4", make_copy).await?.await??;
    println!("and at last in {:?}", archives.with_copy());
    runtime.shutdown(Duration::from_secs(1)).await;
    let is_right = told.iter().all(|told| told.with_copy == 3) && told.len() == 1 && archives.with_copy().len() == 4;
    if is_right { Ok(()) } else { Err("the author was told something else".into()) }
}

/// The archives are somewhere else: they outlive this runtime.
async fn open(folder: &Path, archives: &Archives) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(archives.clone()).open(folder.join("documents.durable")).await?)
}
