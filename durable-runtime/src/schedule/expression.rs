//! Reading a cron expression: what `croner` reads, less what it reads by accident, with an error that says where.

use std::sync::Arc;

use croner::parser::CronParser;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::cron::InvalidCron;

/// The longest expression that is read, in bytes.
const EXPRESSION_BYTES_MAX: usize = 1_024;

/// How much of a text an error repeats, in bytes.
const QUOTED_BYTES_MAX: usize = 200;

/// What comes behind the year 4999, on the clock on the wall: there `croner` stops.
const WALL_END: i64 = 95_617_584_000;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The times that an expression names, without a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    croner: Arc<croner::Cron>,
    /// Whether it has times of its own, instead of some distance between them.
    pub(super) is_fixed: bool,
}

/// One field of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Seconds,
    Minutes,
    Hours,
    DaysOfTheMonth,
    Months,
    DaysOfTheWeek,
    Years,
}

use Field::{DaysOfTheMonth, DaysOfTheWeek, Hours, Minutes, Months, Seconds, Years};

const FIELDS: [Field; 7] = [Seconds, Minutes, Hours, DaysOfTheMonth, Months, DaysOfTheWeek, Years];

impl Pattern {
    pub(super) fn parse(expression: &str) -> Result<Self, InvalidCron> {
        let refused = |part, why| InvalidCron::Syntax { expression: quoted(expression), part, why };
        if expression.len() > EXPRESSION_BYTES_MAX {
            let why = format!("it has {} bytes, and may have {EXPRESSION_BYTES_MAX}", expression.len());
            return Err(refused("length", why));
        }
        if !expression.starts_with('@') {
            let texts: Vec<&str> = expression.split_whitespace().collect();
            for (field, text) in
                fields_of(texts.len()).map_err(|why| refused("number of fields", why))?.iter().zip(&texts)
            {
                field.check(text).map_err(|why| refused(field.name(), why))?;
            }
        }
        let croner = CronParser::new().parse(expression).map_err(|_| {
            let known = "@yearly, @annually, @monthly, @weekly, @daily and @hourly";
            refused("name", format!("the names are {known}"))
        })?;
        // As `croner` has it, with the fields behind a name such as `@hourly`.
        let texts: Vec<&str> = croner.pattern.as_str().split_whitespace().collect();
        let times = texts.len().saturating_sub(3).clamp(2, 3);
        let is_fixed = !texts.iter().take(times).any(|text| text.contains('*'));
        Ok(Self { croner: Arc::new(croner), is_fixed })
    }

    /// The first time that fits from this one on, in seconds on the clock on the wall, counted as if it were UTC's.
    pub(super) fn next(&self, wall: i64) -> Option<i64> {
        let from = Offset::UTC.to_datetime(jiff::Timestamp::from_second(wall).ok()?);
        let next: DateTime = self.croner.find_next_occurrence(&from, true).ok()?;
        let next = Offset::UTC.to_timestamp(next).ok()?.as_second();
        (next < WALL_END).then_some(next)
    }
}

/// Which fields so many are.
fn fields_of(count: usize) -> Result<&'static [Field], String> {
    match count {
        5 => Ok(&FIELDS[1..6]),
        6 => Ok(&FIELDS[..6]),
        7 => Ok(&FIELDS),
        _ => Err(format!(
            "it has {count}, and must have 5 (minute, hour, day of the month, month, day of the week), 6 with seconds in front, or 7 with years behind"
        )),
    }
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Seconds => "seconds",
            Minutes => "minutes",
            Hours => "hours",
            DaysOfTheMonth => "days of the month",
            Months => "months",
            DaysOfTheWeek => "days of the week",
            Years => "years",
        }
    }

    /// What can stand there, besides `*`, lists, ranges and steps.
    fn values(self) -> &'static str {
        match self {
            Seconds | Minutes => "0-59",
            Hours => "0-23",
            DaysOfTheMonth => "1-31, L, LW, 15W",
            Months => "1-12, JAN-DEC",
            DaysOfTheWeek => "0-7, SUN-SAT, MON#2, FRIL",
            Years => "1-4999",
        }
    }

    /// Refuses what can't stand in this field.
    fn check(self, text: &str) -> Result<(), String> {
        let refused = |what: String| {
            let values = self.values();
            format!("{what}. It can have *, {values}, lists 1,2, ranges 1-5 and steps */2 or 1-5/2")
        };
        if text.split(',').any(str::is_empty) {
            return Err(refused(format!("{text:?} is a list with nothing in one place")));
        }
        // `croner` replaces names wherever they are: it would read `1JAN` as 11, and MON among the hours as 1.
        let body = if self == DaysOfTheWeek { text.strip_prefix('+').unwrap_or(text) } else { text };
        let words = body.split([',', '-', '/', '*', '?', '#']).filter(|word| !word.is_empty());
        for word in words {
            if !self.knows(&word.to_ascii_uppercase(), body) {
                return Err(refused(format!("{word:?} is not one of them")));
            }
        }
        let alone = FIELDS.map(|field| if field == self { text } else { "*" }).join(" ");
        match CronParser::new().parse(&alone) {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = error.to_string();
                let what = error.split_once(": ").map_or(&*error, |(_, what)| what);
                Err(refused(format!("{text:?} was not understood ({})", what.trim_end_matches('.'))))
            }
        }
    }

    /// Whether a word in capitals can stand in this field.
    fn knows(self, word: &str, body: &str) -> bool {
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number(word)
            || match self {
                Seconds | Minutes | Hours | Years => false,
                DaysOfTheMonth => word == "L" || word.strip_suffix('W').is_some_and(|day| is_number(day) || day == "L"),
                Months => MONTHS.contains(&word),
                DaysOfTheWeek => {
                    let day = word.strip_suffix('L').unwrap_or(word);
                    // `FRI#L` is the last Friday, too. An L alone would be no day at all.
                    is_number(day)
                        || DAYS.contains(&day)
                        || (day.is_empty() && body.to_ascii_uppercase().contains("#L"))
                }
            }
    }
}

/// The beginning of a text, for an error.
pub(super) fn quoted(text: &str) -> String {
    if text.len() <= QUOTED_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(QUOTED_BYTES_MAX)])
}
