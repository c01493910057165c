//! Thousands of steps at once: they end, they are replayed, and each costs as much as if there were few.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::future::IntoFuture as _;

use durable_runtime::{Clock, Context, DurableFunction, Sleep, StepContext, Timestamp, durable};
use durable_tests::{Effects, ManualClock, World, copy, is_left_out, journal, patiently};
use futures::StreamExt as _;
use futures::future::{join_all, select_all};
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;

/// Ends after some turns of tokio's, others than the steps beside it.
async fn late(step: StepContext, index: u32) -> u32 {
    step.dependency::<Effects>().note(&step);
    for _ in 0..index * 7_919 % 5 {
        tokio::task::yield_now().await;
    }
    index
}

#[durable]
async fn wide_join_all(ctx: Context, count: u32) -> Vec<u32> {
    join_all((0..count).map(|index| ctx.run(late, index))).await
}

#[durable]
async fn wide_unordered(ctx: Context, count: u32) -> Vec<u32> {
    (0..count).map(|index| ctx.run(late, index)).collect::<FuturesUnordered<_>>().collect().await
}

/// As the one before, with a second step behind each.
#[durable]
async fn wide_branches(ctx: Context, count: u32) -> Vec<u32> {
    let branches = (0..count).map(|index| wide_branch(&ctx, index));
    branches.collect::<FuturesUnordered<_>>().collect().await
}

#[durable]
async fn wide_branch(ctx: &Context, index: u32) -> u32 {
    let index = ctx.run(late, index).await;
    ctx.run(late, index).await
}

#[durable]
async fn wide_map(ctx: Context, count: u32) -> Vec<u32> {
    let late = ctx.map(0..count, |index| async move {
        let index = ctx.run(late, index).await;
        ctx.run(late, index).await
    });
    late.max_concurrency(500).all().await
}

#[durable]
async fn wide_select_all(ctx: Context, count: u32) -> Vec<u32> {
    let mut rest: Vec<_> = (0..count).map(|index| ctx.run(late, index)).collect();
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (value, _, others) = select_all(rest).await;
        values.push(value);
        rest = others;
    }
    values
}

/// The runtime looks at the clock whenever a step is polled that has no body, and whenever the code comes to rest.
#[derive(Debug, Clone, Default)]
struct CountingClock {
    clock: ManualClock,
    looks: Arc<AtomicUsize>,
}

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.clock.now()
    }

    fn sleep_until(&self, due: Timestamp) -> Sleep {
        self.clock.sleep_until(due)
    }
}

/// Lets the run in this world end, and returns its result and how often the runtime looked at the clock.
async fn end<F>(world: &World, function: F, count: u32) -> (Vec<u32>, usize)
where
    F: DurableFunction<Input = u32, Output = Vec<u32>>,
{
    let clock = CountingClock::default();
    let builder = world.builder().clock(clock.clone());
    let runtime = builder.open_store(world.disk.open()).await.unwrap();
    let run = runtime.start("r", function, count).await.unwrap();
    let result = patiently("all steps", run.into_future()).await.unwrap();
    (result, clock.looks.load(Ordering::Relaxed))
}

/// Runs `function` with so many branches of so many steps, and again from the middle and from the end of its journal.
/// Returns how often the runtime looked at the clock each time.
async fn check<F>(function: F, count: u32, steps: u32) -> [usize; 3]
where
    F: DurableFunction<Input = u32, Output = Vec<u32>>,
{
    let world = World::default();
    let (result, live) = end(&world, function, count).await;
    let mut sorted = result.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..count));
    let all = (count * steps) as usize;
    let whole = journal(&world.disk.memory, "r");
    assert_eq!(whole.len(), all + 2);

    let middle = World::with(copy(&world.disk.memory, "r", 1 + all / 2));
    let (_, crashed) = end(&middle, function, count).await;
    assert_eq!(middle.effects.keys().len(), all - all / 2, "what is recorded is not done again");
    assert_eq!(journal(&middle.disk.memory, "r")[..=all / 2], whole[..=all / 2]);

    let ended = World::with(copy(&world.disk.memory, "r", 1 + all));
    let (again, replayed) = end(&ended, function, count).await;
    assert_eq!(again, result);
    assert!(ended.effects.keys().is_empty(), "everything is recorded");
    [live, crashed, replayed]
}

/// Ten times as many steps are about ten times as much work.
async fn check_growth<F>(function: F, steps: u32)
where
    F: DurableFunction<Input = u32, Output = Vec<u32>>,
{
    let few = check(function, 1_000, steps).await;
    let many = check(function, 10_000, steps).await;
    println!("{}: {few:?}, {many:?} looks at the clock", F::NAME);
    for (few, many) in few.into_iter().zip(many) {
        assert!(many < 15 * few, "{many} is more than 15 times {few}");
    }
}

#[tokio::test]
async fn ten_thousand_joined() {
    check_growth(wide_join_all, 1).await;
}

/// R2.
#[tokio::test]
async fn ten_thousand_unordered() {
    check_growth(wide_unordered, 1).await;
}

#[tokio::test]
async fn ten_thousand_branches_of_two_steps() {
    check_growth(wide_branches, 2).await;
}

#[tokio::test]
async fn ten_thousand_mapped_in_two_steps_five_hundred_at_a_time() {
    check_growth(wide_map, 2).await;
}

/// `select_all` itself polls all that are left whenever one has ended.
#[tokio::test]
async fn a_thousand_selected_one_by_one() {
    check(wide_select_all, 1_000, 1).await;
}

/// Ends when it is given a permit.
async fn permitted(step: StepContext) {
    step.dependency::<Semaphore>().acquire().await.expect("it is not closed").forget();
}

#[durable]
async fn wide_slow_disk(ctx: Context, count: u32) -> usize {
    let branches = (0..count).map(|_| async {
        ctx.run(permitted).await;
        ctx.run(permitted).await;
    });
    branches.collect::<FuturesUnordered<_>>().count().await
}

#[tokio::test]
async fn thousands_of_steps_wait_for_the_disk() {
    const COUNT: u32 = 2_000;
    if is_left_out("nothing waits for the disk in memory, and replaying it thousands of times takes long") {
        return;
    }
    let (world, permits) = (World::default(), Arc::new(Semaphore::new(0)));
    let handle = world.disk.open();
    let builder = world.builder().shared_dependency(Arc::clone(&permits));
    let runtime = builder.open_store(handle.clone()).await.unwrap();
    let run = runtime.start("r", wide_slow_disk, COUNT).await.unwrap();
    let first_steps = async {
        while runtime.stats().steps_executed < u64::from(COUNT) {
            tokio::task::yield_now().await;
        }
    };
    patiently("the first steps", first_steps).await;
    handle.hold();
    for _ in 0..COUNT {
        permits.add_permits(1);
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.stats().steps_executed, u64::from(COUNT), "the second steps wait for the disk");
    handle.release();
    permits.add_permits(COUNT as usize);
    assert_eq!(patiently("the end", run.into_future()).await.unwrap(), COUNT as usize);
}
