//! Deleting runs that ended long ago: when somebody says so, and regularly.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::runs::{DeleteRefused, Engine};
use super::sound::decode_ends;
use crate::admin::Retention;
use crate::clock::{Clock, Timestamp};
use crate::id::RunId;
use crate::store::{Store, StoreError};
use crate::sync::atomic::{AtomicBool, Ordering};

/// How many runs are looked at in one go; between two pages others have their turn.
const PAGE: usize = 500;

/// How long a runtime waits before it prunes again.
pub(crate) const PERIOD: Duration = Duration::from_hours(1);

/// What is pruned regularly, if anything is.
#[derive(Debug, Default)]
pub(crate) struct Pruning {
    policy: OnceLock<Retention>,
    is_begun: AtomicBool,
    stopped: Notify,
}

impl Pruning {
    pub(super) fn stop(&self) {
        self.stopped.notify_one();
    }
}

/// Why not all runs were looked at. Those that were deleted are gone.
#[derive(Debug)]
pub(crate) enum NotPruned {
    ShuttingDown,
    Store(StoreError),
}

impl Engine {
    /// What is to be pruned regularly, from when the store is recovered.
    pub(crate) fn retain(&self, policy: Retention) {
        self.pruning.policy.get_or_init(|| policy);
    }

    /// Begins to prune regularly, unless that was begun, if there is a policy.
    pub(super) fn prune_regularly(self: &Arc<Self>) {
        let Some(policy) = self.pruning.policy.get() else { return };
        if !self.pruning.is_begun.swap(true, Ordering::AcqRel) {
            let (pruning, clock) = (Arc::clone(&self.pruning), Arc::clone(&self.environment.clock));
            self.tasks.spawn(prune_again_and_again(Arc::downgrade(self), *policy, pruning, clock));
        }
    }

    /// Deletes all runs that ended so long ago, and tells how many.
    pub(crate) async fn prune(self: &Arc<Self>, policy: Retention) -> Result<u64, NotPruned> {
        let now = self.environment.clock.now();
        let (mut deleted, mut after) = (0, None::<RunId>);
        loop {
            let from = after.take();
            let page = self.blocking(move |store| page(store, from.as_ref(), policy, now)).await;
            let (old, last) = page.map_err(NotPruned::Store)?;
            for run in old {
                if self.stopping.load(Ordering::Acquire) {
                    return Err(NotPruned::ShuttingDown);
                }
                let looked_at = run.clone();
                // It may have been deleted and started anew since it was looked at.
                let gone = self.delete_if(&run, move |store| is_old(store, &looked_at, policy, now)).await;
                deleted += match gone {
                    Ok(gone) => u64::from(gone),
                    // Somebody has just started it anew.
                    Err(DeleteRefused::Running | DeleteRefused::Awaited { .. }) => 0,
                    Err(DeleteRefused::ShuttingDown) => return Err(NotPruned::ShuttingDown),
                    Err(DeleteRefused::Store(error)) => return Err(NotPruned::Store(error)),
                };
            }
            if last.is_none() {
                return Ok(deleted);
            }
            after = last;
        }
    }
}

/// The runs of a page that are old, and the last one, if more follow.
fn page(
    store: &dyn Store,
    after: Option<&RunId>,
    policy: Retention,
    now: Timestamp,
) -> Result<(Vec<RunId>, Option<RunId>), StoreError> {
    let heads = store.list(None, after, PAGE)?;
    let last = heads.last().filter(|_| heads.len() == PAGE).map(|last| last.run.clone());
    let mut old = Vec::new();
    for head in heads.into_iter().filter(|head| policy.age_of(head.status).is_some()) {
        if is_old(store, &head.run, policy, now)? {
            old.push(head.run);
        }
    }
    Ok((old, last))
}

/// Whether the run ended so long ago. One that can't be read did not, as far as can be told.
fn is_old(store: &dyn Store, run: &RunId, policy: Retention, now: Timestamp) -> Result<bool, StoreError> {
    let ends = match store.ends(run) {
        Ok(Some(ends)) => decode_ends(ends),
        Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(ends.is_ok_and(|ends| {
        let age = policy.age_of(ends.head.status);
        age.is_some_and(|age| Timestamp(ends.last.at()).after(age) <= now)
    }))
}

async fn prune_again_and_again(engine: Weak<Engine>, policy: Retention, pruning: Arc<Pruning>, clock: Arc<dyn Clock>) {
    loop {
        match engine.upgrade() {
            Some(engine) if !engine.stopping.load(Ordering::Acquire) => match engine.prune(policy).await {
                Ok(0) | Err(NotPruned::ShuttingDown) => {}
                Ok(deleted) => tracing::info!(deleted, "runs that ended long ago were deleted"),
                Err(NotPruned::Store(error)) => {
                    tracing::error!(%error, "runs that ended long ago were not all deleted");
                }
            },
            _ => return,
        }
        let stopped = std::pin::pin!(pruning.stopped.notified());
        let next = clock.sleep_until(clock.now().after(PERIOD));
        if let futures::future::Either::Left(_) = futures::future::select(stopped, next).await {
            return;
        }
    }
}
