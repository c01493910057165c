//! Which worlds are played: every one with few crashes, many random ones, and from one that fails to the shortest.

use std::collections::BTreeMap;
use std::panic::resume_unwind;

use super::judge::Known;
use super::mishap::{Boundary, Mishap};
use super::play::Played;
use super::quiet::{quietly, told};
use super::report::{Explored, Failure};
use super::schedule::{Place, Schedule};
use super::{Exploration, World};
use crate::function::DurableFunction;
use crate::testing::Random;

/// The environment variable that says which world is played alone.
pub(super) const SEED: &str = "DURABLE_SEED";

/// By how many boundaries what follows may come earlier when something that went wrong before it is left out.
const EARLIER_MAX: u32 = 4;

/// How many worlds are played in search of a shorter schedule.
const SHORTENINGS_MAX: usize = 300;

type Check<'a, O> = dyn FnMut(&World<O>) + Send + 'a;

impl<F: DurableFunction> Exploration<F> {
    /// Plays very many worlds, calls `check` with each after its run has returned, and says what was done.
    ///
    /// With the environment variable `DURABLE_SEED`, plays the one world that it names and prints what happens in it: it
    /// is a number, for the random world of that seed, or what a failure says of itself.
    ///
    /// ```
    /// # use durable_runtime::{Context, durable, testing};
    /// #[durable]
    /// async fn explored_sum(ctx: Context, a: u32, b: u32) -> u32 {
    ///     let sum = ctx.run("add", async || a + b).await;
    ///     ctx.run("add", async || sum + 1).await
    /// }
    ///
    /// let explored = testing::explore(explored_sum, (1, 2)).check(|world| assert_eq!(*world.output(), 4));
    /// assert!(explored.crashes > 100, "{explored}");
    /// ```
    ///
    /// # Panics
    /// If something does not hold: see [`Exploration`].
    #[track_caller]
    pub fn check(self, mut check: impl FnMut(&World<F::Output>) + Send) -> Explored {
        let only = std::env::var(SEED).ok();
        let result = self.on_a_thread(|exploration| {
            let mut search = Search::new(&exploration, &mut check);
            match only {
                Some(text) => search.only(&text),
                None => search.all().map(|()| search.explored),
            }
        });
        let explored = match result {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        };
        println!("{explored}");
        explored
    }

    /// Plays one world, in which nothing goes wrong but what was asked for, and returns it.
    ///
    /// ```
    /// # use durable_runtime::{Context, durable, testing};
    /// # use durable_runtime::testing::Crash;
    /// #[durable]
    /// async fn narrated(ctx: Context) -> u32 {
    ///     ctx.run("guess", async || 7).await
    /// }
    ///
    /// let world = testing::explore(narrated, ()).crash(Crash::Unsynced, "guess").run();
    /// assert_eq!(world.journal().outline(), "started narrated null\nrecovered\nguess = 7\nfinished 7\n");
    /// println!("{}", world.timeline());
    /// ```
    ///
    /// # Panics
    /// If the run does not return, or a [crash](Self::crash) that was asked for does not happen.
    #[track_caller]
    pub fn run(self) -> World<F::Output> {
        let played = self.on_a_thread(|exploration| {
            let played = exploration.play_quietly(Schedule::default())?;
            if let Some(broken) = &played.seen.broken {
                return Err(format!("{broken}\n\n{}", played.seen.timeline));
            }
            let timeline = played.seen.timeline.to_string();
            if let Some((crash, key)) = exploration.script.crash_that_did_not_happen(&played.seen.scripted) {
                let why = "is there a step with this key, and does it come to that?";
                return Err(format!("there was no crash {crash} of {key}: {why}\n\n{timeline}"));
            }
            played.world().map_err(|why| format!("{why}\n\n{timeline}"))
        });
        match played {
            Ok(world) => world,
            Err(why) => panic!("{}: {why}", F::NAME),
        }
    }

    /// Worlds have tokio runtimes of their own, which can't be entered from within one.
    fn on_a_thread<T: Send>(self, work: impl FnOnce(Self) -> T + Send) -> T {
        let thread = std::thread::Builder::new().name(std::thread::current().name().unwrap_or_default().to_owned());
        std::thread::scope(|scope| {
            let worker = thread.spawn_scoped(scope, || work(self));
            let worker = worker.unwrap_or_else(|error| panic!("the operating system refused a thread: {error}"));
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Plays one world.
    ///
    /// # Errors
    /// What panicked, if anything did.
    pub(super) fn play_quietly(&self, schedule: Schedule) -> Result<Played<F::Output>, String> {
        quietly(|| self.play(schedule)).map_err(|panic| told(&*panic))
    }
}

struct Search<'a, F: DurableFunction> {
    exploration: &'a Exploration<F>,
    check: &'a mut Check<'a, F::Output>,
    known: Known,
    explored: Explored,
}

impl<'a, F: DurableFunction> Search<'a, F> {
    fn new(exploration: &'a Exploration<F>, check: &'a mut Check<'a, F::Output>) -> Self {
        Self { exploration, check, known: Known::default(), explored: Explored::of(F::NAME) }
    }

    /// Every world with few crashes, and random ones.
    fn all(&mut self) -> Result<(), Box<Failure>> {
        let schedule = Schedule::default();
        let whole = self.try_one(&schedule)?;
        self.explored.boundaries = whole.len();
        self.repeat(&schedule)?;
        self.judged(&schedule).map_err(|why| Box::new(self.failure(&schedule, &differs(&why), None)))?;
        self.try_one(&Schedule { suspends: true, ..schedule.clone() })?;
        let mut layer = vec![(schedule, whole)];
        for mishaps in 1..=self.exploration.depth {
            let possible = layer.iter().map(|(_, places)| ways(places)).sum();
            self.explored.possible.insert(mishaps, possible);
            let further = layer.iter().flat_map(|(schedule, places)| worse(schedule, places));
            // Chosen while they are listed: of a long run, all of them would not fit into memory.
            let chosen: Vec<Schedule> = choose(further, possible, self.exploration.worlds_max, u64::from(mishaps));
            self.explored.played.insert(mishaps, chosen.len());
            layer.clear();
            for schedule in chosen {
                let places = self.try_one(&schedule)?;
                if mishaps < self.exploration.depth {
                    layer.push((schedule, places));
                }
            }
        }
        for seed in self.exploration.seeds.clone() {
            let schedule = Schedule::random(seed);
            // Without what goes wrong first: what the function returns then is right.
            self.try_one(&Schedule { random: None, ..schedule.clone() })?;
            self.try_one(&schedule)?;
            if seed % 16 == 0 {
                self.repeat(&schedule)?;
            }
        }
        self.explored.random = self.exploration.seeds.clone().count();
        Ok(())
    }

    /// The one world of `DURABLE_SEED`.
    fn only(&mut self, text: &str) -> Result<Explored, Box<Failure>> {
        let schedule: Schedule = match text.parse() {
            Ok(schedule) => schedule,
            Err(why) => return Err(Box::new(Failure::unreadable(F::NAME, text, &why))),
        };
        // What the function returns when nothing goes wrong is known to the world that is asked for, as when all are played.
        // Whether that itself is right is another question.
        for right in [Schedule::default(), Schedule { mishaps: BTreeMap::new(), random: None, ..schedule.clone() }] {
            let _ = self.judged(&right);
        }
        if let Err(why) = self.judged(&schedule) {
            return Err(Box::new(self.failure(&schedule, &why, None)));
        }
        self.repeat(&schedule)?;
        if let Ok(played) = self.exploration.play_quietly(schedule) {
            println!("{}", played.seen.timeline);
        }
        Ok(self.explored.clone())
    }

    /// Plays and judges a world. Returns the boundaries behind the last thing that went wrong.
    fn try_one(&mut self, schedule: &Schedule) -> Result<Vec<(Place, Boundary)>, Box<Failure>> {
        match self.judged(schedule) {
            Ok(places) => Ok(places),
            Err(why) => Err(Box::new(self.shortest(schedule, &why))),
        }
    }

    fn judged(&mut self, schedule: &Schedule) -> Result<Vec<(Place, Boundary)>, String> {
        let played = self.exploration.play_quietly(schedule.clone())?;
        self.explored.count(&played.seen, played.lives);
        let last = schedule.last_place();
        let places = played.seen.boundaries.iter().copied().filter(|(place, _)| Some(*place) > last).collect();
        let judged = self.exploration.judge(&mut self.known, played, &mut *self.check);
        self.explored.unconfirmed = self.known.unconfirmed;
        judged?;
        Ok(places)
    }

    /// The same schedule gives the same world.
    fn repeat(&mut self, schedule: &Schedule) -> Result<(), Box<Failure>> {
        let told_again = || -> Result<(), String> {
            let (one, other) =
                (self.exploration.play_quietly(schedule.clone())?, self.exploration.play_quietly(schedule.clone())?);
            match one.seen.timeline.first_difference(&other.seen.timeline) {
                None => Ok(()),
                Some((one, other)) => {
                    let line = |line: Option<String>| line.unwrap_or_else(|| "(the end)".to_owned());
                    Err(format!(
                        "the same schedule gave two different worlds: the steps or fakes depend on something that is not simulated, such as the machine's clock, randomness, the order of a hash map, a thread, or a dependency whose clones share what they remember\n  once:  {}\n  again: {}",
                        line(one),
                        line(other)
                    ))
                }
            }
        };
        told_again().map_err(|why| Box::new(self.failure(schedule, &why, None)))
    }

    /// From a schedule that fails to one that fails with as little as possible.
    fn shortest(&mut self, schedule: &Schedule, why: &str) -> Failure {
        let mut found = (self.written_out(schedule), why.to_owned());
        match self.judged(&found.0) {
            Err(again) => found.1 = again,
            // What was drawn can't be written out: the seed itself is the shortest.
            Ok(_) => return self.failure(schedule, why, None),
        }
        let mut tries = 0;
        let mut shorter = true;
        while shorter && tries < SHORTENINGS_MAX {
            shorter = false;
            for candidate in shortened(&found.0) {
                tries += 1;
                if tries > SHORTENINGS_MAX {
                    break;
                }
                if let Err(why) = self.judged(&candidate) {
                    found = (candidate, why);
                    shorter = true;
                    break;
                }
            }
        }
        let (shortest, why) = found;
        self.failure(&shortest, &why, Some(schedule))
    }

    /// The same schedule with its random mishaps written out.
    fn written_out(&self, schedule: &Schedule) -> Schedule {
        if schedule.random.is_none() {
            return schedule.clone();
        }
        let mishaps = match self.exploration.play_quietly(schedule.clone()) {
            Ok(played) => played.seen.mishaps,
            Err(_) => BTreeMap::new(),
        };
        Schedule { mishaps, random: None, ..schedule.clone() }
    }

    fn failure(&self, schedule: &Schedule, why: &str, found_in: Option<&Schedule>) -> Failure {
        let played = self.exploration.play_quietly(schedule.clone());
        let timeline = played.map(|played| played.seen.timeline).unwrap_or_default();
        Failure::new(F::NAME, why, schedule, found_in, &timeline)
    }
}

/// The schedule with one mishap more, in every way.
fn worse<'a>(schedule: &'a Schedule, places: &'a [(Place, Boundary)]) -> impl Iterator<Item = Worse<'a>> {
    let more = move |(place, boundary): &(Place, Boundary)| {
        let place = *place;
        boundary.mishaps().map(move |mishap| (schedule, place, mishap))
    };
    places.iter().flat_map(more)
}

/// A schedule, and what goes wrong in addition.
type Worse<'a> = (&'a Schedule, Place, Mishap);

/// In how many ways one mishap more can happen.
fn ways(places: &[(Place, Boundary)]) -> usize {
    places.iter().map(|(_, boundary)| boundary.mishaps().count()).sum()
}

/// The same world was judged otherwise when it was played again.
fn differs(why: &str) -> String {
    format!(
        "the check passed in one world, and fails in another in which nothing went wrong either: a dependency shares what it remembers with its clones, as an `Arc` does. Make its `Clone` copy, or make it anew for each world with `.dependency_with(…)`\n  the check says: {why}"
    )
}

/// All `possible` ones, or as many as are allowed, in their order.
fn choose<'a>(all: impl Iterator<Item = Worse<'a>>, possible: usize, count_max: usize, seed: u64) -> Vec<Schedule> {
    let mut random = Random::new(seed);
    let mut wanted = count_max.min(possible);
    // Knuth, "The Art of Computer Programming", volume 2, algorithm 3.4.2 S: each set of so many is as likely.
    let chosen = (1..=possible).rev().zip(all).filter(|(left, _)| {
        let is_chosen = random.below(*left) < wanted;
        wanted -= usize::from(is_chosen);
        is_chosen
    });
    chosen.map(|(_, (schedule, place, mishap))| schedule.and(place, mishap)).collect()
}

/// Schedules with less in them, the boldest first.
fn shortened(schedule: &Schedule) -> Vec<Schedule> {
    let mut shorter = Vec::new();
    if schedule.pace.is_some() {
        shorter.push(Schedule { pace: None, ..schedule.clone() });
    }
    if schedule.suspends {
        shorter.push(Schedule { suspends: false, ..schedule.clone() });
    }
    let places: Vec<Place> = schedule.mishaps.keys().copied().collect();
    if places.len() > 2 {
        for half in places.chunks(places.len().div_ceil(2)) {
            let mut halved = schedule.clone();
            halved.mishaps.retain(|place, _| !half.contains(place));
            shorter.push(halved);
        }
    }
    for place in places.iter().rev() {
        let mut without = schedule.clone();
        without.mishaps.remove(place);
        // What follows comes earlier without it: a failed attempt has boundaries of its own, a crash a life.
        for earlier in 0..=EARLIER_MAX {
            let moved = without.mishaps.iter().map(|(later, mishap)| {
                let is_behind = later.life == place.life && later > place;
                let boundary = if is_behind { later.boundary.saturating_sub(earlier) } else { later.boundary };
                (Place { boundary, ..*later }, *mishap)
            });
            let moved = Schedule { mishaps: moved.collect(), ..without.clone() };
            if !shorter.contains(&moved) {
                shorter.push(moved);
            }
        }
        let joined = without.mishaps.iter().map(|(later, mishap)| {
            let joined = Place { life: later.life - 1, boundary: later.boundary + place.boundary };
            (if later.life > place.life { joined } else { *later }, *mishap)
        });
        shorter.push(Schedule { mishaps: joined.collect(), ..without.clone() });
    }
    shorter
}
