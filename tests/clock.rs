//! A clock that a test moves by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use durable_runtime::{Clock, Sleep, Timestamp};
use tokio::sync::watch;

use crate::patiently;

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    asked: watch::Sender<BTreeSet<Timestamp>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { now: watch::Sender::new(Timestamp(1_000_000)), asked: watch::Sender::default() }
    }
}

impl ManualClock {
    /// Moves the clock forward and wakes whoever sleeps until then.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = now.after(duration));
    }

    /// Waits until somebody has asked to be woken at `due`.
    ///
    /// # Panics
    /// If nobody does.
    pub async fn asked_for(&self, due: Timestamp) {
        let mut asked = self.asked.subscribe();
        let asking = asked.wait_for(|asked| asked.contains(&due));
        patiently(due, asking).await.expect("the clock holds the sender");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        self.asked.send_modify(|asked| {
            asked.insert(due);
        });
        let mut now = self.now.subscribe();
        Box::pin(async move {
            // The clock is gone only when its runtime is, and then nobody waits any more.
            if now.wait_for(|now| *now >= due).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
