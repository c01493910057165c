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
    elapsed_max: Duration,
    has_jitter: bool,
    retries_on: P,
}

/// What a policy is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// Which attempt failed, from 1.
    pub(crate) attempt: u32,
    /// How long before now the first one failed.
    pub(crate) elapsed: Duration,
    /// A number from 0 up to 1, which is another one for each attempt and run.
    pub(crate) chance: f64,
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
            elapsed_max: Duration::MAX,
            has_jitter: false,
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
            elapsed_max: Duration::MAX,
            has_jitter: false,
            retries_on: Always,
        }
    }

    /// Gives up at once after an error for which `predicate` is true: one that a further attempt can't mend.
    ///
    /// The predicate takes the step's own error. Of a step, it is asked once per failed attempt, never on replay, because
    /// its answer is recorded; of a [block](crate::Context::retry), on replay, too. Can be said once; combine several reasons in one predicate.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Failure, Retry};
    /// let retry = Retry::fixed(Duration::from_secs(1)).unless(Failure::is_permanent);
    /// let retry = Retry::fixed(Duration::from_secs(1)).unless(|error: &String| error.contains("declined"));
    /// # let _ = retry;
    /// ```
    pub fn unless<E, F: Fn(&E) -> bool>(self, predicate: F) -> Retry<F> {
        self.with(|Always| predicate)
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

    /// Plans no attempt for later than this after the first one has failed, across restarts. One that was planned begins, if
    /// the process was down at that time, when it is up again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let for_an_hour = Retry::fixed(Duration::from_secs(10)).max_attempts(u32::MAX).max_elapsed(Duration::from_secs(3_600));
    /// # let _ = for_an_hour;
    /// ```
    pub fn max_elapsed(self, elapsed_max: Duration) -> Self {
        Self { elapsed_max, ..self }
    }

    /// Shortens each delay by a random part, by half of it at the most, so that runs that failed together do not all come
    /// back together. It is the run's chance: the same after a crash.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// let spread = Retry::exponential(Duration::from_secs(1)).jitter();
    /// # let _ = spread;
    /// ```
    pub fn jitter(self) -> Self {
        Self { has_jitter: true, ..self }
    }

    /// Waits as long as the error says, if it says anything, instead of what the policy says: for servers that tell when
    /// they want to be asked again. Neither [`max_delay`](Self::max_delay) nor [`jitter`](Self::jitter) changes that;
    /// attempts are counted all the same. [`unless`](Retry::unless) comes before it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::Retry;
    /// struct Refused { retry_after: Option<Duration> }
    /// let polite = Retry::exponential(Duration::from_secs(1)).delay_from(|error: &Refused| error.retry_after);
    /// # let _ = polite;
    /// ```
    pub fn delay_from<E, D: Fn(&E) -> Option<Duration>>(self, delay: D) -> Retry<DelayFrom<P, D>> {
        self.with(|retries_on| DelayFrom { retries_on, delay })
    }

    fn with<Q>(self, retries_on: impl FnOnce(P) -> Q) -> Retry<Q> {
        let Self { initial, growth, delay_max, attempts_max, elapsed_max, has_jitter, retries_on: before } = self;
        let retries_on = retries_on(before);
        Retry { initial, growth, delay_max, attempts_max, elapsed_max, has_jitter, retries_on }
    }

    /// How long to wait for another attempt after one that failed with this error, or with a panic or by taking too long.
    /// `None` if there is none.
    pub(crate) fn next_delay<E>(&self, error: Option<&E>, tried: Tried) -> Option<Duration>
    where
        P: RetryOn<E>,
    {
        if error.is_some_and(|error| !self.retries_on.retries_on(error)) {
            return None;
        }
        let delay = self.delay_after(tried.attempt)?;
        let told = error.and_then(|error| self.retries_on.delay(error));
        let jittered = if self.has_jitter { delay.saturating_sub(half_of(delay, tried.chance)) } else { delay };
        let delay = told.unwrap_or(jittered);
        (tried.elapsed.saturating_add(delay) <= self.elapsed_max).then_some(delay)
    }

    /// How many attempts there are at the most.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// Whether it depends on the time how many attempts there are.
    pub(crate) fn is_timed(&self) -> bool {
        self.elapsed_max < Duration::MAX
    }

    /// How long to wait after the failed attempt number `attempt`, counted from 1; `None` if it was the last.
    ///
    /// Depends on nothing but the policy and the number (0 is taken as 1), and never overflows. What an
    /// [error says](Self::delay_from), the [time](Self::max_elapsed) and [chance](Self::jitter) are left out.
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
}

/// So much of half a duration.
fn half_of(duration: Duration, chance: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() / 2.0 * chance.clamp(0.0, 1.0)).unwrap_or(duration / 2)
}

impl<P> fmt::Debug for Retry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The predicate is left out: functions have nothing to show.
        f.debug_struct("Retry")
            .field("initial", &self.initial)
            .field("growth", &self.growth)
            .field("delay_max", &self.delay_max)
            .field("attempts_max", &self.attempts_max)
            .field("elapsed_max", &self.elapsed_max)
            .field("has_jitter", &self.has_jitter)
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

/// The predicate of a [`Retry`] with [`delay_from`](Retry::delay_from).
///
/// ```
/// use std::time::Duration;
/// use durable_runtime::{Always, DelayFrom, Retry};
/// type Told = fn(&std::io::Error) -> Option<Duration>;
/// let told: Told = |_| None;
/// let _: Retry<DelayFrom<Always, Told>> = Retry::fixed(Duration::from_secs(1)).delay_from(told);
/// ```
#[derive(Clone, Copy)]
pub struct DelayFrom<P, D> {
    retries_on: P,
    delay: D,
}

impl<P, D> fmt::Debug for DelayFrom<P, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayFrom").finish_non_exhaustive()
    }
}

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

    #[doc(hidden)]
    fn delay(&self, _: &E) -> Option<Duration> {
        None
    }
}

impl<E, P, D> RetryOn<E> for DelayFrom<P, D>
where
    P: RetryOn<E>,
    D: Fn(&E) -> Option<Duration> + Send + Sync + 'static,
{
    fn retries_on(&self, error: &E) -> bool {
        self.retries_on.retries_on(error)
    }

    fn delay(&self, error: &E) -> Option<Duration> {
        (self.delay)(error)
    }
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

    impl<E, P: Sealed<E>, D: Send + Sync + 'static> Sealed<E> for super::DelayFrom<P, D> {}
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
        let declined = |declined| PaymentError { declined };
        assert_eq!(retry.next_delay(Some(&declined(true)), tried(1)), None);
        assert_eq!(retry.next_delay(Some(&declined(false)), tried(1)), Some(Duration::from_millis(500)));
        assert_eq!(Retry::fixed(Duration::ZERO).next_delay(Some(&declined(true)), tried(1)), Some(Duration::ZERO));
        assert_eq!(retry.delay_after(2), Some(Duration::from_secs(1)), "the rest of the policy is kept");
        assert_eq!(retry.delay_after(3), None);
    }

    fn tried(attempt: u32) -> Tried {
        Tried { attempt, elapsed: Duration::ZERO, chance: 0.0 }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn no_attempt_begins_when_its_time_is_over() {
        let retry = Retry::fixed(seconds(10)).max_elapsed(seconds(25));
        let after = |elapsed| retry.next_delay(None::<&()>, Tried { elapsed, ..tried(2) });
        assert_eq!(after(seconds(15)), Some(seconds(10)), "just in time");
        assert_eq!(after(seconds(15) + Duration::from_nanos(1)), None);
        assert_eq!(after(Duration::MAX), None);
        let patient = Retry::fixed(seconds(10));
        assert_eq!(patient.next_delay(None::<&()>, Tried { elapsed: Duration::MAX, ..tried(2) }), Some(seconds(10)));
        assert!(retry.is_timed() && !patient.is_timed());
    }

    #[test]
    fn what_the_error_says_counts_more_than_the_policy() {
        let told = |error: &u64| (*error > 0).then(|| seconds(*error));
        let retry = Retry::fixed(seconds(10)).unless(|error: &u64| *error == 7).delay_from(told).max_attempts(3);
        let after = |error, attempt| retry.next_delay(Some(&error), tried(attempt));
        assert_eq!(after(0, 1), Some(seconds(10)), "it says nothing");
        assert_eq!(after(90, 1), Some(seconds(90)));
        assert_eq!(after(90, 3), None, "attempts are counted");
        assert_eq!(after(7, 1), None, "an exception is one");
        assert_eq!(retry.next_delay(None, tried(1)), Some(seconds(10)), "a panic says nothing");
        let limited = retry.max_delay(seconds(1)).jitter().max_elapsed(seconds(60));
        assert_eq!(limited.next_delay(Some(&50), tried(1)), Some(seconds(50)));
        assert_eq!(limited.next_delay(Some(&61), tried(1)), None);
    }

    #[test]
    fn jitter_takes_up_to_half() {
        let retry = Retry::fixed(seconds(10)).jitter();
        let by = |chance| retry.next_delay(None::<&()>, Tried { chance, ..tried(1) });
        assert_eq!(
            [by(0.0), by(0.5), by(1.0)],
            [10_000, 7_500, 5_000].map(|millis| Some(Duration::from_millis(millis)))
        );
        let longest = Retry::fixed(Duration::MAX).jitter();
        assert!(longest.next_delay(None::<&()>, Tried { chance: 0.5, ..tried(1) }) < Some(Duration::MAX));
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
