//! Time zones: what the clocks there show, and when they are changed.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::cron::InvalidCron;
use super::expression::quoted;

/// How much alike two names must be, from 0 to 1, for one to be suggested instead of the other.
const ALIKE: f64 = 0.85;

/// A time zone of the database in this program, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

/// A time in which no clock of a zone is changed, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// What is added to UTC in it, in seconds.
    pub(super) offset: i64,
    /// What was added before it.
    pub(super) offset_before: i64,
    /// Its first second, in which the clocks were changed; `None` if it has always been so.
    pub(super) change: Option<i64>,
    /// The first second behind it; `None` if it stays so.
    pub(super) end: Option<i64>,
}

impl Zone {
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    pub(super) fn named(name: &str) -> Result<Self, InvalidCron> {
        // Not the machine's database: the same program is to answer the same everywhere.
        let database = TimeZoneDatabase::bundled();
        match database.get(name) {
            Ok(zone) if zone.iana_name().is_some() => Ok(Self(zone)),
            _ => Err(InvalidCron::UnknownTimeZone { name: quoted(name), nearest: nearest(&database, name) }),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The time around this second in which no clock is changed; `None` beyond the year 9999.
    pub(super) fn span_at(&self, second: i64) -> Option<Span> {
        let moment = Timestamp::from_second(second).ok()?;
        // Looked for from the next second on, because a change in this one counts.
        let behind = Timestamp::from_second(second + 1).ok()?;
        let change = self.0.preceding(behind).next().map(|change| change.timestamp().as_second());
        let end = self.0.following(moment).next().map(|change| change.timestamp().as_second());
        let offset_at = |moment| i64::from(self.0.to_offset(moment).seconds());
        let before = change.and_then(|change| Timestamp::from_second(change - 1).ok());
        let offset = offset_at(moment);
        Some(Span { offset, offset_before: before.map_or(offset, offset_at), change, end })
    }
}

/// The name that is most like this one, or whose city is.
fn nearest(database: &TimeZoneDatabase, name: &str) -> Option<String> {
    let name = quoted(name).replace(' ', "_").to_ascii_lowercase();
    let likeness = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&name, &known).max(strsim::jaro_winkler(&name, city))
    };
    let known = database.available().map(|known| (likeness(known.as_str()), known));
    let nearest = known.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, known)| known.to_string())
}
