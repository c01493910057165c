//! Random expressions and times against a clock that is watched minute by minute.

use std::collections::BTreeSet;

use jiff::Timestamp as Moment;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::*;
use crate::schedule::CatchUp;
use crate::testing::Random;

const CASES: usize = 150;

/// How many minutes the model watches, after each time: more than ten days.
const MINUTES: i64 = 15_000;

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo", // changed at midnight until 2019
    "Asia/Kathmandu",    // +05:45, never changed since 1986
    "Africa/Casablanca", // changed around Ramadan
    "Antarctica/Troll",  // by two hours
];

/// One field, as text and as what it means.
struct Field {
    text: String,
    values: BTreeSet<i64>,
}

impl Field {
    fn random(random: &mut Random, (first, last): (usize, usize), kind: usize) -> Self {
        let mut number = |end: usize| first + random.below(end + 1 - first);
        let (one, other, third) = (number(last), number(last), number(last));
        let (low, high) = (one.min(other), one.max(other));
        let step = 1 + third / 2;
        let (text, values): (String, Vec<usize>) = match kind {
            0..3 => (String::from("*"), (first..=last).collect()),
            3 => (format!("*/{step}"), (first..=last).step_by(step).collect()),
            4 => (format!("{low}-{high}"), (low..=high).collect()),
            5 => (format!("{low}-{high}/{step}"), (low..=high).step_by(step).collect()),
            6 => (format!("{one},{other},{third}"), vec![one, other, third]),
            _ => (one.to_string(), vec![one]),
        };
        Self { text, values: values.into_iter().map(|value| i64::try_from(value).unwrap()).collect() }
    }

    fn has(&self, value: i8) -> bool {
        self.values.contains(&i64::from(value))
    }
}

/// What an expression means, said again as simply as can be.
struct Model {
    fields: [Field; 5],
    zone: TimeZone,
}

impl Model {
    fn random(random: &mut Random, zone: TimeZone) -> Self {
        // Half of them without a `*` in the first two, and half of them on all days, or it would seldom matter that clocks are changed.
        let (is_fixed, is_daily) = (random.one_in(2), random.one_in(2));
        let time = |random: &mut Random| if is_fixed { 4 + random.below(4) } else { random.below(8) };
        let day = |random: &mut Random| if is_daily { 0 } else { random.below(8) };
        let kinds = [time(random), time(random), day(random), day(random), day(random)];
        let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        Self { fields: std::array::from_fn(|index| Field::random(random, ranges[index], kinds[index])), zone }
    }

    fn expression(&self) -> String {
        self.fields.each_ref().map(|field| &*field.text).join(" ")
    }

    fn is_fixed(&self) -> bool {
        let [minutes, hours, ..] = &self.fields;
        !minutes.text.contains('*') && !hours.text.contains('*')
    }

    /// What the clock on the wall shows, in minutes since it showed the beginning of 1970.
    fn wall(&self, minute: i64) -> i64 {
        let moment = Moment::from_second(minute * 60).unwrap();
        minute + i64::from(self.zone.to_offset(moment).seconds()).div_euclid(60)
    }

    /// Whether this is a time that fits.
    fn fits(&self, wall: i64) -> bool {
        let shown = TimeZone::UTC.to_datetime(Moment::from_second(wall * 60).unwrap());
        let [minutes, hours, days, months, weekdays] = &self.fields;
        let (day, weekday) = (days.has(shown.day()), weekdays.has(shown.weekday().to_sunday_zero_offset()));
        let is_day = match (&*days.text, &*weekdays.text) {
            ("*", _) => weekday,
            (_, "*") => day,
            _ => day || weekday,
        };
        minutes.has(shown.minute()) && hours.has(shown.hour()) && months.has(shown.month()) && is_day
    }

    /// When it is due in the minutes after this one, as somebody notes who looks at the clock each minute and knows what it has shown.
    fn watch(&self, after: i64) -> Vec<Timestamp> {
        // Begins a day early, to know what the clock has shown before it was set back.
        let begin = after - 2 * 1_440;
        let mut shown = self.wall(begin);
        let mut due = Vec::new();
        for minute in begin + 1..=after + MINUTES {
            let wall = self.wall(minute);
            let is_due = if self.is_fixed() { (shown + 1..=wall).any(|wall| self.fits(wall)) } else { self.fits(wall) };
            shown = shown.max(wall);
            if is_due && minute > after {
                due.push(Timestamp(u64::try_from(minute).unwrap() * 60_000));
            }
        }
        due
    }
}

/// A minute from 1971 to 2150, often shortly before the clocks are changed.
fn random_minute(random: &mut Random, zone: &TimeZone) -> i64 {
    let minute = 525_600 + i64::try_from(random.below(179 * 525_600)).unwrap();
    let change = zone.following(Moment::from_second(minute * 60).unwrap()).next();
    match change {
        Some(change) if !random.one_in(4) => {
            change.timestamp().as_second() / 60 - i64::try_from(random.below(1_500)).unwrap()
        }
        _ => minute,
    }
}

#[test]
fn random_expressions_are_due_when_somebody_watching_the_clock_says_so() {
    let seed = std::env::var("DURABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("schedule: DURABLE_SEED={seed}");
    let mut random = Random::new(seed);
    let mut due_count = 0;
    for case in 0..CASES {
        let name = ZONES[random.below(ZONES.len())];
        let zone = TimeZoneDatabase::bundled().get(name).unwrap();
        let model = Model::random(&mut random, zone);
        let after = random_minute(&mut random, &model.zone);
        let expression = model.expression();
        let context = format!("DURABLE_SEED={seed}, case {case}: {expression} in {name} after minute {after}");
        let Ok(cron) = Cron::new(&expression).and_then(|cron| cron.time_zone(name)) else {
            assert_eq!(model.watch(after), [], "{context}: it is refused");
            continue;
        };
        let expected = model.watch(after);
        let first = Timestamp(u64::try_from(after).unwrap() * 60_000);
        let last = Timestamp(u64::try_from(after + MINUTES).unwrap() * 60_000);
        let mut time = first;
        for expected in &expected {
            // Asked somewhere before it, and not at the time before only.
            let asked = Timestamp(time.0 + random.number() % (expected.0 - time.0));
            assert_eq!(cron.next_after(asked), Some(*expected), "{context}: asked at {asked:?}");
            time = *expected;
        }
        assert!(cron.next_after(time).is_none_or(|due| due > last), "{context}: none is left");
        let at_most = random.below(20);
        let newest = &expected[expected.len().saturating_sub(at_most)..];
        let all = CatchUp::All { at_most: at_most.try_into().unwrap() };
        assert_eq!(all.missed(&cron, first, last), newest, "{context}: the newest {at_most}");
        due_count += expected.len();
    }
    assert!(due_count > 10 * CASES, "the expressions are too rare to test anything: {due_count}");
}

/// No time is too late or too early to be asked for, for expressions with seconds and years, too.
#[test]
fn the_next_time_is_later_or_there_is_none_for_any_time_and_any_text() {
    let seed = std::env::var("DURABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("schedule: DURABLE_SEED={seed}");
    let mut random = Random::new(seed);
    let alphabet: Vec<char> = "0123456789*/,-#LW?+@ MONJAdx é\u{212a}\0".chars().collect();
    let mut valid = 0;
    for case in 0..1_500 {
        let text: String = if random.one_in(4) {
            (0..random.below(20)).map(|_| alphabet[random.below(alphabet.len())]).collect()
        } else {
            // Fields that are right by themselves, and one character that may not be.
            let fields = ["*", "*", "1", "*/7", "1-5", "3,5", "L", "15W", "MON", "5#2", "2030", "?", "+5"];
            let simple = if random.one_in(2) { 6 } else { fields.len() };
            let mut fields: Vec<&str> = (0..5 + random.below(3)).map(|_| fields[random.below(simple)]).collect();
            let stray = alphabet[random.below(alphabet.len())].to_string();
            if random.one_in(4) {
                fields.push(&stray);
            }
            fields.join(" ")
        };
        let Ok(cron) = Cron::new(&text).and_then(|cron| cron.time_zone(ZONES[random.below(ZONES.len())])) else {
            continue;
        };
        valid += 1;
        let mut time = Timestamp(random.number() >> random.below(64));
        for _ in 0..5 {
            let Some(due) = cron.next_after(time) else { break };
            assert!(due > time, "DURABLE_SEED={seed}, case {case}: {cron} is due at {due:?} after {time:?}");
            time = due;
        }
    }
    assert!(valid > 100, "too few of the texts are expressions: {valid}");
}
