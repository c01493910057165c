//! A clock that a test moves by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Sleep, Timestamp};

/// A clock that stands still until a test moves it, for tests of a [`Runtime`](crate::Runtime) with several runs. Clones are
/// the same clock.
///
/// Waits between attempts and time limits are those of this clock; what the steps themselves await, such as
/// `tokio::time::sleep`, is not. (For one run, [`explore`](super::explore) needs no clock.)
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::testing::ManualClock;
/// use durable_runtime::{Clock, Context, Failure, Retry, Runtime, StepContext, durable};
///
/// async fn ask_the_bank(step: StepContext) -> Result<u32, Failure> {
///     if step.attempt() < 2 { Err(Failure::new("closed until next month")) } else { Ok(step.attempt()) }
/// }
///
/// #[durable]
/// async fn asks_again(ctx: Context) -> Result<u32, Failure> {
///     ctx.run(ask_the_bank).retry(Retry::fixed(Duration::from_hours(24 * 30))).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::default();
/// let runtime = Runtime::builder().clock(clock.clone()).in_memory().await?;
/// let run = runtime.start("ord_1", asks_again, ()).await?;
///
/// let in_a_month = clock.now().after(Duration::from_hours(24 * 30));
/// clock.asked_for(in_a_month).await; // the first attempt has failed, and the run waits
/// clock.set(in_a_month);
/// assert_eq!(run.await?, Ok(2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    asked: watch::Sender<BTreeSet<Timestamp>>,
}

/// A clock that shows some moment.
impl Default for ManualClock {
    fn default() -> Self {
        Self::starting_at(Timestamp(1_000_000))
    }
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn starting_at(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now), asked: watch::Sender::default() }
    }

    /// Moves the clock forward, and wakes whoever sleeps until then.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = now.after(duration));
    }

    /// Sets the clock, forward or back, and wakes whoever sleeps until then.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// Waits until somebody has asked to be woken at `due`, to the millisecond: then a test can move the clock and nobody
    /// misses it.
    pub async fn asked_for(&self, due: Timestamp) {
        let mut asked = self.asked.subscribe();
        // This clock holds the sender.
        let _ = asked.wait_for(|asked| asked.contains(&due)).await;
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
