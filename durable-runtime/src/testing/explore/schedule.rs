//! What goes wrong in one world, and in which order its steps end: made by hand, by counting, or from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::mishap::{Boundary, Crash, Mishap};
use super::order::Order;
use crate::testing::Random;

/// The most mishaps of a random schedule: far fewer than a run may be recovered without progress (R12).
const MISHAPS_MAX: usize = 10;

/// A place at which something can go wrong: the how-manieth boundary of which life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// From 1.
    pub(super) life: u32,
    /// From 0.
    pub(super) boundary: u32,
}

/// What goes wrong in a world, where.
///
/// As text it is what `DURABLE_SEED` takes: a number is the random schedule of that seed, anything else a list such as
/// `pace:17,1.4:after-effect`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The seed of how long everything takes; nothing takes any time without one.
    pub(super) pace: Option<u64>,
    pub(super) mishaps: BTreeMap<Place, Mishap>,
    /// The seed of further mishaps.
    pub(super) random: Option<u64>,
    /// Whether the run leaves memory and is replayed at every await.
    pub(super) suspends: bool,
    /// If steps are to act and end in the order of another world.
    pub(super) order: Option<Order>,
}

impl Schedule {
    /// The random schedule of a seed.
    pub(super) fn random(seed: u64) -> Self {
        Self { pace: Some(seed), random: Some(seed), suspends: seed % 4 == 3, ..Self::default() }
    }

    /// Where the last thing goes wrong.
    pub(super) fn last_place(&self) -> Option<Place> {
        self.mishaps.last_key_value().map(|(place, _)| *place)
    }

    /// This schedule, and one mishap more.
    pub(super) fn and(&self, place: Place, mishap: Mishap) -> Self {
        let mut schedule = self.clone();
        schedule.mishaps.insert(place, mishap);
        schedule
    }

    /// What goes wrong at this boundary, after so many mishaps.
    pub(super) fn mishap(&self, place: Place, boundary: Boundary, before: usize) -> Option<Mishap> {
        if let Some(seed) = self.random {
            return if before < MISHAPS_MAX { random_mishap(seed, place, boundary) } else { None };
        }
        self.mishaps.get(&place).copied().filter(|mishap| boundary.allows(*mishap))
    }

    /// How long something takes, always the same for the same `what`.
    pub(super) fn delay(&self, what: &dyn fmt::Display, longest: Duration) -> Duration {
        let Some(seed) = self.pace else { return Duration::ZERO };
        let mut random = Random::new(seed ^ xxh3_64(what.to_string().as_bytes()));
        let longest = usize::try_from(longest.as_millis()).unwrap_or(usize::MAX).saturating_add(1);
        // Often the same: what ends at the same time is another case of its own.
        let millis = if random.one_in(3) { 0 } else { random.below(longest) };
        Duration::from_millis(millis as u64)
    }

    /// Whether somebody who was told that this signal is recorded sends it again all the same.
    pub(super) fn sends_again(&self, signal: usize) -> bool {
        self.pace.is_some_and(|seed| Random::new(seed ^ xxh3_64(format!("again {signal}").as_bytes())).one_in(2))
    }
}

fn random_mishap(seed: u64, place: Place, boundary: Boundary) -> Option<Mishap> {
    // By place, so that the same mishaps come again if one that was before is left out.
    let mut random = Random::new(seed ^ xxh3_64(format!("{place:?}").as_bytes()));
    // A life of some length, so that the run gets somewhere, and a different one in each schedule.
    let rarity = 6 + usize::try_from(seed % 7).unwrap_or(0) * 4;
    if !random.one_in(rarity) {
        return None;
    }
    if random.one_in(8) {
        const HOUR: usize = 3_600_000;
        let millis = i64::try_from(random.below(HOUR)).unwrap_or(0) + 1;
        return Some(Mishap::ClockJumps(if random.one_in(2) { -millis } else { millis }));
    }
    let all: Vec<Mishap> = boundary.mishaps().collect();
    all.get(random.below(all.len())).copied()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life, self.boundary)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.random {
            return write!(f, "{seed}");
        }
        let mut parts: Vec<String> = self.pace.iter().map(|seed| format!("pace:{seed}")).collect();
        parts.extend(self.suspends.then(|| "suspend".to_owned()));
        parts.extend(self.mishaps.iter().map(|(place, mishap)| format!("{place}:{mishap}")));
        if parts.is_empty() {
            parts.push("none".to_owned());
        }
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seed) = text.parse() {
            return Ok(Self::random(seed));
        }
        let mut schedule = Self::default();
        for part in text.split(',').filter(|part| *part != "none") {
            let read = || {
                if part == "suspend" {
                    return Some(Part::Suspend);
                }
                let (place, what) = part.split_once(':')?;
                if place == "pace" {
                    return what.parse().ok().map(Part::Pace);
                }
                let (life, boundary) = place.split_once('.')?;
                let place = Place { life: life.parse().ok()?, boundary: boundary.parse().ok()? };
                Some(Part::Mishap(place, what.parse().ok()?))
            };
            match read() {
                Some(Part::Suspend) => schedule.suspends = true,
                Some(Part::Pace(seed)) => schedule.pace = Some(seed),
                Some(Part::Mishap(place, mishap)) => drop(schedule.mishaps.insert(place, mishap)),
                None => {
                    return Err(format!(
                        "{part:?} is none of a number, `suspend`, `pace:<number>`, `<life>.<boundary>:<what goes wrong>`, such as 1.4:{}",
                        Crash::AfterEffect
                    ));
                }
            }
        }
        Ok(schedule)
    }
}

enum Part {
    Suspend,
    Pace(u64),
    Mishap(Place, Mishap),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_from_what_is_printed() {
        let crash = Mishap::Crash(Crash::Unsynced);
        let schedule = Schedule { pace: Some(7), suspends: true, ..Schedule::default() }
            .and(Place { life: 1, boundary: 4 }, crash)
            .and(Place { life: 2, boundary: 0 }, Mishap::ClockJumps(-5));
        assert_eq!(schedule.to_string(), "pace:7,suspend,1.4:unsynced,2.0:clock-5");
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
        assert_eq!(Schedule::default().to_string().parse(), Ok(Schedule::default()));
        assert_eq!("17".parse(), Ok(Schedule::random(17)));
        assert!("1.4:nonsense".parse::<Schedule>().is_err());
    }
}
