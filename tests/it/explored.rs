//! The crash explorer on our own engine: whatever goes wrong around random programs of ordinary concurrency, and around
//! steps that never return the same twice, the rules hold.

use std::collections::BTreeMap;

use durable_runtime::testing::{self, Random};
use durable_runtime::{Context, Failure, Retry, StepContext, durable};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;

use crate::concurrency::code::concurrent;
use crate::concurrency::program::Program;
use crate::concurrency::score::Score;

/// How many random programs are explored.
const PROGRAMS: u64 = 15;

#[test]
fn random_programs_survive_whatever_goes_wrong() {
    let (mut worlds, mut crashes) = (0, 0);
    for seed in 0..PROGRAMS {
        let program = Program::random(&mut Random::new(seed));
        let explored = testing::explore(concurrent, program)
            .dependency_with(|| Score::of_itself("concurrent"))
            .depth(1)
            .worlds_max(100)
            .seeds(seed * 100..seed * 100 + 30)
            .check(|_| {});
        (worlds, crashes) = (worlds + explored.worlds, crashes + explored.crashes);
    }
    println!("{PROGRAMS} programs, {worlds} worlds, {crashes} crashes");
    assert!(crashes > 1_000);
}

/// Gives a new number whenever it is asked, and remembers what it was told.
#[derive(Debug, Default)]
struct Office {
    numbers: Mutex<u32>,
    told: Mutex<BTreeMap<String, Vec<u32>>>,
}

async fn number(step: StepContext) -> Result<u32, Failure> {
    let office = step.dependency::<Office>();
    tokio::task::yield_now().await;
    let mut numbers = office.numbers.lock();
    *numbers += 1;
    Ok(*numbers)
}

async fn tell(step: StepContext, number: u32) -> Result<(), Failure> {
    let office = step.dependency::<Office>();
    office.told.lock().entry(step.idempotency_key().to_owned()).or_default().push(number);
    tokio::task::yield_now().await;
    Ok(())
}

#[durable]
async fn fetched_and_told(ctx: &Context) -> Result<(), Failure> {
    let retry = Retry::fixed(std::time::Duration::from_secs(1)).max_attempts(2);
    let number = ctx.run(number).retry(retry).await?;
    ctx.run(tell, number).retry(retry).await
}

#[durable]
async fn told_what_is_recorded(ctx: Context) -> Result<(), Failure> {
    fetched_and_told(&ctx).await?;
    let mut branches = FuturesUnordered::new();
    for _ in 0..3 {
        branches.push(fetched_and_told(&ctx));
    }
    while let Some(told) = branches.next().await {
        told?;
    }
    fetched_and_told(&ctx).await
}

/// R5: nothing is told outside before what it rests on is durable. A number that was lost would be another one the next
/// time, and both would be told under one key.
#[test]
fn nothing_is_told_that_can_still_be_lost() {
    let explored =
        testing::explore(told_what_is_recorded, ()).dependency_with(Office::default).worlds_max(1_500).check(|world| {
            for (key, numbers) in &*world.dependency::<Office>().told.lock() {
                assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "{key} was told {numbers:?}");
            }
        });
    assert!(explored.crashes > 2_000, "{explored}");
}
