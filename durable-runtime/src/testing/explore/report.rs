//! What an exploration says of itself: what it did, or what failed.

use std::collections::BTreeMap;
use std::fmt;

use super::mishap::Mishap;
use super::schedule::Schedule;
use super::search::SEED;
use super::stage::Seen;
use super::timeline::Timeline;

/// What an exploration did; printed by [`Exploration::check`](super::Exploration::check).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// The function.
    pub function: &'static str,
    /// How many boundaries a run without mishaps has.
    pub boundaries: usize,
    /// By number of mishaps, how many worlds are possible in which so much goes wrong.
    pub possible: BTreeMap<u32, usize>,
    /// How many of these were played. Fewer than possible if there are more than
    /// [`worlds_max`](super::Exploration::worlds_max).
    pub played: BTreeMap<u32, usize>,
    /// How many random worlds were played.
    pub random: usize,
    /// How many worlds were played in all.
    pub worlds: usize,
    /// How many processes lived.
    pub lives: usize,
    /// How many of them died at a boundary.
    pub crashes: usize,
    /// How often a store or an attempt failed, or the clock was set.
    pub failures: usize,
    /// How many results could not be compared with that of a world in which nothing goes wrong, because in no such world
    /// the steps end in the same order; that they follow from what was recorded was checked.
    pub unconfirmed: usize,
}

impl Explored {
    pub(super) fn of(function: &'static str) -> Self {
        Self {
            function,
            boundaries: 0,
            possible: BTreeMap::new(),
            played: BTreeMap::new(),
            random: 0,
            worlds: 0,
            lives: 0,
            crashes: 0,
            failures: 0,
            unconfirmed: 0,
        }
    }

    pub(super) fn count(&mut self, seen: &Seen, lives: u32) {
        self.worlds += 1;
        self.lives += lives as usize;
        for mishap in seen.mishaps.values() {
            match mishap {
                Mishap::Crash(_) => self.crashes += 1,
                Mishap::StoreFails(_) | Mishap::AttemptFails | Mishap::ClockJumps(_) => self.failures += 1,
            }
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, boundaries, worlds, lives, crashes, failures, random, .. } = self;
        write!(
            f,
            "{function}: {boundaries} boundaries; {worlds} worlds, {lives} lives, {crashes} crashes, {failures} failures; "
        )?;
        for (depth, played) in &self.played {
            let possible = self.possible.get(depth).copied().unwrap_or(0);
            let mishaps = if *depth == 1 { "mishap" } else { "mishaps" };
            write!(f, "{played} of {possible} worlds with {depth} {mishaps}, ")?;
        }
        write!(f, "{random} random ones")?;
        if self.unconfirmed > 0 {
            write!(f, "; {} results could not be compared", self.unconfirmed)?;
        }
        Ok(())
    }
}

/// What failed.
pub(super) struct Failure {
    text: String,
}

impl Failure {
    pub(super) fn new(
        function: &str,
        why: &str,
        schedule: &Schedule,
        found_in: Option<&Schedule>,
        timeline: &Timeline,
    ) -> Self {
        let found = match found_in {
            Some(found) if found != schedule => format!(" (found in {found})"),
            Some(_) | None => String::new(),
        };
        Self {
            text: format!(
                "{function}: {why}\n\nwhat goes wrong: {schedule}{found}\n{timeline}\nto see this again: {}\n",
                command(&schedule.to_string())
            ),
        }
    }

    pub(super) fn unreadable(function: &str, text: &str, why: &str) -> Self {
        Self { text: format!("{function}: {SEED}={text} can't be read: {why}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How to play one world, for this test if its name is known: the harness gives it to the thread.
fn command(schedule: &str) -> String {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main" && !name.starts_with("tokio")).unwrap_or_default();
    // Set by cargo for the programs that it runs.
    let package = std::env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}")).unwrap_or_default();
    format!("{SEED}={schedule} cargo test{package} {test}").trim_end().to_owned()
}
