use expect_test::expect;
use jiff::tz::TimeZoneDatabase;

use super::*;

/// The times after this one at which it is due, as the clocks of the zone show them.
#[track_caller]
fn check<const N: usize>(expression: &str, zone: &str, after: &str, expected: [&str; N]) {
    let cron = Cron::new(expression).and_then(|cron| cron.time_zone(zone)).expect("it is one");
    let zone = TimeZoneDatabase::bundled().get(zone).expect("there is one");
    let mut time = at(after);
    let due = std::array::from_fn::<String, N, _>(|_| {
        time = cron.next_after(time).expect("it goes on");
        let moment = jiff::Timestamp::from_millisecond(i64::try_from(time.0).unwrap()).unwrap();
        moment.to_zoned(zone.clone()).strftime("%FT%T%:z").to_string()
    });
    assert_eq!(due, expected);
}

fn at(time: &str) -> Timestamp {
    let moment: jiff::Timestamp = time.parse().expect("a time with an offset");
    Timestamp(moment.as_millisecond().try_into().expect("since 1970"))
}

fn utc(expression: &str) -> Cron {
    Cron::new(expression).expect("it is one")
}

#[test]
fn a_time_that_is_missing_in_spring_is_due_when_the_clock_has_jumped_over_it() {
    let days = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    check("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00+01:00", days);
    let days = ["2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"];
    check("30 2 * * *", "America/New_York", "2026-03-07T00:00:00-05:00", days);
    let days = ["2026-10-03T02:15:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"];
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00+10:30", days);
    // The whole day is missing on the other side of the date line.
    let days = ["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"];
    check("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", days);
}

#[test]
fn what_is_due_around_the_gap_is_due_once_and_on_time() {
    // Each case has its own side of the gap; the hour before it, too (an error of croner before 4.0.3).
    let after = "2026-03-29T00:00:00+01:00";
    check("59 1 * * *", "Europe/Berlin", after, ["2026-03-29T01:59:00+01:00", "2026-03-30T01:59:00+02:00"]);
    check("0 2 * * *", "Europe/Berlin", after, ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
    check("0 3 * * *", "Europe/Berlin", after, ["2026-03-29T03:00:00+02:00", "2026-03-30T03:00:00+02:00"]);
    check("1 3 * * *", "Europe/Berlin", after, ["2026-03-29T03:01:00+02:00", "2026-03-30T03:01:00+02:00"]);
    // Several that are missing are one, and one with what is due at that time anyway.
    let days = ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T01:00:00+02:00"];
    check(
        "0,30 1-3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:59:00+01:00",
        [days[0], "2026-03-29T01:30:00+01:00", days[1], "2026-03-29T03:30:00+02:00", days[2]],
    );
    let twice_a_day = ["2026-03-29T03:00:00+02:00", "2026-03-29T14:30:00+02:00", "2026-03-30T02:30:00+02:00"];
    check("30 2,14 * * *", "Europe/Berlin", after, twice_a_day);
}

#[test]
fn a_time_that_comes_twice_in_autumn_is_due_the_first_time() {
    let days = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00", days);
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T02:30:00+02:00", [days[1]]);
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", [days[1]]);
    let days = ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"];
    check("30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", days);
    let days = ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"];
    check("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", days);
    let twice_a_day = ["2026-10-25T02:30:00+02:00", "2026-10-25T14:30:00+01:00", "2026-10-26T02:30:00+01:00"];
    check("30 2,14 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00", twice_a_day);
    // Right behind the hour that comes twice.
    check("0 3 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00", ["2026-10-25T03:00:00+01:00"]);
    check("0 3 * * *", "Europe/Berlin", "2026-10-25T02:59:59+02:00", ["2026-10-25T03:00:00+01:00"]);
}

#[test]
fn every_quarter_of_an_hour_goes_on_through_both_hours_in_autumn() {
    check(
        "*/15 * * * *",
        "Europe/Berlin",
        "2026-10-25T02:30:00+02:00",
        [
            "2026-10-25T02:45:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:15:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T02:45:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    );
    check(
        "*/30 1 * * *",
        "America/New_York",
        "2026-11-01T00:00:00-04:00",
        [
            "2026-11-01T01:00:00-04:00",
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-02T01:00:00-05:00",
        ],
    );
    // The clock goes back by half an hour only.
    check(
        "*/15 * * * *",
        "Australia/Lord_Howe",
        "2026-04-05T01:30:00+11:00",
        [
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
    // What comes next is a year away, or never: the hour comes again all the same.
    let after = "2026-10-25T02:50:00+02:00";
    check("*/30 2 25 10 *", "Europe/Berlin", after, ["2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"]);
    check("0 */30 2 25 10 * 2026", "Europe/Berlin", after, ["2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"]);
}

#[test]
fn every_quarter_of_an_hour_leaves_the_missing_hour_out_in_spring() {
    check(
        "*/15 * * * *",
        "Europe/Berlin",
        "2026-03-29T01:30:00+01:00",
        ["2026-03-29T01:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"],
    );
    check(
        "*/30 2 * * *",
        "America/New_York",
        "2026-03-08T00:00:00-05:00",
        ["2026-03-09T02:00:00-04:00", "2026-03-09T02:30:00-04:00"],
    );
    check(
        "*/15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-04T01:00:00+10:30",
        ["2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00", "2026-10-05T02:00:00+11:00"],
    );
}

#[test]
fn clocks_are_changed_far_in_the_future_as_they_are_now() {
    let days = ["2999-03-31T03:00:00+02:00", "2999-04-01T02:30:00+02:00"];
    check("30 2 * * *", "Europe/Berlin", "2999-03-31T00:00:00+01:00", days);
    check("0 0 1 1 *", "Europe/Berlin", "4998-06-01T00:00:00Z", ["4999-01-01T00:00:00+01:00"]);
}

#[test]
fn leap_days_and_the_ends_of_months_and_years_are_those_of_the_calendar() {
    check("0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", ["2104-02-29T00:00:00+00:00", "2108-02-29T00:00:00+00:00"]);
    check("0 12 L 2 *", "UTC", "2027-01-01T00:00:00Z", ["2027-02-28T12:00:00+00:00", "2028-02-29T12:00:00+00:00"]);
    check(
        "59 23 31 * *",
        "UTC",
        "2026-12-31T00:00:00Z",
        ["2026-12-31T23:59:00+00:00", "2027-01-31T23:59:00+00:00", "2027-03-31T23:59:00+00:00"],
    );
    check("*/7 * * * *", "UTC", "2026-12-31T23:50:00Z", ["2026-12-31T23:56:00+00:00", "2027-01-01T00:00:00+00:00"]);
    check("0 0 1 1 *", "Europe/Berlin", "2026-12-31T22:59:59.999Z", ["2027-01-01T00:00:00+01:00"]);
    check("0 0 1 1 *", "Europe/Berlin", "2026-12-31T23:00:00Z", ["2028-01-01T00:00:00+01:00"]);
}

#[test]
fn days_can_be_the_last_the_nth_and_the_closest_from_monday_to_friday() {
    check("0 9 * * MON#2", "UTC", "2026-11-23T00:00:00Z", ["2026-12-14T09:00:00+00:00", "2027-01-11T09:00:00+00:00"]);
    check("0 9 * * FRIL", "UTC", "2026-11-23T00:00:00Z", ["2026-11-27T09:00:00+00:00", "2026-12-25T09:00:00+00:00"]);
    check("0 9 * * 7#L", "UTC", "2026-11-23T00:00:00Z", ["2026-11-29T09:00:00+00:00", "2026-12-27T09:00:00+00:00"]);
    check("0 9 15W * *", "UTC", "2026-11-01T00:00:00Z", ["2026-11-16T09:00:00+00:00", "2026-12-15T09:00:00+00:00"]);
    check("0 9 LW * *", "UTC", "2027-01-01T00:00:00Z", ["2027-01-29T09:00:00+00:00", "2027-02-26T09:00:00+00:00"]);
    // Either kind of days, or both.
    check("0 0 13 * FRI", "UTC", "2026-11-10T00:00:00Z", ["2026-11-13T00:00:00+00:00", "2026-11-20T00:00:00+00:00"]);
    check("0 0 13 * +FRI", "UTC", "2026-11-13T00:00:00Z", ["2027-08-13T00:00:00+00:00"]);
    check(
        "0 3 * * fri-sun",
        "UTC",
        "2026-11-20T00:00:00Z",
        [
            "2026-11-20T03:00:00+00:00",
            "2026-11-21T03:00:00+00:00",
            "2026-11-22T03:00:00+00:00",
            "2026-11-27T03:00:00+00:00",
        ],
    );
}

#[test]
fn seconds_can_stand_in_front_and_years_behind() {
    check(
        "*/20 59 23 * * *",
        "UTC",
        "2026-11-23T23:59:20Z",
        ["2026-11-23T23:59:40+00:00", "2026-11-24T23:59:00+00:00"],
    );
    let once = utc("30 0 0 1 1 * 2030");
    assert_eq!(once.next_after(at("2026-01-01T00:00:00Z")), Some(at("2030-01-01T00:00:30Z")));
    assert_eq!(once.next_after(at("2030-01-01T00:00:30Z")), None);
}

#[test]
fn seconds_and_years_do_not_change_what_a_star_means_in_autumn() {
    let after = "2026-10-25T02:00:00+02:00";
    let both = ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"];
    for expression in ["30 * * * *", "0 30 * * * *", "0 30 * * * * 2026"] {
        check(expression, "Europe/Berlin", after, both);
    }
    for expression in ["30 2 * * *", "0 30 2 * * *", "0 30 2 * * * *"] {
        check(expression, "Europe/Berlin", after, [both[0], "2026-10-26T02:30:00+01:00"]);
    }
}

#[test]
fn the_next_time_is_later_by_the_millisecond_whatever_the_time() {
    let hourly = utc("@hourly");
    let (before, due) = (at("2026-11-23T02:59:59.999Z"), at("2026-11-23T03:00:00Z"));
    assert_eq!(hourly.next_after(before), Some(due));
    assert_eq!(hourly.next_after(due), Some(at("2026-11-23T04:00:00Z")));
    assert_eq!(hourly.next_after(Timestamp(due.0 + 1)), Some(at("2026-11-23T04:00:00Z")));
    assert_eq!(hourly.next_after(Timestamp(0)), Some(Timestamp(3_600_000)));
    let last = at("4999-12-31T23:00:00Z");
    assert_eq!(hourly.next_after(Timestamp(last.0 - 1)), Some(last));
    assert_eq!(hourly.next_after(last), None);
    for beyond in [at("9999-12-30T22:00:00Z").0 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        assert_eq!(hourly.next_after(Timestamp(beyond)), None);
    }
}

#[test]
fn what_is_never_due_is_refused() {
    for expression in [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 1 2 +MON#2",
        "0 0 0 29 2 * 2100",
        "0 0 0 1 1 * 1969",
        "0 0 0 1 1 * 5000",
    ] {
        assert!(matches!(Cron::new(expression), Err(InvalidCron::NeverDue { .. })), "{expression}");
    }
    // In the night in which there is no such hour only: that has times of its own, or none.
    assert!(utc("0 */15 2 29 3 * 2026").time_zone("Europe/Berlin").is_err());
    assert!(utc("0 15 2 29 3 * 2026").time_zone("Europe/Berlin").is_ok());
    assert!(utc("0 */15 2 * 3 SUNL 1996-4999").time_zone("Europe/Berlin").is_err(), "in no year");
}

#[test]
fn a_cron_is_shown_with_its_zone_as_the_database_writes_it() {
    let cron = utc(" 0 3 * * mon-fri\n");
    assert_eq!(cron.to_string(), "0 3 * * mon-fri UTC");
    let cron = cron.time_zone("europe/berlin").unwrap();
    assert_eq!(cron.to_string(), "0 3 * * mon-fri Europe/Berlin");
    assert_eq!(format!("{cron:?}"), r#"Cron("0 3 * * mon-fri", "Europe/Berlin")"#);
    assert_ne!(cron, utc("0 3 * * mon-fri"));
}

#[test]
fn a_text_that_is_not_an_expression_is_refused_with_the_place() {
    let long = "1,".repeat(600);
    let refused: Vec<String> = [
        "",
        "0 3 * *",
        "0 3 * * * * * *",
        "@reboot",
        "0 25 * * *",
        "0 3 * * MON-FRY",
        "MON 3 * * *",
        "0 3 1JAN * *",
        "0 3 * JANFEB *",
        "0 3 * 1JAN *",
        "0,,30 3 * * *",
        "0/15 * * * *",
        "*/0 * * * *",
        "30-10 * * * *",
        "0 3 32 * *",
        "0 3 * * L",
        "0 3 * * MON#6",
        "0 3 * * JAN#L",
        "0 3 ſun * *",
        "0 3 * * ſun",
        "0 0 0 1 1 * 70000",
        &long,
    ]
    .iter()
    .map(|text| format!("{}\n", Cron::new(text).expect_err("it is none")))
    .collect();
    expect![[r#"
        [D0230] "" is not a cron expression, because of its number of fields: it has 0, and must have 5 (minute, hour, day of the month, month, day of the week), 6 with seconds in front, or 7 with years behind
        [D0230] "0 3 * *" is not a cron expression, because of its number of fields: it has 4, and must have 5 (minute, hour, day of the month, month, day of the week), 6 with seconds in front, or 7 with years behind
        [D0230] "0 3 * * * * * *" is not a cron expression, because of its number of fields: it has 8, and must have 5 (minute, hour, day of the month, month, day of the week), 6 with seconds in front, or 7 with years behind
        [D0230] "@reboot" is not a cron expression, because of its name: the names are @yearly, @annually, @monthly, @weekly, @daily and @hourly
        [D0230] "0 25 * * *" is not a cron expression, because of its hours: "25" was not understood (Number out of bounds). It can have *, 0-23, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * * MON-FRY" is not a cron expression, because of its days of the week: "FRY" is not one of them. It can have *, 0-7, SUN-SAT, MON#2, FRIL, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "MON 3 * * *" is not a cron expression, because of its minutes: "MON" is not one of them. It can have *, 0-59, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 1JAN * *" is not a cron expression, because of its days of the month: "1JAN" is not one of them. It can have *, 1-31, L, LW, 15W, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * JANFEB *" is not a cron expression, because of its months: "JANFEB" is not one of them. It can have *, 1-12, JAN-DEC, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * 1JAN *" is not a cron expression, because of its months: "1JAN" is not one of them. It can have *, 1-12, JAN-DEC, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0,,30 3 * * *" is not a cron expression, because of its minutes: "0,,30" is a list with nothing in one place. It can have *, 0-59, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0/15 * * * *" is not a cron expression, because of its minutes: "0/15" was not understood (Invalid step syntax: single number steps like "0/15" are not allowed. Use "*/15" for wildcard steps or "X-Y/15" for range steps). It can have *, 0-59, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "*/0 * * * *" is not a cron expression, because of its minutes: "*/0" was not understood (Step cannot be zero). It can have *, 0-59, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "30-10 * * * *" is not a cron expression, because of its minutes: "30-10" was not understood (Range out of bounds). It can have *, 0-59, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 32 * *" is not a cron expression, because of its days of the month: "32" was not understood (Number out of bounds). It can have *, 1-31, L, LW, 15W, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * * L" is not a cron expression, because of its days of the week: "L" is not one of them. It can have *, 0-7, SUN-SAT, MON#2, FRIL, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * * MON#6" is not a cron expression, because of its days of the week: "MON#6" was not understood (Nth specifier out of bounds). It can have *, 0-7, SUN-SAT, MON#2, FRIL, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * * JAN#L" is not a cron expression, because of its days of the week: "JAN" is not one of them. It can have *, 0-7, SUN-SAT, MON#2, FRIL, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 ſun * *" is not a cron expression, because of its days of the month: "ſun" is not one of them. It can have *, 1-31, L, LW, 15W, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 3 * * ſun" is not a cron expression, because of its days of the week: "ſun" is not one of them. It can have *, 0-7, SUN-SAT, MON#2, FRIL, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "0 0 0 1 1 * 70000" is not a cron expression, because of its years: "70000" was not understood (Invalid number). It can have *, 1-4999, lists 1,2, ranges 1-5 and steps */2 or 1-5/2
        [D0230] "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,…" is not a cron expression, because of its length: it has 1200 bytes, and may have 1024
    "#]].assert_eq(&refused.concat());
}

#[test]
fn a_zone_that_there_is_not_is_refused_with_the_name_that_is_meant() {
    let names =
        ["Europe/Berlni", "Berlin", "America/New York", "", "Mars/Olympus", "+02:00", "Etc/Unknown", &"é".repeat(500)];
    let refused: Vec<String> =
        names.iter().map(|name| format!("{}\n", utc("@daily").time_zone(name).expect_err("there is none"))).collect();
    expect![[r#"
        [D0232] there is no time zone "Europe/Berlni": did you mean Europe/Berlin? If not, give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "Berlin": did you mean Europe/Berlin? If not, give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "America/New York": did you mean America/New_York? If not, give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "": give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "Mars/Olympus": give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "+02:00": give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "Etc/Unknown": give one by its name in the IANA database, such as Europe/Berlin
        [D0232] there is no time zone "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé…": give one by its name in the IANA database, such as Europe/Berlin
    "#]].assert_eq(&refused.concat());
}
