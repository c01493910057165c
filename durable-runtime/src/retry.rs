//! When a failed step is tried again.

use std::fmt;
use std::time::Duration;

/// How long an exponential wait grows if nothing else is said.
const EXPONENTIAL_DELAY_MAX: Duration = Duration::from_mins(1);

/// How many attempts are made in total if nothing else is said.
const ATTEMPTS_MAX: u32 = 10;

/// When a step that returned an error is tried again: how often, how much later, and after which errors.
///
/// A step without a `Retry` is not tried again. The attempts made and the time of the next one are recorded, so
/// a crash neither forgets nor repeats them (R11).
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::Retry;
///
/// # enum PaymentError { Declined, GatewayDown }
/// impl PaymentError {
///     fn is_declined(&self) -> bool {
///         matches!(self, PaymentError::Declined)
///     }
/// }
///
/// // Waits 0.5 s, then 1 s, then gives up; gives up at once when the card was declined.
/// let retry = Retry::exponential(Duration::from_millis(500)).max_attempts(3).unless(PaymentError::is_declined);
/// # let _ = retry;
/// ```
#[derive(Clone, Copy)]
#[must_use = "give it to a step: `ctx.run(..).retry(retry)`"]
pub struct Retry<P = Always> {
    initial: Duration,
    growth: Growth,
    delay_max: Duration,
    attempts_max: u32,
    retries_on: P,
}

#[derive(Debug, Clone, Copy)]
enum Growth {
    Constant,
    Doubling,
}

impl Retry {
    /// Waits `initial` after the first attempt, then twice as long after each further one, but at most a minute
    /// (or `initial`, if that is more). Ten attempts in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let retry = Retry::exponential(Duration::from_secs(20));
    /// assert_eq!(retry.delay_after(1), Some(Duration::from_secs(20)));
    /// assert_eq!(retry.delay_after(2), Some(Duration::from_secs(40)));
    /// assert_eq!(retry.delay_after(3), Some(Duration::from_secs(60)));
    /// ```
    pub fn exponential(initial: Duration) -> Self {
        Self {
            initial,
            growth: Growth::Doubling,
            delay_max: initial.max(EXPONENTIAL_DELAY_MAX),
            attempts_max: ATTEMPTS_MAX,
            retries_on: Always,
        }
    }

    /// Waits `delay` after every attempt. Ten attempts in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let retry = Retry::fixed(Duration::from_secs(90));
    /// assert_eq!(retry.delay_after(1), Some(Duration::from_secs(90)));
    /// assert_eq!(retry.delay_after(9), Some(Duration::from_secs(90)));
    /// assert_eq!(retry.delay_after(10), None);
    /// ```
    pub fn fixed(delay: Duration) -> Self {
        Self {
            initial: delay,
            growth: Growth::Constant,
            delay_max: Duration::MAX,
            attempts_max: ATTEMPTS_MAX,
            retries_on: Always,
        }
    }

    /// Gives up at once after an error for which `predicate` is true: one that a further attempt can't mend.
    ///
    /// The predicate takes the step's own error. It is asked once per failed attempt, never on replay, because
    /// its answer is recorded. Can be said once; combine several reasons in one predicate.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Failure, Retry};
    /// let retry = Retry::fixed(Duration::from_secs(1)).unless(Failure::is_permanent);
    /// let retry = Retry::fixed(Duration::from_secs(1)).unless(|error: &String| error.contains("declined"));
    /// # let _ = retry;
    /// ```
    pub fn unless<E, F: Fn(&E) -> bool>(self, predicate: F) -> Retry<F> {
        let Self { initial, growth, delay_max, attempts_max, retries_on: Always } = self;
        Retry { initial, growth, delay_max, attempts_max, retries_on: predicate }
    }
}

impl<P> Retry<P> {
    /// Makes at most `attempts_max` attempts in total, the first one included. 0 is taken as 1: no retry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let retry = Retry::fixed(Duration::from_secs(1)).max_attempts(2);
    /// assert_eq!(retry.delay_after(1), Some(Duration::from_secs(1)));
    /// assert_eq!(retry.delay_after(2), None);
    /// ```
    pub fn max_attempts(self, attempts_max: u32) -> Self {
        Self { attempts_max: attempts_max.max(1), ..self }
    }

    /// Waits at most `delay_max` between two attempts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let retry = Retry::exponential(Duration::from_secs(1)).max_delay(Duration::from_secs(3));
    /// assert_eq!(retry.delay_after(2), Some(Duration::from_secs(2)));
    /// assert_eq!(retry.delay_after(3), Some(Duration::from_secs(3)));
    /// ```
    pub fn max_delay(self, delay_max: Duration) -> Self {
        Self { delay_max, ..self }
    }

    /// How long to wait after the failed attempt number `attempt`, counted from 1; `None` if it was the last.
    ///
    /// Depends on nothing but the policy and the number (0 is taken as 1), and never overflows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let retry = Retry::exponential(Duration::from_millis(500)).max_attempts(3);
    /// let delays: Vec<_> = (1..).map_while(|attempt| retry.delay_after(attempt)).collect();
    /// assert_eq!(delays, [Duration::from_millis(500), Duration::from_secs(1)]);
    /// ```
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        let mut delay = self.initial.min(self.delay_max);
        match self.growth {
            Growth::Constant => {}
            Growth::Doubling => {
                // At most 94 rounds, since that is how often a nanosecond can be doubled; none for zero.
                for _ in 1..attempt {
                    if delay.is_zero() || delay == self.delay_max {
                        break;
                    }
                    delay = delay.saturating_mul(2).min(self.delay_max);
                }
            }
        }
        Some(delay)
    }

    /// Whether the policy gives a step that failed with `error` another attempt, if any are left.
    pub(crate) fn retries_on<E>(&self, error: &E) -> bool
    where
        P: RetryOn<E>,
    {
        self.retries_on.retries_on(error)
    }
}

impl<P> fmt::Debug for Retry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The predicate is left out: functions have nothing to show.
        f.debug_struct("Retry")
            .field("initial", &self.initial)
            .field("growth", &self.growth)
            .field("delay_max", &self.delay_max)
            .field("attempts_max", &self.attempts_max)
            .finish_non_exhaustive()
    }
}

/// The predicate of a [`Retry`] without [`unless`](Retry::unless): every error gets another attempt.
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::{Always, Retry};
/// let _: Retry<Always> = Retry::fixed(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Always;

/// A [`Retry`]'s predicate that fits a step whose error is `E`: [`Always`] fits every error, a function or
/// closure `Fn(&E) -> bool` only its own. Sealed: there are no others.
///
/// ```
/// use durable_runtime::{Retry, RetryOn};
///
/// fn takes_a_policy_for<E, P: RetryOn<E>>(_: Retry<P>) {}
///
/// let retry = Retry::fixed(std::time::Duration::from_secs(1));
/// takes_a_policy_for::<std::io::Error, _>(retry);
/// takes_a_policy_for::<std::fmt::Error, _>(retry.unless(|_: &std::fmt::Error| true));
/// ```
///
/// ```compile_fail,E0277
/// # use durable_runtime::{Retry, RetryOn};
/// # fn takes_a_policy_for<E, P: RetryOn<E>>(_: Retry<P>) {}
/// # let retry = Retry::fixed(std::time::Duration::from_secs(1));
/// takes_a_policy_for::<std::io::Error, _>(retry.unless(|_: &std::fmt::Error| true));
/// ```
#[diagnostic::on_unimplemented(
    message = "this retry policy does not fit a step whose error is `{E}`",
    label = "its `.unless(..)` predicate takes another error, or can't be sent between threads",
    note = "write `.unless(|error: &{E}| ..)`, owning what it captures"
)]
pub trait RetryOn<E>: sealed::Sealed<E> {
    #[doc(hidden)]
    fn retries_on(&self, error: &E) -> bool;
}

impl<E> RetryOn<E> for Always {
    fn retries_on(&self, _: &E) -> bool {
        true
    }
}

impl<E, F: Fn(&E) -> bool + Send + Sync + 'static> RetryOn<E> for F {
    fn retries_on(&self, error: &E) -> bool {
        !self(error)
    }
}

mod sealed {
    pub trait Sealed<E> {}

    impl<E> Sealed<E> for super::Always {}

    impl<E, F: Fn(&E) -> bool + Send + Sync + 'static> Sealed<E> for F {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct PaymentError {
        declined: bool,
    }

    impl PaymentError {
        fn is_declined(&self) -> bool {
            self.declined
        }
    }

    /// R11.
    #[test]
    fn a_declined_card_is_not_charged_again() {
        let retry = Retry::exponential(Duration::from_millis(500)).max_attempts(3).unless(PaymentError::is_declined);
        assert!(!retry.retries_on(&PaymentError { declined: true }));
        assert!(retry.retries_on(&PaymentError { declined: false }));
        assert!(Retry::fixed(Duration::ZERO).retries_on(&PaymentError { declined: true }));
        assert_eq!(retry.delay_after(2), Some(Duration::from_secs(1)), "the rest of the policy is kept");
        assert_eq!(retry.delay_after(3), None);
    }

    #[test]
    fn zero_attempts_are_one() {
        let retry = Retry::fixed(Duration::ZERO).max_attempts(0);
        assert_eq!(retry.attempts_max, 1);
        assert_eq!(retry.delay_after(1), None);
    }

    #[test]
    fn a_first_delay_over_a_minute_is_kept() {
        let hour = Duration::from_hours(1);
        assert_eq!(Retry::exponential(hour).delay_after(1), Some(hour));
        assert_eq!(Retry::exponential(hour).delay_after(5), Some(hour));
        assert_eq!(Retry::exponential(hour).max_delay(hour / 2).delay_after(1), Some(hour / 2));
        assert_eq!(Retry::fixed(hour).max_delay(hour / 2).delay_after(1), Some(hour / 2));
    }

    #[test]
    fn huge_numbers_saturate() {
        let patient = Retry::exponential(Duration::from_nanos(1)).max_attempts(u32::MAX).max_delay(Duration::MAX);
        assert_eq!(patient.delay_after(u32::MAX - 1), Some(Duration::MAX));
        assert_eq!(patient.delay_after(u32::MAX), None);
        assert_eq!(patient.delay_after(34), Some(Duration::from_nanos(1 << 33)));
        let eager = Retry::exponential(Duration::ZERO).max_attempts(u32::MAX);
        assert_eq!(eager.delay_after(u32::MAX - 1), Some(Duration::ZERO));
        assert_eq!(Retry::fixed(Duration::MAX).delay_after(1), Some(Duration::MAX));
    }

    proptest! {
        #[test]
        fn delays_are_the_powers_of_two_up_to_the_limit(
            initial in any::<Duration>(),
            delay_max in any::<Duration>(),
            attempts_max in any::<u32>(),
            attempt in prop_oneof![1..100_u32, any::<u32>()],
        ) {
            let retry = Retry::exponential(initial).max_delay(delay_max).max_attempts(attempts_max);
            // Reference: exact arithmetic as long as it fits, which is long after every limit.
            let doublings = attempt.saturating_sub(1);
            let exact = (doublings < 128)
                .then(|| initial.as_nanos().checked_mul(1 << doublings))
                .flatten()
                .filter(|nanos| *nanos < delay_max.as_nanos());
            let expected = if initial.is_zero() { Some(0) } else { exact }.unwrap_or(delay_max.as_nanos());
            let expected = (attempt < attempts_max.max(1)).then_some(expected);
            prop_assert_eq!(retry.delay_after(attempt).map(|delay| delay.as_nanos()), expected);
        }
    }
}
