//! An address is confirmed by a click on a link. The link has the id of a promise: it stays good over restarts, nobody can make
//! one up, the first click counts, and after two days it is too late.
//!
//! `cargo run --example confirmed_address` lets a day last 500 ms. The process is restarted between the letter and the click. How
//! it is tested, in days that take no time, is in `tests.rs`.

#![allow(unreachable_pub, reason = "in a program, `pub` is what other modules may use")]

mod address;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use durable_runtime::{PromiseError, PromiseState, Runtime};

use crate::address::{Ended, Mailbox, Signup, confirm};

const DAY: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mailbox = Mailbox::default();

    let runtime = open(folder.path(), &mailbox).await?;
    for (id, address) in [("signup-1", "ada@example.org"), ("signup-2", "nobody@example.org")] {
        runtime.start(id, confirm, Signup { address: address.to_owned(), day: DAY }).await?.id();
    }
    let link = loop {
        match mailbox.link_to("ada@example.org") {
            Some(link) => break link,
            None => tokio::time::sleep(DAY / 10).await,
        }
    };
    runtime.shutdown(Duration::from_secs(1)).await;
    println!("the first process has ended; Ada has the link …/confirm/{}…", &link[..12]);

    let runtime = open(folder.path(), &mailbox).await?;
    // What the handler of GET /confirm/{link} does.
    runtime.resolve(&link, &()).await?;
    println!("first click: confirmed");
    match runtime.resolve(&link, &()).await {
        Err(PromiseError::Settled { state: PromiseState::Resolved, .. }) => println!("second click: confirmed before"),
        other => return Err(format!("the second click: {other:?}").into()),
    }
    let ada = runtime.attach("signup-1", confirm).await?.await?;
    let nobody = runtime.attach("signup-2", confirm).await?.await?;
    println!("ada@example.org: {ada:?}; nobody@example.org: {nobody:?}");
    if let Some(link) = mailbox.link_to("nobody@example.org") {
        let late = runtime.resolve(&link, &()).await;
        println!(
            "a click after two days: {}",
            late.as_ref().map_or_else(ToString::to_string, |()| "counts".to_owned())
        );
    }
    runtime.shutdown(Duration::from_secs(1)).await;
    if (ada, nobody) == (Ended::Confirmed, Ended::Expired) { Ok(()) } else { Err("it ended otherwise".into()) }
}

/// The mailbox is somewhere else, and outlives this runtime.
async fn open(folder: &Path, mailbox: &Mailbox) -> Result<Runtime, Box<dyn Error>> {
    Ok(Runtime::builder().dependency(mailbox.clone()).open(folder.join("signups.durable")).await?)
}
