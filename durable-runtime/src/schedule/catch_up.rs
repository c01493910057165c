//! What becomes of the times at which something was due while no process was there.

use std::iter;

use super::cron::Cron;
use crate::clock::Timestamp;

/// The most that [`CatchUp::All`] gives, whatever it is told: more are not enumerated.
pub const CATCH_UP_MAX: u32 = 1_000;

/// What becomes of the times at which something was due while no process was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out: it goes on with the next time.
    Skip,
    /// The newest of them is made up for, once.
    Latest,
    /// Each of them is made up for, in order; if there are more than `at_most`, the newest `at_most`.
    All {
        /// How many there are at most. More than [`CATCH_UP_MAX`] are taken as so many.
        at_most: u32,
    },
}

impl CatchUp {
    /// The times to make up for: of those at which it was due after `last`, up to and including `now`, the ones that the policy
    /// names, earliest first.
    ///
    /// This takes bounded time and memory, however many there are: if they are no more than are given, a call of [`Cron::next_after`]
    /// for each; otherwise the newest ones are found by halving the time, with at most 65 calls for each that is given, and those
    /// before them are not looked at. Nothing if `last` is not before `now`.
    ///
    /// ```
    /// use durable_runtime::{CatchUp, Cron, Timestamp};
    ///
    /// let every_second = Cron::new("* * * * * *")?;
    /// let (last, a_year_later) = (Timestamp(0), Timestamp(31_536_000_000));
    /// assert!(CatchUp::Skip.missed(&every_second, last, a_year_later).is_empty());
    /// assert_eq!(CatchUp::Latest.missed(&every_second, last, a_year_later), [a_year_later]);
    /// let two = CatchUp::All { at_most: 2 }.missed(&every_second, last, a_year_later);
    /// assert_eq!(two, [Timestamp(31_535_999_000), a_year_later]);
    /// # Ok::<(), durable_runtime::InvalidCron>(())
    /// ```
    pub fn missed(self, cron: &Cron, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let count_max = match self {
            Self::Skip => return Vec::new(),
            Self::Latest => 1,
            Self::All { at_most } => at_most.min(CATCH_UP_MAX),
        };
        let count_max = count_max as usize;
        let from_the_first = iter::successors(Some(last), |time| cron.next_after(*time).filter(|due| *due <= now));
        let missed: Vec<Timestamp> = from_the_first.skip(1).take(count_max.saturating_add(1)).collect();
        if missed.len() <= count_max {
            return missed;
        }
        // There are more: from behind, without those in between.
        let before = |due: &Timestamp| newest(cron, last, Timestamp(due.0 - 1));
        let mut missed: Vec<Timestamp> = iter::successors(newest(cron, last, now), before).take(count_max).collect();
        missed.reverse();
        missed
    }
}

/// The newest time at which it is due after `last`, up to and including `until`.
fn newest(cron: &Cron, last: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let due_after = |time| cron.next_after(time).filter(|due| *due <= until);
    let mut newest = due_after(last)?;
    // It is `newest`, or between that and `end`, which is halved each time.
    let mut end = until;
    while newest < end {
        let middle = Timestamp(newest.0.midpoint(end.0));
        match due_after(middle) {
            Some(due) => newest = due,
            None => end = middle,
        }
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn hourly() -> Cron {
        Cron::new("@hourly").expect("it is one")
    }

    fn hours<const N: usize>(hours: [u64; N]) -> [Timestamp; N] {
        hours.map(|hour| Timestamp(hour * HOUR))
    }

    #[test]
    fn what_was_missed_is_after_the_last_time_and_up_to_now() {
        let all = |last, now| CatchUp::All { at_most: 9 }.missed(&hourly(), Timestamp(last), Timestamp(now));
        assert_eq!(all(2 * HOUR, 5 * HOUR), hours([3, 4, 5]));
        assert_eq!(all(2 * HOUR + 1, 5 * HOUR - 1), hours([3, 4]));
        assert_eq!(all(2 * HOUR, 3 * HOUR - 1), []);
        assert_eq!(all(3 * HOUR - 1, 3 * HOUR), hours([3]));
        assert_eq!(all(3 * HOUR, 3 * HOUR), []);
        assert_eq!(all(5 * HOUR, 2 * HOUR), [], "the clock was set back");
        assert_eq!(all(u64::MAX - 1, u64::MAX), []);
    }

    #[test]
    fn a_policy_takes_none_the_newest_or_the_newest_few() {
        let missed = |policy: CatchUp| policy.missed(&hourly(), Timestamp(0), Timestamp(5 * HOUR + 7));
        assert_eq!(missed(CatchUp::Skip), []);
        assert_eq!(missed(CatchUp::Latest), hours([5]));
        assert_eq!(missed(CatchUp::All { at_most: 0 }), []);
        assert_eq!(missed(CatchUp::All { at_most: 2 }), hours([4, 5]));
        assert_eq!(missed(CatchUp::All { at_most: 5 }), hours([1, 2, 3, 4, 5]));
        assert_eq!(missed(CatchUp::All { at_most: u32::MAX }), hours([1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_year_of_missed_seconds_is_not_enumerated() {
        let every_second = Cron::new("* * * * * *").expect("it is one");
        let now = Timestamp(1_795_402_800_500);
        let last = Timestamp(now.0 - 365 * 24 * HOUR);
        let missed = CatchUp::All { at_most: u32::MAX }.missed(&every_second, last, now);
        assert_eq!(missed.len(), CATCH_UP_MAX as usize);
        assert_eq!(missed.last(), Some(&Timestamp(now.0 - 500)));
        assert!(missed.windows(2).all(|two| two[0].0 + 1_000 == two[1].0));
        assert_eq!(CatchUp::Latest.missed(&every_second, Timestamp(0), Timestamp(u64::MAX)).len(), 1);
    }
}
