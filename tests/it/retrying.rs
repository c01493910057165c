//! `ctx.retry`, and what a policy takes from the time and from the error.

use std::future::IntoFuture as _;
use std::time::Duration;

use durable_runtime::testing;
use durable_runtime::{Context, Failure, Retry, RunStatus, StepContext, Timestamp, durable};
use durable_tests::{Effects, Gates, Kind, World, journal, patiently, suspended};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_hours(1);

async fn quote(step: StepContext) -> Result<usize, Failure> {
    step.dependency::<Effects>().note(&step);
    Ok(step.dependency::<Effects>().count(&format!("{}:quote", step.run_id())))
}

/// Comes too late, but for the third time.
async fn buy(step: StepContext, failures: u32) -> Result<u32, Failure> {
    step.dependency::<Effects>().note(&step);
    let number = step.key().split('#').nth(1).map_or(1, |number| number.parse().unwrap());
    match number {
        number if number > failures => Ok(number),
        7 => Err(Failure::new("sold out").permanent()),
        _ => Err(Failure::new("too late")),
    }
}

#[durable]
async fn retrying_buys(ctx: Context, failures: u32) -> Result<u32, Failure> {
    let policy = Retry::exponential(HOUR).max_delay(2 * HOUR).max_attempts(4);
    ctx.retry(policy, || async {
        ctx.run(quote).await?;
        ctx.run(buy, failures).await
    })
    .await
}

fn keys(world: &World) -> Vec<String> {
    let entries = journal(&world.disk.memory, "r").into_iter();
    let outcomes = entries.filter(|entry| matches!(entry.kind, Kind::StepCompleted | Kind::TimerFired));
    outcomes.filter_map(|entry| entry.key).collect()
}

/// Peers' corner case: retry state after reopen.
#[tokio::test]
async fn r11_a_block_is_tried_again_over_restarts() {
    let world = World::default();
    let mut process = world.open().await;
    process.runtime.start("r", retrying_buys, 2).await.unwrap().id();
    for wait in [HOUR, 2 * HOUR] {
        suspended(&process.runtime, "r").await;
        process.crash().await;
        process = world.open().await;
        world.clock.advance(wait.saturating_sub(Duration::from_secs(1)));
        durable_tests::yield_often().await;
        assert_eq!(process.runtime.get("r").await.unwrap().unwrap().status, RunStatus::Suspended, "{wait:?}");
        world.clock.advance(Duration::from_secs(1));
        if wait == HOUR {
            patiently("the second attempt", async {
                while world.effects.count("r:buy#2") == 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    let run = process.runtime.attach("r", retrying_buys).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap().unwrap(), 3);
    assert_eq!(keys(&world), ["quote", "buy", "retry", "quote#2", "buy#2", "retry#2", "quote#3", "buy#3"]);
}

#[durable]
async fn retrying_in_vain(ctx: Context, permanent: bool) -> Result<u32, Failure> {
    let policy = Retry::fixed(Duration::ZERO).max_attempts(3);
    ctx.retry(policy, || async {
        let failure = Failure::new("no");
        ctx.run(quote).await?;
        Err(if permanent { failure.permanent() } else { failure })
    })
    .await
}

#[tokio::test]
async fn a_block_that_fails_for_good_yields_its_last_error() {
    for (permanent, attempts) in [(false, 3), (true, 1)] {
        let world = World::default();
        let process = world.open().await;
        let run = process.runtime.start("r", retrying_in_vain, permanent).await.unwrap();
        assert_eq!(run.await.unwrap().unwrap_err().message(), "no");
        let quotes = keys(&world).iter().filter(|key| key.starts_with("quote")).count();
        assert_eq!(quotes, attempts);
    }
}

#[test]
fn a_block_that_is_tried_again_is_explored() {
    let explored = testing::explore(retrying_buys, 2)
        .dependency_with(Effects::default)
        .worlds_max(1_500)
        .seeds(0..100)
        .check(|world| assert_eq!(world.output().as_ref().ok(), Some(&3)));
    assert!(explored.crashes > 800, "{explored}");
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    retry_after: Option<Duration>,
}

/// Says the first time when it wants to be asked again.
async fn refuses(step: StepContext) -> Result<(), Refused> {
    step.dependency::<Effects>().note(&step);
    step.dependency::<Gates>().open(&format!("attempt {}", step.attempt()));
    Err(Refused { retry_after: (step.attempt() == 1).then_some(HOUR) })
}

#[durable]
async fn retrying_politely(ctx: Context) -> Result<(), Refused> {
    let policy = Retry::fixed(2 * HOUR).delay_from(|error: &Refused| error.retry_after);
    ctx.run(refuses).retry(policy.max_attempts(100).max_elapsed(4 * HOUR)).await
}

fn retries(world: &World) -> Vec<Timestamp> {
    let due = durable_runtime::store::Store::due(&world.disk.memory, Timestamp(u64::MAX), 10).unwrap();
    due.into_iter().map(|timer| timer.due).collect()
}

/// The first attempt fails at 0 h and says 1 h; those at 1 h and 3 h say nothing; the next one would begin at 5 h.
#[tokio::test]
async fn r11_the_error_says_how_long_and_the_time_ends_it_over_restarts() {
    let world = World::default();
    let mut process = world.open().await;
    process.runtime.start("r", retrying_politely, ()).await.unwrap().id();
    for (wait, attempts) in [(HOUR, 1), (2 * HOUR, 2)] {
        world.gates.pass(&format!("attempt {attempts}")).await;
        suspended(&process.runtime, "r").await;
        let now = durable_runtime::Clock::now(&world.clock);
        assert_eq!(retries(&world), [now.after(wait)]);
        process.crash().await;
        world.clock.advance(wait);
        process = world.open().await;
    }
    let run = process.runtime.attach("r", retrying_politely).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Err(Refused { retry_after: None }));
    assert_eq!(world.effects.executions().len(), 3);
}

#[test]
fn a_policy_that_depends_on_the_time_is_explored() {
    let explored = testing::explore(retrying_politely, ())
        .dependency_with(Effects::default)
        .dependency_with(Gates::default)
        .worlds_max(1_000)
        .seeds(0..100)
        .check(|world| assert!(world.output().is_err()));
    assert!(explored.crashes > 150, "{explored}");
}

#[durable]
async fn retrying_spread(ctx: Context) -> Result<(), Refused> {
    ctx.run(refuses).retry(Retry::fixed(HOUR).max_attempts(2).jitter()).await
}

/// Runs that failed together do not come back together.
#[tokio::test]
async fn r11_jitter_spreads_runs_and_each_has_its_own() {
    let world = World::default();
    let process = world.open().await;
    let now = durable_runtime::Clock::now(&world.clock);
    for run in ["a", "b", "c", "d"] {
        process.runtime.start(run, retrying_spread, ()).await.unwrap().id();
        suspended(&process.runtime, run).await;
    }
    let mut due = retries(&world);
    assert!(due.iter().all(|due| (now.after(HOUR / 2)..=now.after(HOUR)).contains(due)), "{due:?}");
    due.dedup();
    assert_eq!(due.len(), 4, "{due:?}");
}

#[durable]
async fn retrying_once_too_often(ctx: Context) -> (Result<usize, Failure>, bool) {
    let block = ctx.retry(Retry::fixed(Duration::ZERO), || async { ctx.run(quote).await });
    let mut block = Box::pin(block);
    let first = (&mut block).await;
    let again = ctx.timeout(HOUR, &mut block).await;
    (first, again.is_err())
}

/// Like every future of the library, one that has ended is pending if somebody polls it again.
#[test]
fn a_block_that_has_ended_does_not_begin_again() {
    let world = testing::explore(retrying_once_too_often, ()).dependency_with(Effects::default).run();
    assert_eq!((world.output().0.as_ref().ok(), world.output().1), (Some(&1), true));
    assert_eq!(world.executions("quote"), 1);
}
