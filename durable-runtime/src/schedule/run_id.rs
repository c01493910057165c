//! The id of a run that a schedule starts: it says what for, so that there is one for each time, whoever starts it.

use jiff::Timestamp as Moment;

use crate::clock::Timestamp;

/// The id of the run of a schedule that is due then: `<name>@2026-11-23T03:00:00Z`, in UTC.
///
/// In the order of their bytes, the ids of one schedule are in the order of their times. Times are those that
/// [`Cron::next_after`](super::Cron::next_after) gives: parts of a second are left out, and what is beyond the year 9999 is its end.
///
/// ```
/// use durable_runtime::{Timestamp, schedule};
/// assert_eq!(schedule::run_id("nightly", Timestamp(1_795_402_800_000)), "nightly@2026-11-23T03:00:00Z");
/// ```
#[must_use]
pub fn run_id(schedule: &str, due: Timestamp) -> String {
    let second = i64::try_from(due.0 / 1_000).unwrap_or(i64::MAX).min(Moment::MAX.as_second());
    let moment = Moment::from_second(second).unwrap_or(Moment::UNIX_EPOCH);
    format!("{schedule}@{moment}")
}

/// The schedule and the time that a run is of, if its id is one that [`run_id`] gives.
///
/// ```
/// use durable_runtime::{Timestamp, schedule};
/// let nightly = Some(("nightly", Timestamp(1_795_402_800_000)));
/// assert_eq!(schedule::due_of("nightly@2026-11-23T03:00:00Z"), nightly);
/// assert_eq!(schedule::due_of("ord_abc123"), None);
/// ```
#[must_use]
pub fn due_of(id: &str) -> Option<(&str, Timestamp)> {
    let (schedule, time) = id.rsplit_once('@')?;
    let moment: Moment = time.parse().ok()?;
    let due = Timestamp(u64::try_from(moment.as_second()).ok()? * 1_000);
    // What is read but not written so, such as `2026-11-23 03:00:00z`, would be a second id for one time.
    (run_id(schedule, due) == id).then_some((schedule, due))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::RunId;

    #[test]
    fn an_id_that_is_not_written_as_ours_is_nobodys() {
        for id in [
            "",
            "@",
            "nightly",
            "nightly@",
            "2026-11-23T03:00:00Z",
            "nightly@2026-11-23T03:00:00",
            "nightly@2026-11-23T03:00Z",
            "nightly@2026-11-23 03:00:00Z",
            "nightly@2026-11-23t03:00:00z",
            "nightly@2026-11-23T03:00:60Z",
            "nightly@2026-02-30T03:00:00Z",
            "nightly@1969-12-31T23:59:59Z",
            "nightly@2026-11-23T03:00:00Z ",
            "nightly@2026-11-23T03+00:00Z",
            "nightly@20261123T030000.000Z",
            "nightly@2026-11-23T03:00:00é",
        ] {
            assert_eq!(due_of(id), None, "{id:?}");
        }
        assert_eq!(due_of("@1970-01-01T00:00:00Z"), Some(("", Timestamp(0))), "a name can be empty");
        let twice = run_id(&run_id("a", Timestamp(0)), Timestamp(1_000));
        assert_eq!(due_of(&twice), Some(("a@1970-01-01T00:00:00Z", Timestamp(1_000))), "and have an @");
        assert!(RunId::new(twice).is_ok());
    }

    #[test]
    fn the_end_of_time_has_an_id_that_sorts_last() {
        assert_eq!(run_id("a", Timestamp(u64::MAX)), "a@9999-12-30T22:00:00Z");
        assert_eq!(run_id("a", Timestamp(1_999)), run_id("a", Timestamp(1_000)));
    }

    /// What may be a time, and what looks much like one.
    fn time() -> impl Strategy<Value = String> {
        let much = "20[0-9]{2}-0[1-9]-[0-2][0-9][Tt ][0-2][0-9]:[0-5][0-9](:[0-6][0-9])?([.]5)?(Z|z|[+]0[0-9]:00)";
        prop_oneof!["[-0-9TZ:. +]{0,24}", much]
    }

    proptest! {
        #[test]
        fn ids_sort_by_time_and_say_it(name in ".{0,20}", one in 0..253_402_207_200_u64, other in 0..253_402_207_200_u64) {
            let [one, other] = [one, other].map(|seconds| Timestamp(seconds * 1_000));
            prop_assert_eq!(run_id(&name, one).cmp(&run_id(&name, other)), one.cmp(&other));
            let id = run_id(&name, one);
            prop_assert_eq!(due_of(&id), Some((&*name, one)));
        }

        #[test]
        fn no_text_is_too_strange_to_be_asked_for_its_time(id in ".*", time in time()) {
            let _ = due_of(&id);
            let id = format!("{id}@{time}");
            if let Some((schedule, due)) = due_of(&id) {
                prop_assert_eq!(run_id(schedule, due), id);
            }
        }
    }
}
