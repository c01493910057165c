//! The durable code behind the programs: each combinator is the real one.

use std::pin::pin;
use std::time::Duration;

use durable_runtime::{Context, Retry, StepContext, durable};
use futures::StreamExt as _;
use futures::future::{Either, join_all, select, select_all, select_ok, try_join_all};
use futures::stream::{self, FuturesOrdered, FuturesUnordered};

use super::program::{Many, Plan, Program, Three, Two, mix, told};
use super::score::Score;

pub(super) async fn perform(step: StepContext, plan: Plan, input: u64) -> Result<u64, u64> {
    step.dependency::<Score>().pass(&step, input).await;
    if step.attempt() <= plan.failures { Err(0) } else { plan.result(step.key(), input) }
}

impl Plan {
    fn policy(self) -> Retry {
        Retry::fixed(Duration::ZERO).max_attempts(self.failures + 1)
    }
}

#[durable]
pub(crate) async fn concurrent(ctx: Context, program: Program) -> Result<u64, u64> {
    eval(&ctx, &program, 1).await
}

#[durable]
async fn eval(ctx: &Context, program: &Program, input: u64) -> Result<u64, u64> {
    match program {
        Program::Step(plan) => one(ctx, *plan, input).await,
        Program::Sequence(programs) => {
            let mut value = input;
            for program in programs {
                value = Box::pin(eval(ctx, program, value)).await?;
            }
            Ok(value)
        }
        Program::Two(two, programs) => Box::pin(eval_two(ctx, *two, programs, input)).await,
        Program::Three(three, programs) => Box::pin(eval_three(ctx, *three, programs, input)).await,
        Program::Many(many, programs) => Box::pin(eval_many(ctx, *many, programs, input)).await,
        Program::Repeat(times, program) => {
            let mut value = input;
            for round in 0..*times {
                value = mix(Box::pin(eval(ctx, program, value)).await?, round.into());
            }
            Ok(value)
        }
        Program::If(programs) => {
            let program = if input % 2 == 1 { &programs.0 } else { &programs.1 };
            Box::pin(eval(ctx, program, input)).await
        }
    }
}

#[durable]
async fn one(ctx: &Context, plan: Plan, input: u64) -> Result<u64, u64> {
    ctx.run(perform, plan, input).named(plan.name()).retry(plan.policy()).await
}

#[durable]
async fn between(ctx: &Context, input: u64) -> Result<u64, u64> {
    ctx.run(perform, Plan::BETWEEN, input).named("between").await
}

#[durable]
async fn eval_two(ctx: &Context, two: Two, programs: &(Program, Program), input: u64) -> Result<u64, u64> {
    let (left, right) = (eval(ctx, &programs.0, input), eval(ctx, &programs.1, input));
    match two {
        Two::Join => {
            let (left, right) = tokio::join!(left, right);
            Ok(mix(told(left), told(right)))
        }
        Two::FuturesJoin => {
            let (left, right) = futures::join!(left, right);
            Ok(mix(told(left), right?))
        }
        Two::TryJoin => tokio::try_join!(left, right).map(|(left, right)| mix(left, right)),
        Two::FuturesTryJoin => futures::try_join!(left, right).map(|(left, right)| mix(left, right)),
        Two::Select => tokio::select! {
            value = left => Ok(mix(value?, 1)),
            value = right => {
                let value = between(ctx, told(value)).await?;
                Ok(mix(value, 2))
            }
        },
        Two::SelectOk => tokio::select! {
            Ok(value) = left => Ok(mix(value, 1)),
            Ok(value) = right => Ok(mix(value, 2)),
            else => between(ctx, input).await,
        },
        Two::SelectLoop => {
            let (mut left, mut right) = (pin!(left), pin!(right));
            let (mut left_ended, mut right_ended) = (false, false);
            let mut sum = input;
            while !(left_ended && right_ended) {
                tokio::select! {
                    value = &mut left, if !left_ended => {
                        left_ended = true;
                        sum = between(ctx, mix(sum, told(value))).await?;
                    }
                    value = &mut right, if !right_ended => {
                        right_ended = true;
                        sum = mix(sum, mix(told(value), 2));
                    }
                }
            }
            Ok(sum)
        }
        Two::FutureSelect => match select(pin!(left), pin!(right)).await {
            Either::Left((value, _)) => Ok(mix(value?, 1)),
            Either::Right((value, _)) => Ok(mix(value?, 2)),
        },
        Two::FutureSelectRest => {
            let (first, rest) = match select(Box::pin(left), Box::pin(right)).await {
                Either::Left((first, rest)) => (mix(told(first), 1), Either::Left(rest)),
                Either::Right((first, rest)) => (mix(told(first), 2), Either::Right(rest)),
            };
            let first = between(ctx, first).await?;
            Ok(mix(first, told(rest.await)))
        }
        Two::Beside => {
            let mut long = pin!(left);
            let mut rounds = 0;
            drop(right);
            loop {
                let other = async {
                    let value = between(ctx, rounds).await?;
                    eval(ctx, &programs.1, value).await
                };
                tokio::select! {
                    value = &mut long => return Ok(mix(told(value), rounds)),
                    other = other => rounds = mix(rounds, told(other)),
                }
                if rounds % 4 == 0 {
                    return Ok(rounds);
                }
            }
        }
    }
}

#[durable]
async fn eval_three(
    ctx: &Context,
    three: Three,
    programs: &(Program, Program, Program),
    input: u64,
) -> Result<u64, u64> {
    let (a, b, c) = (eval(ctx, &programs.0, input), eval(ctx, &programs.1, input), eval(ctx, &programs.2, input));
    match three {
        Three::JoinOfSelect => {
            let either = async {
                tokio::select! {
                    a = a => mix(told(a), 1),
                    b = b => mix(told(b), 2),
                }
            };
            let (either, c) = tokio::join!(either, c);
            Ok(mix(either, told(c)))
        }
        Three::SelectOfJoin => tokio::select! {
            (a, b) = async { tokio::join!(a, b) } => Ok(mix(told(a), told(b))),
            c = c => c.map(|c| mix(c, 3)),
        },
        Three::TryJoinOfBlocks => {
            let chain = async {
                let b = between(ctx, b.await?).await?;
                Ok::<_, u64>(mix(b, c.await?))
            };
            let (a, chain) = tokio::try_join!(a, chain)?;
            between(ctx, mix(a, chain)).await
        }
        Three::Chain => {
            let (a, b) = futures::join!(a, b);
            Ok(mix(mix(told(a), told(b)), c.await?))
        }
    }
}

#[durable]
async fn eval_many(ctx: &Context, many: Many, programs: &[Program], input: u64) -> Result<u64, u64> {
    let all = programs.iter().zip(0..).map(|(program, index)| eval(ctx, program, input ^ index)).collect::<Vec<_>>();
    let mut sum = input;
    match many {
        Many::JoinAll => Ok(join_all(all).await.into_iter().map(told).fold(input, mix)),
        Many::TryJoinAll => Ok(try_join_all(all).await?.into_iter().fold(input, mix)),
        Many::Unordered(wanted) => {
            let mut values = all.into_iter().collect::<FuturesUnordered<_>>().take(wanted);
            while let Some(value) = values.next().await {
                sum = mix(sum, told(value));
            }
            Ok(sum)
        }
        Many::UnorderedWithSteps => {
            let mut values = all.into_iter().collect::<FuturesUnordered<_>>();
            while let Some(value) = values.next().await {
                sum = between(ctx, mix(sum, told(value))).await?;
            }
            Ok(sum)
        }
        Many::UnorderedPush(mut more) => {
            let mut values = all.into_iter().collect::<FuturesUnordered<_>>();
            while let Some(value) = values.next().await {
                sum = mix(sum, told(value));
                if more > 0 {
                    more -= 1;
                    values.push(eval(ctx, &programs[more % programs.len()], sum));
                }
            }
            Ok(sum)
        }
        Many::Ordered => {
            let mut values = all.into_iter().collect::<FuturesOrdered<_>>();
            while let Some(value) = values.next().await {
                sum = mix(sum, told(value));
            }
            Ok(sum)
        }
        Many::BufferUnordered(at_once) => {
            let mut values = stream::iter(all).buffer_unordered(at_once);
            while let Some(value) = values.next().await {
                sum = between(ctx, mix(sum, told(value))).await?;
            }
            Ok(sum)
        }
        Many::Buffered(at_once) => {
            let mut values = stream::iter(all).buffered(at_once);
            while let Some(value) = values.next().await {
                sum = mix(sum, value?);
            }
            Ok(sum)
        }
        Many::SelectAll => {
            let mut rest: Vec<_> = all.into_iter().map(Box::pin).collect();
            while !rest.is_empty() {
                let (value, index, others) = select_all(rest).await;
                sum = between(ctx, mix(mix(sum, told(value)), index as u64)).await?;
                rest = others;
            }
            Ok(sum)
        }
        Many::SelectAllDrop => {
            let (value, index, _) = select_all(all.into_iter().map(Box::pin)).await;
            Ok(mix(told(value), index as u64))
        }
        Many::SelectOk => {
            select_ok(all.into_iter().map(Box::pin)).await.map(|(value, rest)| mix(value, rest.len() as u64))
        }
        Many::Backwards => {
            for future in all.into_iter().rev() {
                sum = mix(sum, told(future.await));
            }
            Ok(sum)
        }
        Many::StepsBackwards => {
            drop(all);
            let mut steps: Vec<_> = (0..3).map(|index| ctx.run(perform, Plan::BETWEEN, input ^ index)).collect();
            while let Some(step) = steps.pop() {
                sum = mix(sum, told(step.await));
            }
            Ok(sum)
        }
    }
}
