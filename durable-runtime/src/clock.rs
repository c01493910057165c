//! Time, injected: nothing else in this crate reads a clock.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use durable_runtime::Timestamp;
/// use std::time::Duration;
/// assert_eq!(Timestamp(1_000).after(Duration::from_secs(2)), Timestamp(3_000));
/// ```
///
/// Shown to people, it is in UTC, with as many digits of a second as it has:
///
/// ```
/// use durable_runtime::Timestamp;
/// assert_eq!(Timestamp(1_795_402_800_250).to_string(), "2026-11-23T03:00:00.25Z");
/// assert_eq!(Timestamp(u64::MAX).to_string(), "after the year 9999");
/// ```
///
/// As a value of a function or a step it is that number. It can be made of a `SystemTime`, and into one:
///
/// ```
/// use durable_runtime::Timestamp;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
/// assert_eq!(SystemTime::from(Timestamp(1_500)), UNIX_EPOCH + Duration::from_millis(1_500));
/// assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_500)), Timestamp(1_500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        match moment {
            Some(moment) => moment.fmt(f),
            None => f.write_str("after the year 9999"),
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// Rounded down to a millisecond; 1970 for times before it.
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    /// The epoch for a time that a `SystemTime` can't hold.
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(timestamp.0)).unwrap_or(UNIX_EPOCH)
    }
}

impl Timestamp {
    /// The moment `duration` later, rounded up to a millisecond; the end of time if there is none.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A future that resolves when a moment has come; see [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a runtime takes its time from.
///
/// [`SystemClock`] is the default; tests pass a clock they move by hand.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current moment. May jump in either direction.
    fn now(&self) -> Timestamp;

    /// A future that resolves once [`now`](Self::now) has reached `due`.
    fn sleep_until(&self, due: Timestamp) -> Sleep;

    /// A future that resolves when so much time has passed, whatever the clock is set to meanwhile.
    ///
    /// Unless it is given, that of a clock that nobody sets.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().after(duration))
    }
}

/// The machine's clock, with timers from tokio.
///
/// ```
/// use durable_runtime::{Clock, SystemClock};
/// assert!(SystemClock.now().0 > 1_700_000_000_000);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        SystemTime::now().into()
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        let clock = *self;
        Box::pin(async move {
            // Slept in slices, so that a clock that is set forward is noticed within one of them.
            const SLICE: Duration = Duration::from_secs(1);
            loop {
                let left = due.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLICE)).await;
            }
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}
