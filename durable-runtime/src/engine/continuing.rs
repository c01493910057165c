//! Continuing as new: a run's journal is replaced by a shorter one.

use std::sync::Arc;

use super::active::Outcome;
use super::committer::{CommitError, Link};
use super::create::{NotCreated, Past};
use super::driver::interrupted;
use super::execution::corrupt;
use super::recovery::Loaded;
use super::registry::Registration;
use super::runs::Engine;
use crate::halt::{Halt, HaltReason};
use crate::id::RunId;
use crate::payload::Payload;
use crate::replay::{Next, continued};
use crate::store::{Append, RunHead, StoreError};

/// How much a run may take with it, in bytes: it is one append.
const TAKEN_BYTES_MAX: usize = 64 * 1_024 * 1_024;

impl Engine {
    /// Replaces the journal of a run whose code has continued as new, and that nobody else writes to. The run as it is then; if
    /// that can't be done, what becomes of it.
    pub(super) async fn continue_as_new(
        &self,
        id: &RunId,
        registration: &Registration,
        input: Payload,
        input_digest: u64,
    ) -> Result<Loaded, Outcome> {
        let halted = |reason, message: String| Outcome::Halted(Halt::new(reason, None, message));
        let unread = |error: StoreError| match error {
            StoreError::Corrupt { .. } => halted(HaltReason::Corrupt, error.to_string()),
            error => interrupted(&CommitError::Store(error)),
        };
        let Some(loaded) = self.load(id).await.map_err(unread)? else { return Err(Outcome::Stopped) };
        let next = Next {
            version: registration.version,
            fingerprint: registration.fingerprint,
            patches: self.registry.patches().map(Into::into).collect(),
            input,
            input_digest,
            at: self.environment.clock.now().0,
        };
        let not_begun = || Outcome::Halted(corrupt("the journal does not begin with Started"));
        let events = continued(&loaded.events, next).ok_or_else(not_begun)?;
        let Past { append, head } = match Past::of(id, &events) {
            Ok(past) => past,
            Err(NotCreated::Illegal(detail)) => return Err(halted(HaltReason::Limit, detail)),
            Err(_) => return Err(Outcome::Stopped),
        };
        let bytes: usize = append.records.iter().map(|record| record.frame.len()).sum();
        if bytes > TAKEN_BYTES_MAX {
            let records = append.records.len();
            let message = format!(
                "it can't continue as new with {records} records of {bytes} bytes, more than {TAKEN_BYTES_MAX}: its input, the signals that were not taken, and the latest value of each name that it has published. Take the signals before, or publish less at once"
            );
            return Err(halted(HaltReason::Limit, message));
        }
        let fence = loaded.head.fence.next();
        let append = Append { expected: loaded.head.length, fence, replaces: true, ..append };
        fail_point!("run.continue.unwritten");
        let link = Arc::new(Link::default());
        self.committer.submit(append, &link);
        link.wait().await.map_err(|error| interrupted(&error))?;
        fail_point!("run.continue.durable");
        self.followers.tell(id);
        tracing::debug!(run = %id, "run continues as new");
        let head = RunHead { fence, ..head };
        Ok(Loaded { head, events, winds_up: false })
    }
}
