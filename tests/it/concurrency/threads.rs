//! The same combinators while everything is late and comes from elsewhere: steps that are woken and end on other
//! threads, real time, a real disk, timeouts, and shutdowns at any moment (R2). No run may hang or be halted.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::testing::Random;
use durable_runtime::{Context, Failure, Limits, Retry, Runtime, StepContext, Verification, durable};
use durable_tests::patiently;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::{self, FuturesUnordered};

/// What every body holds while it is in memory.
struct Token;

/// Ends after a moment, woken in one of the ways in which bodies are woken.
async fn elsewhere(step: StepContext, seed: u64) -> Result<u64, Failure> {
    let _token = step.dependency::<Token>();
    let mut random = Random::new(seed ^ u64::from(step.attempt()) << 32);
    let turns = random.below(200);
    match random.below(6) {
        0 => {}
        1 => tokio::task::yield_now().await,
        2 => tokio::spawn(turns_of_a_task(turns)).await.map_err(Failure::new)?,
        3 => {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                turns_of_a_thread(turns);
                sender.send(())
            });
            receiver.await.map_err(Failure::new)?;
        }
        4 => tokio::task::spawn_blocking(move || turns_of_a_thread(turns)).await.map_err(Failure::new)?,
        _ => wake_often(random.below(40)).await,
    }
    if step.attempt() <= 2 && random.one_in(4) { Err(Failure::new("not yet")) } else { Ok(seed % 1_000) }
}

async fn turns_of_a_task(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

fn turns_of_a_thread(turns: usize) {
    for _ in 0..turns {
        std::thread::yield_now();
    }
}

/// Is woken again and again from two other tasks, and by itself.
async fn wake_often(times: usize) {
    let mut tasks = Vec::new();
    let mut left = times;
    std::future::poll_fn(|task| {
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        for _ in 0..2 {
            let waker = task.waker().clone();
            tasks.push(tokio::spawn(async move { (0..3).for_each(|_| waker.wake_by_ref()) }));
        }
        std::task::Poll::Pending
    })
    .await;
}

/// Does not end by itself when it is tried first.
async fn stuck_at_first(step: StepContext, value: u64) -> Result<u64, Failure> {
    let _token = step.dependency::<Token>();
    if step.attempt() == 1 {
        std::future::pending::<()>().await;
    }
    Ok(value)
}

#[durable]
async fn late(ctx: &Context, seed: u64) -> u64 {
    let soon = Retry::exponential(Duration::from_millis(1)).max_attempts(5);
    if seed.is_multiple_of(13) {
        let step = ctx.run(stuck_at_first, seed).timeout(Duration::from_millis(2));
        return step.retry(soon).await.unwrap_or(1) % 1_000;
    }
    ctx.run(elsewhere, seed).retry(soon).await.unwrap_or(1)
}

#[durable]
async fn from_elsewhere(ctx: Context, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut sum = 0;
    for _ in 0..=1 + random.below(3) {
        let seeds: Vec<u64> = (0..=random.below(6)).map(|_| random.number()).collect();
        let all = seeds.iter().map(|seed| late(&ctx, *seed)).collect::<Vec<_>>();
        let value = match random.below(6) {
            0 => join_all(all).await.into_iter().sum::<u64>(),
            1 => {
                let mut values = all.into_iter().collect::<FuturesUnordered<_>>();
                let (mut value, mut more) = (0, 3);
                while let Some(next) = values.next().await {
                    value += next;
                    if more > 0 {
                        more -= 1;
                        values.push(late(&ctx, value));
                    }
                }
                value
            }
            2 => {
                let mut values = stream::iter(all).buffer_unordered(2);
                let mut value = 0;
                while let Some(next) = values.next().await {
                    value += next + late(&ctx, next).await;
                }
                value
            }
            3 => tokio::select! {
                value = late(&ctx, seeds[0]) => value,
                value = async {
                    let first = late(&ctx, seed).await;
                    first + late(&ctx, first).await
                } => value,
            },
            4 => {
                let (one, all) = tokio::join!(late(&ctx, seed), join_all(all));
                one + all.into_iter().sum::<u64>()
            }
            _ => {
                let (first, _, rest) = futures::future::select_all(all.into_iter().map(Box::pin)).await;
                drop(rest);
                first
            }
        };
        sum += value;
    }
    sum
}

async fn check(seed: u64, runs: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let token = std::sync::Arc::new(Token);
    let mut random = Random::new(seed);
    let mut begun = 0;
    loop {
        let runtime = Runtime::builder()
            .shared_dependency(token.clone())
            .limits(Limits { recoveries_without_progress: 1_000, ..Limits::default() });
        let runtime = runtime.open(folder.path()).await.expect("it opens");
        let until = (begun + runs / 8 + 1).min(runs);
        for run in begun..until {
            let _run = runtime.start(format!("{seed}-{run}"), from_elsewhere, seed ^ run).await.expect("it starts");
        }
        begun = until;
        if begun == runs {
            for run in 0..runs {
                let id = format!("{seed}-{run}");
                let run = runtime.attach(&id, from_elsewhere).await.expect("it was started");
                patiently(&id, run.into_future()).await.unwrap_or_else(|error| panic!("{id}: {error}"));
                assert_eq!(runtime.verify(&id).await.expect("it is stored"), Verification::Same, "{id}");
            }
            patiently("the shutdown", runtime.shutdown(Duration::from_mins(1))).await;
            break;
        }
        turns_of_a_task(random.below(20_000)).await;
        let deadline = Duration::from_millis([0, 5, 300][random.below(3)]);
        patiently("the shutdown", runtime.shutdown(deadline)).await;
    }
    patiently("the last body", async {
        while std::sync::Arc::strong_count(&token) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_run_hangs_or_halts_that_is_woken_by_other_threads() {
    let seed = std::env::var("DURABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("DURABLE_SEED={seed}");
    check(seed, 100).await;
}
