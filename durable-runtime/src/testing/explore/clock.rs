//! Time that passes only when nothing else is to be done.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Clock, Sleep, Timestamp};

/// When simulated time begins: 2027-01-01T00:00:00Z.
pub(super) const BEGINNING: Timestamp = Timestamp(1_798_761_600_000);

/// tokio's timers go to a little more than two years.
const SLICE: Duration = Duration::from_hours(24 * 365);

/// A wait of any length.
pub(super) fn sleep(duration: Duration) -> Sleep {
    Box::pin(async move {
        let mut left = duration;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            tokio::time::sleep(slice).await;
            left -= slice;
        }
    })
}

/// tokio's paused time, as one process sees it.
#[derive(Debug, Clone)]
pub(super) struct VirtualClock {
    started: Instant,
    /// What the clock shows is that much later, or earlier, than what has passed.
    shift: watch::Sender<i64>,
    /// How long the process lived, once it does not any more: there is no paused time outside of its tokio runtime.
    stopped: Option<Duration>,
}

impl VirtualClock {
    /// A clock that shows `now`, at present. Call within the tokio runtime of the process.
    pub(super) fn starting_at(now: Timestamp) -> Self {
        let shift = i64::try_from(now.0).unwrap_or(i64::MAX);
        Self { started: Instant::now(), shift: watch::Sender::new(shift), stopped: None }
    }

    /// How long the process lives.
    pub(super) fn elapsed(&self) -> Duration {
        self.stopped.unwrap_or_else(|| Instant::now().saturating_duration_since(self.started))
    }

    /// The process is over; returns how long it lived.
    pub(super) fn stop(&mut self) -> Duration {
        *self.stopped.insert(self.elapsed())
    }

    /// Sets the clock to this time.
    pub(super) fn set(&self, now: Timestamp) {
        let millis = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
        self.jump(millis(now) - millis(self.now()));
    }

    /// Sets the clock, as an operator or a time server does.
    pub(super) fn jump(&self, millis: i64) {
        self.shift.send_modify(|shift| *shift = shift.saturating_add(millis));
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(u64::try_from(elapsed.saturating_add(*self.shift.borrow())).unwrap_or(0))
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        let clock = self.clone();
        Box::pin(async move {
            let mut shift = clock.shift.subscribe();
            loop {
                let left = due.since(clock.now());
                if left.is_zero() {
                    return;
                }
                let slept = std::pin::pin!(tokio::time::sleep(left.min(SLICE)));
                let set = std::pin::pin!(shift.changed());
                futures::future::select(slept, set).await;
            }
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        sleep(duration)
    }
}
