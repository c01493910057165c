//! R2, R3, R4: ordinary concurrency is deterministic on replay.
//!
//! Whatever the combinators of tokio and futures do, and in whichever order the steps end: after any crashes, the run
//! comes to the same result by the same journal as one that never crashed and whose steps ended in the same order.

pub(crate) mod code;
mod model;
pub(crate) mod program;
pub(crate) mod score;
mod small;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::Random;
use durable_runtime::{Context, DurableFunction, Runtime, durable};
use durable_tests::{Entry, Kind, World, frames, journal, patiently, write};
use futures::future::join_all;

use code::concurrent;
use program::Program;
use score::{Execution, Score};

/// A run's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Journal {
    frames: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

impl Journal {
    fn of(world: &World, run: &str) -> Self {
        Self { frames: frames(&world.disk.memory, run), entries: journal(&world.disk.memory, run) }
    }

    fn len(&self) -> usize {
        self.frames.len()
    }

    /// The keys in the order in which attempts ended.
    fn order(&self) -> impl Iterator<Item = String> {
        self.entries.iter().filter_map(|entry| entry.key.clone())
    }

    /// What is recorded, but for the marks of recoveries.
    fn facts(&self) -> Vec<&[u8]> {
        let facts = self.frames.iter().zip(&self.entries).filter(|(_, entry)| entry.kind != Kind::Recovered);
        facts.map(|(frame, _)| frame.as_slice()).collect()
    }
}

/// A run to be done by a process: its name, what is on its disk, and the order in which its attempts end.
struct Part {
    run: String,
    frames: Vec<Vec<u8>>,
    order: Vec<String>,
}

/// What became of a run.
struct Played {
    journal: Journal,
    executions: Vec<Execution>,
}

impl Played {
    fn of(world: &World, score: &Score, run: &str) -> Self {
        Self { journal: Journal::of(world, run), executions: score.executions(run) }
    }

    /// The attempt of this run that is the same as the one of another.
    fn same(&self, other: &Execution) -> Option<&Execution> {
        self.executions.iter().find(|one| one.key == other.key && one.attempt == other.attempt)
    }

    /// After a crash behind so many attempts, `again` did nothing that was over by then: recorded, or stopped.
    fn check_again(&self, ended: usize, again: &Self) {
        for execution in &again.executions {
            let over = self.same(execution).and_then(|one| one.over);
            assert!(over.is_none_or(|over| over > ended), "{} was done again", execution.key);
        }
    }
}

async fn open(world: &World, score: &Arc<Score>) -> Runtime {
    let builder = world.builder().shared_dependency(Arc::clone(score));
    builder.open_store(world.disk.open()).await.expect("the store opens")
}

/// One process that goes on with all these runs, until they have ended.
async fn go_on<F>(function: F, parts: Vec<Part>) -> Vec<Played>
where
    F: DurableFunction,
{
    let (world, score) = (World::default(), Arc::new(Score::default()));
    let names: Vec<String> = parts.iter().map(|part| part.run.clone()).collect();
    for Part { run, frames, order } in parts {
        write(&world.disk.memory, &run, frames);
        score.write(&run, order);
    }
    let runtime = open(&world, &score).await;
    let ends = join_all(names.iter().map(async |run| {
        let run = runtime.attach(run, function).await.expect("the run exists");
        run.await.map(drop).expect("the run ends by itself");
    }));
    patiently("the runs", ends).await;
    let played = names.iter().map(|run| Played::of(&world, &score, run)).collect();
    runtime.shutdown(Duration::ZERO).await;
    played
}

#[durable]
async fn nothing(_ctx: Context) {}

/// Waits until all runs wait for their steps, and nothing is left to be written.
async fn settle(runtime: &Runtime, score: &Score) {
    let turns = async || {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    };
    loop {
        let before = score.activity();
        turns().await;
        // The committer answers in order: once this is known, so is all that was handed over before.
        runtime.start("nothing", nothing, ()).await.expect("it starts").await.expect("it ends");
        turns().await;
        if score.activity() == before {
            return;
        }
    }
}

/// One process that runs all these programs from the beginning; their steps end in a random order.
async fn run_all(programs: &[(u64, Program)]) -> Vec<Played> {
    let (world, score) = (World::default(), Arc::new(Score::default()));
    let runtime = open(&world, &score).await;
    let runs = join_all(programs.iter().map(async |(seed, program)| {
        let name = format!("p{seed}");
        score.improvise(&name, *seed);
        runtime.start(name, concurrent, program.clone()).await.expect("it starts")
    }));
    let ends = join_all(runs.await.into_iter().map(async |run| run.await.map(drop).expect("no halt")));
    let conduct = async {
        loop {
            settle(&runtime, &score).await;
            score.tick();
        }
    };
    tokio::select! {
        biased;
        _ = patiently("the runs", ends) => {}
        () = conduct => {}
    }
    let played = programs.iter().map(|(seed, _)| Played::of(&world, &score, &format!("p{seed}"))).collect();
    runtime.shutdown(Duration::ZERO).await;
    played
}

/// A run that is crashed again and again.
struct Victim<'a> {
    seed: u64,
    program: &'a Program,
    whole: &'a Played,
    random: Random,
    /// How many crashes are to come.
    crashes: usize,
    /// The journal that the last process left.
    left: Journal,
    /// How many records were there when it began.
    began: usize,
}

impl Victim<'_> {
    fn name(&self, index: usize) -> String {
        format!("p{}:{index}", self.seed)
    }

    /// The next process's run: the journal is cut at a random place behind the last one, and the order goes on from there.
    fn crash(&mut self, index: usize) -> Part {
        self.crashes -= 1;
        let length = self.began + 1 + self.random.below(self.left.len() - self.began - 1);
        self.left.frames.truncate(length);
        self.left.entries.truncate(length);
        self.began = length;
        let ended = self.left.order().count();
        Part {
            run: self.name(index),
            frames: self.left.frames.clone(),
            order: self.whole.journal.order().skip(ended).collect(),
        }
    }

    fn can_crash(&self) -> bool {
        self.crashes > 0 && self.began + 1 < self.left.len()
    }

    /// Checks the run, and says which one it is if something is wrong with it.
    fn judge(&self, run: &str, played: &Played) {
        let _told = Told(self);
        self.check(run, played);
    }

    /// The run ended as if it had never been crashed, and nothing that was recorded was done again.
    fn check(&self, run: &str, played: &Played) {
        let Self { whole, began, .. } = self;
        assert_eq!(played.journal.frames[..*began], self.left.frames, "the journal was rewritten");
        let facts = played.journal.facts() == whole.journal.facts();
        assert!(facts, "{:#?}\nexpected: {:#?}", played.journal.entries, whole.journal.entries);
        whole.check_again(self.left.order().count(), played);
        for execution in &played.executions {
            let same = whole.same(execution).expect("it is asked for without a crash, too");
            assert_eq!(execution.input, same.input);
            assert_eq!(execution.idempotency_key, format!("{run}:{}", execution.key));
        }
    }
}

/// Says what failed, when something did.
struct Told<'a>(&'a Victim<'a>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Victim { seed, program, began, .. } = self.0;
            eprintln!("DURABLE_SEED={seed}, crashed behind {began} records: {program:?}");
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    programs: usize,
    schedules: usize,
    crashes: usize,
    records: usize,
}

/// Runs the programs of these seeds, and each of them again with `schedules` schedules of crashes.
async fn check(seeds: impl Iterator<Item = u64>, schedules: usize, counts: &mut Counts) {
    let programs: Vec<_> = seeds.map(|seed| (seed, Program::random(&mut Random::new(seed)))).collect();
    let whole = run_all(&programs).await;
    let mut victims = Vec::new();
    for ((seed, program), whole) in programs.iter().zip(&whole) {
        let mut random = Random::new(!seed);
        counts.records += whole.journal.len();
        for _ in 0..schedules {
            let mut random = Random::new(random.number());
            let crashes = 1 + random.below(2) * random.below(3);
            victims.push(Victim {
                seed: *seed,
                program,
                whole,
                random,
                crashes,
                left: whole.journal.clone(),
                began: 0,
            });
        }
    }
    counts.programs += programs.len();
    counts.schedules += victims.len();
    loop {
        victims.retain(Victim::can_crash);
        if victims.is_empty() {
            return;
        }
        counts.crashes += victims.len();
        let parts = victims.iter_mut().enumerate().map(|(index, victim)| victim.crash(index)).collect();
        let played = go_on(concurrent, parts).await;
        for (index, (victim, played)) in victims.iter_mut().zip(played).enumerate() {
            victim.judge(&victim.name(index), &played);
            victim.left = played.journal;
        }
    }
}

/// How many programs one process runs at once.
const BATCH: u64 = 25;
/// How many schedules of crashes each program goes through.
const SCHEDULES: usize = 20;

/// Checks so many batches of programs; `DURABLE_SEED` checks one program alone.
async fn check_batches(batches: std::ops::Range<u64>) {
    let mut counts = Counts::default();
    if let Ok(seed) = std::env::var("DURABLE_SEED") {
        let seed = seed.parse().expect("DURABLE_SEED is a number");
        return check(seed..=seed, SCHEDULES, &mut counts).await;
    }
    for batch in batches.clone() {
        check(batch * BATCH..(batch + 1) * BATCH, SCHEDULES, &mut counts).await;
    }
    println!("seeds {}..{}: {counts:?}", batches.start * BATCH, batches.end * BATCH);
    assert_eq!(counts.schedules, 5_000);
}

// Two tests, for two cores.

#[tokio::test]
async fn random_programs_end_the_same_after_any_crashes() {
    check_batches(0..10).await;
}

#[tokio::test]
async fn more_random_programs_end_the_same_after_any_crashes() {
    check_batches(10..20).await;
}
