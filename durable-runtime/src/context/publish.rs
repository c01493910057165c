//! Showing values outside while the run goes on: `ctx.publish`.

use std::borrow::Cow;
use std::panic::Location;

use serde::Serialize;

use super::Context;
use super::scope::{Place, Scope};
use crate::halt::{Halt, HaltReason};
use crate::journal::{Arguments, OperationKind};
use crate::payload::Payload;
use crate::replay::Request;
use crate::value;

impl Context {
    /// Shows a value outside, while the run goes on: [`Runtime::published`](crate::Runtime::published) reads the latest one
    /// of a name, [`Runtime::follow`](crate::Runtime::follow) all of them, from any number on, as they come.
    ///
    /// The values of a name are numbered, from 0. Each is recorded once, whatever happens to the process, and is seen by
    /// nobody before it is durable. There is nothing to await: what was published since the last `.await` is recorded when the
    /// code comes to the next one that does not go on at once, or returns. A step that begins behind it begins when
    /// it is durable, so whoever sees what that step does can see what was published before.
    ///
    /// It is an operation: its key is the name (1 to [`STEP_NAME_BYTES_MAX`](crate::STEP_NAME_BYTES_MAX) bytes, no `#`), it counts
    /// among [`Limits::operations`](crate::Limits::operations), and on replay the value must be the same (R9). It belongs to the
    /// durable function; the body of a step [reports](crate::StepContext::report). In a destructor nothing is
    /// published when it is the engine that drops the code, because the run leaves memory.
    ///
    /// A value that can't be encoded, or is larger than [`Limits::payload_bytes`](crate::Limits::payload_bytes), halts the run
    /// ([`HaltReason::Value`]).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn resize(page: u32) -> u32 {
    ///     page
    /// }
    ///
    /// #[durable]
    /// async fn resizes_pages(ctx: Context, pages: u32) {
    ///     for page in 0..pages {
    ///         ctx.run(resize, page).await;
    ///         ctx.publish("progress", &format!("{} of {pages}", page + 1));
    ///     }
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("book-1", resizes_pages, 3).await?.await?;
    /// assert_eq!(runtime.published::<String>("book-1", "progress").await?.as_deref(), Some("3 of 3"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside the code of its run (R10).
    #[track_caller]
    pub fn publish<T: Serialize + ?Sized>(&self, name: impl Into<Cow<'static, str>>, value: &T) {
        let (name, site, shared) = (name.into(), Location::caller(), &self.shared);
        if Scope::current() == Place::Leaving(shared.instance) {
            return;
        }
        shared.check_place(&format_args!("`ctx.publish({name:?}, …)` at {site}"));
        let refuse = |why: &dyn std::fmt::Display| {
            let message = format!("what is published as {name:?} at {site} can't be recorded: {why}");
            shared.halt(Halt::new(HaltReason::Value, None, message));
        };
        let digest = match value::digest(value) {
            Ok(digest) => digest.0,
            Err(error) => return refuse(&error),
        };
        let request = Request { name: name.clone(), kind: OperationKind::Publication, digest, site: site.into() };
        let (claim, differs) = shared.claim_named(request);
        if differs {
            shared.show(claim, Arguments::of(&(value,)));
        }
        if !shared.is_unpublished(claim) {
            return;
        }
        let environment = &shared.environment;
        match Payload::encode(environment.codec, value, environment.limits.payload_bytes) {
            Ok(value) => shared.publish(claim, value),
            Err(error) => refuse(&error),
        }
    }
}
