//! Random programs of ordinary concurrency.

use durable_runtime::testing::Random;
use serde::{Deserialize, Serialize};

/// What a durable function does. Each part returns a value or an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Program {
    /// One step.
    Step(Plan),
    /// One after the other, each with the value of the one before; the first error ends it.
    Sequence(Vec<Program>),
    /// Two at once.
    Two(Two, Box<(Program, Program)>),
    /// Three at once.
    Three(Three, Box<(Program, Program, Program)>),
    /// Any number at once.
    Many(Many, Vec<Program>),
    /// Again and again.
    Repeat(u8, Box<Program>),
    /// The one or the other, as the value says.
    If(Box<(Program, Program)>),
}

/// How two are combined.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Two {
    /// `tokio::join!`.
    Join,
    /// `futures::join!`.
    FuturesJoin,
    /// `tokio::try_join!`.
    TryJoin,
    /// `futures::try_join!`.
    FuturesTryJoin,
    /// `tokio::select!`; the loser is dropped, wherever it is.
    Select,
    /// `tokio::select!` with patterns and an `else`.
    SelectOk,
    /// `tokio::select!` over `&mut` futures until both have ended, with a step after each.
    SelectLoop,
    /// `future::select`; the loser is dropped.
    FutureSelect,
    /// `future::select`; a step, and then the loser.
    FutureSelectRest,
    /// A step again and again beside one long branch, with `tokio::select!`.
    Beside,
}

/// How three are combined.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Three {
    /// `tokio::join!` in which one branch is a `tokio::select!`.
    JoinOfSelect,
    /// `tokio::select!` in which one branch is a `tokio::join!`.
    SelectOfJoin,
    /// `tokio::try_join!` in which a branch is an `async` block of several steps.
    TryJoinOfBlocks,
    /// `futures::join!` of two, followed by the third in the same branch.
    Chain,
}

/// How any number is combined.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Many {
    /// `join_all`.
    JoinAll,
    /// `try_join_all`.
    TryJoinAll,
    /// `FuturesUnordered`: the first so many, the others are dropped.
    Unordered(usize),
    /// `FuturesUnordered` with a step after each.
    UnorderedWithSteps,
    /// `FuturesUnordered` into which so many more are pushed while it is drained.
    UnorderedPush(usize),
    /// `FuturesOrdered`.
    Ordered,
    /// `StreamExt::buffer_unordered`.
    BufferUnordered(usize),
    /// `StreamExt::buffered`.
    Buffered(usize),
    /// `select_all` until none is left, with a step after each.
    SelectAll,
    /// `select_all`; the losers are dropped.
    SelectAllDrop,
    /// `select_ok`.
    SelectOk,
    /// Made in one order, awaited in the other.
    Backwards,
    /// Asked for in one order, awaited in the other.
    StepsBackwards,
}

/// What a step does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Plan {
    name: u8,
    /// How many attempts fail before the one that counts.
    pub(super) failures: u32,
    is_err: bool,
}

impl Plan {
    /// A step between others.
    pub(super) const BETWEEN: Self = Self { name: 0, failures: 0, is_err: false };
    /// A step that returns an error.
    pub(super) const FAILING: Self = Self { is_err: true, ..Self::BETWEEN };

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
        Self { name, failures: u32::from(random.one_in(8)), is_err: random.one_in(10) }
    }
}

impl Program {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut steps = 14;
        Self::Sequence((0..2 + random.below(2)).map(|_| Self::nested(random, 2, &mut steps)).collect())
    }

    /// A program of at most about `steps` steps.
    fn nested(random: &mut Random, depth: usize, steps: &mut usize) -> Self {
        *steps = steps.saturating_sub(1);
        if depth == 0 || *steps == 0 {
            return Self::Step(Plan::random(random));
        }
        let one = |random: &mut Random, steps: &mut usize| Self::nested(random, depth - 1, steps);
        match random.below(16) {
            0 => Self::Step(Plan::random(random)),
            1 | 2 => Self::Sequence((0..2 + random.below(2)).map(|_| one(random, steps)).collect()),
            3..=7 => Self::Two(Two::random(random), Box::new((one(random, steps), one(random, steps)))),
            8 | 9 => {
                let three = (one(random, steps), one(random, steps), one(random, steps));
                Self::Three(Three::random(random), Box::new(three))
            }
            10..=13 => {
                let many: Vec<_> = (0..=random.below(4)).map(|_| one(random, steps)).collect();
                Self::Many(Many::random(random, many.len()), many)
            }
            14 => Self::Repeat(2, Box::new(one(random, steps))),
            _ => Self::If(Box::new((one(random, steps), one(random, steps)))),
        }
    }
}

impl Two {
    fn random(random: &mut Random) -> Self {
        match random.below(10) {
            0 => Self::Join,
            1 => Self::FuturesJoin,
            2 => Self::TryJoin,
            3 => Self::FuturesTryJoin,
            4 => Self::Select,
            5 => Self::SelectOk,
            6 => Self::SelectLoop,
            7 => Self::FutureSelect,
            8 => Self::FutureSelectRest,
            _ => Self::Beside,
        }
    }
}

impl Three {
    fn random(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::JoinOfSelect,
            1 => Self::SelectOfJoin,
            2 => Self::TryJoinOfBlocks,
            _ => Self::Chain,
        }
    }
}

impl Many {
    fn random(random: &mut Random, count: usize) -> Self {
        match random.below(13) {
            0 => Self::JoinAll,
            1 => Self::TryJoinAll,
            2 => Self::Unordered(1 + random.below(count)),
            3 => Self::UnorderedWithSteps,
            4 => Self::UnorderedPush(1 + random.below(3)),
            5 => Self::Ordered,
            6 => Self::BufferUnordered(1 + random.below(3)),
            7 => Self::Buffered(1 + random.below(3)),
            8 => Self::SelectAll,
            9 => Self::SelectAllDrop,
            10 => Self::SelectOk,
            11 => Self::Backwards,
            _ => Self::StepsBackwards,
        }
    }
}

pub(super) fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(5)
}

/// A value for each result.
pub(super) fn told(result: Result<u64, u64>) -> u64 {
    result.unwrap_or_else(|error| mix(error, 13))
}
