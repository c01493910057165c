//! All small programs, by all orders in which their steps can end, by a crash behind every record (R2).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, durable};
use durable_tests::{World, patiently};
use futures::StreamExt as _;
use futures::future::{Either, join_all, select};
use futures::stream::{self, FuturesUnordered};
use serde::{Deserialize, Serialize};

use super::code::perform;
use super::program::{Plan, mix, told};
use super::score::Score;
use super::{Part, Played, go_on, open};
use super::{model, model::Path};

/// Branches that are combined, and a step with what they came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Small {
    pub(super) how: How,
    pub(super) branches: Vec<Branch>,
}

/// How the branches are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    Join,
    TryJoin,
    Select,
    Unordered,
    /// The loser is dropped.
    FutureSelect,
    /// The loser is awaited after the winner.
    FutureSelectRest,
    BufferUnordered(usize),
}

/// Steps one after the other, each with the value of the one before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Branch {
    pub(super) steps: usize,
    /// Whether the last step returns an error.
    pub(super) fails: bool,
}

impl Branch {
    pub(super) fn plan(self, step: usize) -> Plan {
        if self.fails && step + 1 == self.steps { Plan::FAILING } else { Plan::BETWEEN }
    }
}

#[durable]
async fn small(ctx: Context, program: Small) -> u64 {
    let Small { how, branches } = program;
    let result = match (how, branches.as_slice()) {
        (How::Join, [a]) => told(tokio::join!(steps(&ctx, 0, *a)).0),
        (How::Join, [a, b]) => {
            let (a, b) = tokio::join!(steps(&ctx, 0, *a), steps(&ctx, 1, *b));
            mix(told(a), told(b))
        }
        (How::Join, [a, b, c]) => {
            let (a, b, c) = tokio::join!(steps(&ctx, 0, *a), steps(&ctx, 1, *b), steps(&ctx, 2, *c));
            mix(mix(told(a), told(b)), told(c))
        }
        (How::TryJoin, [a]) => told(tokio::try_join!(steps(&ctx, 0, *a)).map(|(a,)| a)),
        (How::TryJoin, [a, b]) => {
            told(tokio::try_join!(steps(&ctx, 0, *a), steps(&ctx, 1, *b)).map(|(a, b)| mix(a, b)))
        }
        (How::TryJoin, [a, b, c]) => {
            let all = tokio::try_join!(steps(&ctx, 0, *a), steps(&ctx, 1, *b), steps(&ctx, 2, *c));
            told(all.map(|(a, b, c)| mix(mix(a, b), c)))
        }
        (How::Select, [a]) => tokio::select! { a = steps(&ctx, 0, *a) => mix(told(a), 0) },
        (How::Select, [a, b]) => tokio::select! {
            a = steps(&ctx, 0, *a) => mix(told(a), 0),
            b = steps(&ctx, 1, *b) => mix(told(b), 1),
        },
        (How::Select, [a, b, c]) => tokio::select! {
            a = steps(&ctx, 0, *a) => mix(told(a), 0),
            b = steps(&ctx, 1, *b) => mix(told(b), 1),
            c = steps(&ctx, 2, *c) => mix(told(c), 2),
        },
        (How::FutureSelect | How::FutureSelectRest, [a, b]) => {
            match select(pin!(steps(&ctx, 0, *a)), pin!(steps(&ctx, 1, *b))).await {
                Either::Left((a, _)) if how == How::FutureSelect => mix(told(a), 0),
                Either::Right((b, _)) if how == How::FutureSelect => mix(told(b), 1),
                Either::Left((a, rest)) => mix(mix(told(a), 0), told(rest.await)),
                Either::Right((b, rest)) => mix(mix(told(b), 1), told(rest.await)),
            }
        }
        (How::BufferUnordered(at_once), branches) => {
            let all = branches.iter().zip(0..).map(|(branch, index)| steps(&ctx, index, *branch)).collect::<Vec<_>>();
            let mut values = stream::iter(all).buffer_unordered(at_once);
            let mut sum = 0;
            while let Some(value) = values.next().await {
                sum = mix(sum, told(value));
            }
            sum
        }
        (_, branches) => {
            let all = branches.iter().zip(0..).map(|(branch, index)| steps(&ctx, index, *branch));
            let mut values = all.collect::<FuturesUnordered<_>>();
            let mut sum = 0;
            while let Some(value) = values.next().await {
                sum = mix(sum, told(value));
            }
            sum
        }
    };
    told(ctx.run(perform, Plan::BETWEEN, result).named("after").await)
}

/// All steps have the same name: which key a step has depends on the order in which they are asked for.
#[durable]
async fn steps(ctx: &Context, input: u64, branch: Branch) -> Result<u64, u64> {
    let mut value = input;
    for step in 0..branch.steps {
        value = ctx.run(perform, branch.plan(step), value).named("step").await?;
    }
    Ok(value)
}

/// All programs of up to three branches that are combined in these ways.
fn all(ways: &[How]) -> Vec<Small> {
    let mut all = Vec::new();
    for how in ways.iter().copied() {
        // An error ends a `try_join!` before its time; to the others it is a value.
        let kinds: &[bool] = if how == How::TryJoin { &[false, true] } else { &[false] };
        let one = || (1..=2).flat_map(|steps| kinds.iter().map(move |fails| Branch { steps, fails: *fails }));
        let mut lists: Vec<Vec<Branch>> = vec![Vec::new()];
        for count in 1..=3 {
            lists = lists.iter().flat_map(|list| one().map(|branch| [list.as_slice(), &[branch]].concat())).collect();
            let is_possible = count == 2 || !matches!(how, How::FutureSelect | How::FutureSelectRest);
            all.extend(lists.iter().filter(|_| is_possible).map(|list| Small { how, branches: list.clone() }));
        }
    }
    all
}

/// Runs every path once without a crash, as the model says.
async fn run_all(paths: &[(&Small, Path)]) -> Vec<Played> {
    let (world, score) = (World::default(), Arc::new(Score::default()));
    let runtime = open(&world, &score).await;
    let runs = paths.iter().zip(0..).map(async |((program, path), index)| {
        let run = format!("p{index}");
        score.write(&run, path.order.iter().cloned());
        let result = runtime.start(run, small, (*program).clone()).await.expect("it starts").await.expect("it ends");
        assert_eq!(result, path.result, "{program:?}: {path:?}");
    });
    patiently("the runs", join_all(runs)).await;
    let played = (0..paths.len()).map(|index| Played::of(&world, &score, &format!("p{index}")));
    let played: Vec<Played> = played.collect();
    runtime.shutdown(Duration::ZERO).await;
    for ((program, path), Played { journal, .. }) in paths.iter().zip(&played) {
        assert!(journal.order().eq(path.order.iter().cloned()), "{program:?}: {path:?}: {:#?}", journal.entries);
    }
    played
}

/// Runs every path again from each of its records.
async fn crash_all(paths: &[(&Small, Path)], wholes: &[Played]) -> usize {
    let mut parts = Vec::new();
    let mut victims = Vec::new();
    for (path, whole) in paths.iter().zip(wholes) {
        let journal = &whole.journal;
        for length in 1..journal.len() {
            let ended = journal.entries[..length].iter().filter(|entry| entry.key.is_some()).count();
            parts.push(Part {
                run: format!("p{}", parts.len()),
                frames: journal.frames[..length].to_vec(),
                order: journal.order().skip(ended).collect(),
            });
            victims.push((path, whole, ended));
        }
    }
    let count = parts.len();
    for (((program, path), whole, ended), played) in victims.into_iter().zip(go_on(small, parts).await) {
        let facts = (played.journal.facts(), whole.journal.facts());
        assert_eq!(facts.0, facts.1, "{program:?}: {path:?}, crashed behind {ended} steps");
        whole.check_again(ended, &played);
    }
    count
}

/// Checks all programs that combine their branches in these ways: so many programs, paths and crashes.
async fn check(ways: &[How], counts: (usize, usize, usize)) {
    const PATHS_AT_ONCE: usize = 100;
    let programs = all(ways);
    let paths = programs.iter().flat_map(|program| model::paths(program).into_iter().map(move |path| (program, path)));
    let paths: Vec<(&Small, Path)> = paths.collect();
    let mut crashes = 0;
    for paths in paths.chunks(PATHS_AT_ONCE) {
        let wholes = run_all(paths).await;
        crashes += crash_all(paths, &wholes).await;
    }
    assert_eq!((programs.len(), paths.len(), crashes), counts, "programs, paths, crashes");
}

#[tokio::test]
async fn all_small_programs_that_await_every_branch() {
    let ways = [How::Join, How::Unordered, How::FutureSelectRest, How::BufferUnordered(1), How::BufferUnordered(2)];
    check(&ways, (60, 606, 4_186)).await;
}

#[tokio::test]
async fn all_small_programs_that_may_end_before_their_branches() {
    check(&[How::TryJoin, How::Select, How::FutureSelect], (102, 1_398, 8_199)).await;
}
