//! Random programs, and their meaning over any machine that can run steps.

use durable_runtime::testing::Random;
use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all, select_all};
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

/// What a durable function does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Program {
    /// One step.
    Step(Plan),
    /// One after the other, each with the value of the one before.
    Sequence(Vec<Program>),
    /// All at once; the values in the order they are written.
    Join(Vec<Program>),
    /// Like `Join` of two, with `join!`.
    Both(Box<Program>, Box<Program>),
    /// All at once until the first has ended; the others are dropped.
    Race(Vec<Program>),
    /// Like `Race` of two, with `select!`.
    Either(Box<Program>, Box<Program>),
    /// All at once; the values in the order they come, of the first so many only.
    Unordered(Vec<Program>, usize),
    /// All asked for at once, awaited from the last to the first.
    Backwards(Vec<Plan>),
    /// Again and again.
    Repeat(u8, Box<Program>),
    /// The one or the other, as the value says.
    If(Box<Program>, Box<Program>),
}

/// What a step does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Plan {
    name: u8,
    /// How many attempts fail before the one that counts.
    pub(super) failures: u32,
    is_err: bool,
}

impl Plan {
    pub(super) fn name(self) -> String {
        format!("step {}", self.name)
    }

    /// What the attempt that counts returns.
    pub(super) fn result(self, key: &str, input: u64) -> Result<u64, u64> {
        let value = key.bytes().fold(input, |value, byte| mix(value, byte.into()));
        if self.is_err { Err(value) } else { Ok(value) }
    }

    fn random(random: &mut Random) -> Self {
        let name = u8::try_from(random.below(3)).unwrap_or(0);
        let failures = if random.one_in(4) { 1 + u32::try_from(random.below(2)).unwrap_or(0) } else { 0 };
        Self { name, failures, is_err: random.one_in(6) }
    }
}

impl Program {
    pub(super) fn random(random: &mut Random) -> Self {
        let depth = 2 + random.below(2);
        Self::Sequence((0..2 + random.below(3)).map(|_| Self::nested(random, depth)).collect())
    }

    fn nested(random: &mut Random, depth: usize) -> Self {
        if depth == 0 {
            return Self::Step(Plan::random(random));
        }
        let some = |random: &mut Random| {
            let count = 1 + random.below(3);
            (0..count).map(|_| Self::nested(random, depth - 1)).collect::<Vec<_>>()
        };
        let one = |random: &mut Random| Box::new(Self::nested(random, depth - 1));
        match random.below(12) {
            0 => Self::Step(Plan::random(random)),
            1..=3 => Self::Sequence(some(random)),
            4 => Self::Join(some(random)),
            5 => Self::Both(one(random), one(random)),
            6 => Self::Race(some(random)),
            7 => Self::Either(one(random), one(random)),
            8 => {
                let programs = some(random);
                let wanted = 1 + random.below(programs.len());
                Self::Unordered(programs, wanted)
            }
            9 => Self::Backwards((0..=random.below(3)).map(|_| Plan::random(random)).collect()),
            10 => Self::Repeat(2, one(random)),
            _ => Self::If(one(random), one(random)),
        }
    }
}

/// What programs run on.
pub(super) trait Machine: Sync {
    /// Runs a step; asks for it when first polled.
    fn step(&self, plan: Plan, input: u64) -> BoxFuture<'_, Result<u64, u64>>;

    /// Asks for all steps when first polled, and awaits them from the last to the first.
    fn backwards<'a>(&'a self, plans: &'a [Plan], input: u64) -> BoxFuture<'a, u64>;
}

pub(super) fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(5)
}

pub(super) fn outcome(result: Result<u64, u64>) -> u64 {
    result.unwrap_or_else(|error| mix(error, 13))
}

/// The meaning of a program.
pub(super) fn eval<'a, M: Machine>(machine: &'a M, program: &'a Program, input: u64) -> BoxFuture<'a, u64> {
    let all = move |programs: &'a [Program]| programs.iter().map(move |program| eval(machine, program, input));
    Box::pin(async move {
        match program {
            Program::Step(plan) => outcome(machine.step(*plan, input).await),
            Program::Sequence(programs) => {
                let mut value = input;
                for program in programs {
                    value = eval(machine, program, value).await;
                }
                value
            }
            Program::Join(programs) => join_all(all(programs)).await.into_iter().fold(input, mix),
            Program::Both(left, right) => {
                let (left, right) = tokio::join!(biased; eval(machine, left, input), eval(machine, right, input));
                mix(left, right)
            }
            Program::Race(programs) => {
                let (value, index, losers) = select_all(all(programs)).await;
                drop(losers);
                mix(value, index as u64)
            }
            Program::Either(left, right) => tokio::select! {
                biased;
                value = eval(machine, left, input) => mix(value, 1),
                value = eval(machine, right, input) => mix(value, 2),
            },
            Program::Unordered(programs, wanted) => {
                let values = all(programs).collect::<FuturesUnordered<_>>();
                values.take(*wanted).fold(input, async |sum, value| mix(sum, value)).await
            }
            Program::Backwards(plans) => machine.backwards(plans, input).await,
            Program::Repeat(times, program) => {
                let mut value = input;
                for round in 0..*times {
                    value = mix(eval(machine, program, value).await, round.into());
                }
                value
            }
            Program::If(odd, even) => eval(machine, if input % 2 == 1 { odd } else { even }, input).await,
        }
    })
}
