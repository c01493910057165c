//! The property behind R1 to R9: for random programs, random completion orders and crashes at any record, the outcome
//! is what the recorded completion order alone says, and what is recorded is never done again.

mod model;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{self, Random};
use durable_runtime::{
    Context, HaltReason, Journal, Retry, Run, RunError, Runtime, StepContext, Verification, durable,
};
use durable_tests::{Entry, Handle, Kind, Loss, World, copy, journal, patiently};
use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;

use program::{Machine, Plan, Program, mix, outcome};

#[durable]
async fn interpret(ctx: Context, program: Program) -> u64 {
    #[durable(unchecked = "it awaits steps and combinations of steps only")]
    program::eval(&ctx, &program, 1).await
}

#[durable]
async fn interpret_step(ctx: &Context, plan: Plan, input: u64) -> Result<u64, u64> {
    ctx.run(work, plan, input).named(plan.name()).retry(plan.policy()).await
}

#[durable]
async fn interpret_backwards(ctx: &Context, plans: &[Plan], input: u64) -> u64 {
    let mut steps: Vec<_> =
        plans.iter().map(|plan| ctx.run(work, *plan, input).named(plan.name()).retry(plan.policy())).collect();
    let mut value = input;
    while let Some(step) = steps.pop() {
        value = mix(value, outcome(step.await));
    }
    value
}

impl Plan {
    fn policy(self) -> Retry {
        Retry::fixed(Duration::ZERO).max_attempts(self.failures + 1)
    }
}

impl Machine for Context {
    fn step(&self, plan: Plan, input: u64) -> BoxFuture<'_, Result<u64, u64>> {
        Box::pin(interpret_step(self, plan, input))
    }

    fn backwards<'a>(&'a self, plans: &'a [Plan], input: u64) -> BoxFuture<'a, u64> {
        Box::pin(interpret_backwards(self, plans, input))
    }
}

async fn work(step: StepContext, plan: Plan, input: u64) -> Result<u64, u64> {
    let latency = step.dependency::<Laboratory>().begin(&step);
    for _ in 0..latency {
        tokio::task::yield_now().await;
    }
    if step.attempt() <= plan.failures { Err(0) } else { plan.result(step.key(), input) }
}

/// Where the steps work: it decides how long they take, and may pull the plug when one begins.
#[derive(Debug)]
struct Laboratory {
    state: Mutex<State>,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct State {
    random: Random,
    executions: Vec<(String, u32)>,
    /// After how many begun attempts the process dies.
    fatal: Option<usize>,
}

impl Laboratory {
    fn begin(&self, step: &StepContext) -> usize {
        let mut state = self.state.lock();
        state.executions.push((step.idempotency_key().to_owned(), step.attempt()));
        if state.fatal == Some(state.executions.len()) {
            self.handle.fail_after(0, Loss::Whole);
        }
        state.random.below(8)
    }
}

/// One life of a process: from opening the store to its end or its crash.
struct Life {
    runtime: Runtime,
    laboratory: Arc<Laboratory>,
}

impl Life {
    async fn open(world: &World, random: &mut Random, fault: Fault) -> Self {
        let handle = world.disk.open();
        if let Fault::Commit(commits, loss) = fault {
            handle.fail_after(commits, loss);
        }
        let fatal = if let Fault::Attempt(attempts) = fault { Some(attempts) } else { None };
        let state = State { random: Random::new(random.number()), executions: Vec::new(), fatal };
        let laboratory = Arc::new(Laboratory { state: Mutex::new(state), handle: handle.clone() });
        let builder = world.builder().shared_dependency(laboratory.clone());
        Self { runtime: builder.open_store(handle).await.expect("the store opens"), laboratory }
    }

    /// What the run returned, or nothing if the process died before.
    async fn result(run: Run<u64>) -> Option<u64> {
        match patiently("a result", run.into_future()).await {
            Ok(result) => Some(result),
            Err(RunError::Halted { halt, .. }) if halt.reason == HaltReason::Storage => None,
            Err(other) => panic!("{other}"),
        }
    }

    /// Ends the process and returns the attempts that its steps began.
    async fn end(self) -> Vec<(String, u32)> {
        self.laboratory.handle.fail_after(0, Loss::Whole);
        self.runtime.shutdown(Duration::ZERO).await;
        self.laboratory.state.lock().executions.clone()
    }
}

/// How a life ends.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Behind so many commits.
    Commit(usize, Loss),
    /// When so many attempts have begun, before any of their records.
    Attempt(usize),
}

impl Fault {
    fn random(random: &mut Random) -> Self {
        match random.below(3) {
            0 => Self::Commit(random.below(8), Loss::Whole),
            1 => Self::Commit(random.below(8), Loss::Acknowledgement),
            _ => Self::Attempt(1 + random.below(8)),
        }
    }
}

fn keys(journal: &[Entry], kind: Kind) -> impl Iterator<Item = &str> {
    journal.iter().filter(move |entry| entry.kind == kind).filter_map(|entry| entry.key.as_deref())
}

/// What every life has to respect: the journal only grows, and what it holds is not done again.
fn check_life(run: &str, before: &[Entry], after: &[Entry], executions: &[(String, u32)]) {
    assert!(after.starts_with(before), "the journal was rewritten: {before:?} became {after:?}");
    let mut outcomes = BTreeSet::new();
    for key in keys(after, Kind::StepCompleted) {
        assert!(outcomes.insert(key), "{key} has two outcomes");
    }
    assert!(after.iter().all(|entry| entry.kind != Kind::Halted), "halted: {after:?}");

    let completed: BTreeSet<_> = keys(before, Kind::StepCompleted).collect();
    let mut failed = BTreeMap::new();
    for key in keys(before, Kind::AttemptFailed) {
        *failed.entry(key).or_insert(0) += 1;
    }
    for (idempotency_key, attempt) in executions {
        let Some(key) = idempotency_key.strip_prefix(run).and_then(|key| key.strip_prefix(':')) else { continue };
        assert!(!completed.contains(key), "{key} was executed although its outcome was recorded");
        let next = failed.entry(key).or_insert(0);
        *next += 1;
        assert_eq!(attempt, next, "{key}: attempts are counted across lives");
    }
}

/// What a run that ended has to respect: its result, and all it asked for, follow from the recorded order.
fn check_end(program: &Program, journal: &[Entry], result: u64) {
    let order: Vec<_> = keys(journal, Kind::StepCompleted).collect();
    let expected = model::run(program, &order);
    assert_eq!(Some(result), expected.result, "recorded order: {order:?}");
    for entry in journal {
        let asked_for = entry.key.as_ref().is_none_or(|key| expected.claimed.contains(key));
        assert!(asked_for, "{:?} was recorded, but not asked for by then", entry.key);
    }
}

fn journal_of(world: &World, run: &str) -> Vec<Entry> {
    let exists = durable_runtime::RunId::new(run)
        .is_ok_and(|id| durable_runtime::store::Store::head(&world.disk.memory, &id).is_ok_and(|head| head.is_some()));
    if exists { journal(&world.disk.memory, run) } else { Vec::new() }
}

/// Runs one program to its end, through crashes as `faults` say, and returns how many lives it took.
async fn check_program(world: &World, program: &Program, random: &mut Random, faults: usize) -> usize {
    for life in 0..=faults {
        let fault = if life == faults { Fault::None } else { Fault::random(random) };
        let before = journal_of(world, "p");
        let process = Life::open(world, random, fault).await;
        let result = match process.runtime.start("p", interpret, program.clone()).await {
            Ok(run) => Life::result(run).await,
            Err(_) => None,
        };
        let executions = process.end().await;
        let after = journal_of(world, "p");
        check_life("p", &before, &after, &executions);
        if let Some(result) = result {
            check_end(program, &after, result);
            return life + 1;
        }
    }
    panic!("the last life, without a fault, did not end the run");
}

/// Says what failed, when something did.
struct Told<'a>(u64, &'a Program);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: {:?}", self.0, self.1);
        }
    }
}

/// How many crashes each of the first two tests goes through, at the least.
const CRASHES: usize = 2_000;

#[tokio::test]
async fn crash_at_every_record() {
    let mut crashes = 0;
    for seed in 0.. {
        let mut random = Random::new(seed);
        let program = Program::random(&mut random);
        let _told = Told(seed, &program);
        let world = World::default();
        check_program(&world, &program, &mut random, 0).await;
        let whole = journal(&world.disk.memory, "p");
        for length in 1..whole.len() {
            let world = World::with(copy(&world.disk.memory, "p", length));
            check_program(&world, &program, &mut random, 0).await;
            crashes += 1;
        }
        if crashes >= CRASHES {
            return;
        }
    }
}

/// Verifying agrees with replaying: what the code has done it would do again, in flight at any record.
#[tokio::test]
async fn verifying_finds_nothing_at_any_record_of_unchanged_code() {
    let mut prefixes = 0;
    for seed in 4_000_000.. {
        let mut random = Random::new(seed);
        let program = Program::random(&mut random);
        let _told = Told(seed, &program);
        let world = World::default();
        check_program(&world, &program, &mut random, 0).await;
        let runtime = world.builder().recover_later().open_store(world.disk.open()).await.expect("the store opens");
        let journal = runtime.journal("p").await.expect("a store that works").expect("a run");
        assert_eq!(Journal::from_lines(&journal.to_lines()).as_ref(), Ok(&journal));
        assert_eq!(testing::replay(&journal, interpret).await, Verification::Same);
        for length in 1..journal.length() {
            let verification = testing::replay(&journal.prefix(length), interpret).await;
            assert!(matches!(verification, Verification::Continues { .. }), "after {length} records: {verification}");
            prefixes += 1;
        }
        if prefixes >= CRASHES {
            return;
        }
    }
}

#[tokio::test]
async fn crash_again_and_again() {
    let mut crashes = 0;
    for seed in 1_000_000.. {
        let mut random = Random::new(seed);
        let program = Program::random(&mut random);
        let _told = Told(seed, &program);
        crashes += check_program(&World::default(), &program, &mut random, 12).await - 1;
        if crashes >= CRASHES {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crash_with_many_runs_at_once() {
    const RUNS: usize = 20;
    for seed in 2_000..2_015 {
        let mut random = Random::new(seed);
        let programs: Vec<_> = (0..RUNS).map(|_| Program::random(&mut random)).collect();
        let world = World::default();
        let mut ended = BTreeSet::new();
        for life in 0.. {
            assert!(life < 100, "seed {seed}: no progress");
            let fault = if life < 8 { Fault::Commit(random.below(30), Loss::Whole) } else { Fault::None };
            let before: Vec<_> = (0..RUNS).map(|index| journal_of(&world, &format!("p{index}"))).collect();
            let process = Life::open(&world, &mut random, fault).await;
            let results = join_all(programs.iter().enumerate().map(async |(index, program)| {
                match process.runtime.start(format!("p{index}"), interpret, program.clone()).await {
                    Ok(run) => Life::result(run).await,
                    Err(_) => None,
                }
            }))
            .await;
            let executions = process.end().await;
            for (index, result) in results.into_iter().enumerate() {
                let run = format!("p{index}");
                let _told = Told(seed, &programs[index]);
                let after = journal_of(&world, &run);
                check_life(&run, &before[index], &after, &executions);
                if let Some(result) = result {
                    check_end(&programs[index], &after, result);
                    ended.insert(index);
                }
            }
            if ended.len() == RUNS {
                break;
            }
        }
    }
}
