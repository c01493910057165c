//! `ctx.map`: the same for many items, so many at a time, until enough have succeeded or too many failed.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use durable_runtime::testing;
use durable_runtime::{ChildCancelled, Context, HaltReason, Mapped, RunStatus, StepContext, durable};
use durable_tests::{Effects, Gates, Kind, World, copy, journal, patiently, yield_often};
use tokio::sync::Notify;

use crate::r02_turns::check;
use crate::steps::{gated, halted, note};

const MINUTE: Duration = Duration::from_mins(1);

type Outcome = Result<Mapped<u32, String>, Mapped<u32, String>>;

/// What became of these: `Ok` with the number, `Err` with it as text.
fn mapped(succeeded: &[u32], failed: &[u32]) -> Mapped<u32, String> {
    Mapped {
        succeeded: succeeded.iter().map(|&number| (number as usize, number)).collect(),
        failed: failed.iter().map(|&number| (number as usize, number.to_string())).collect(),
    }
}

/// Waits at the gate of its key, and fails if it is told to.
async fn gated_or_fails(step: StepContext, number: u32, fails: bool) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    step.dependency::<Gates>().pass(step.key()).await;
    if fails { Err(number.to_string()) } else { Ok(number) }
}

#[durable]
async fn map_all(ctx: Context) -> Vec<u32> {
    ctx.map(0..3, |number| ctx.run(gated, number)).all().await
}

/// Four items, two at a time, of which the first and the third fail.
#[durable]
async fn map_first_ok(ctx: Context) -> Result<u32, Vec<String>> {
    let asked = ctx.map(0..4, |number| ctx.run(gated_or_fails, number, number % 2 == 0));
    asked.max_concurrency(2).first_ok().await
}

#[durable]
async fn map_none_ok(ctx: Context) -> Result<u32, Vec<String>> {
    ctx.map(0..3, |number| ctx.run(gated_or_fails, number, true)).first_ok().await
}

#[durable]
async fn map_at_least(ctx: Context) -> Outcome {
    ctx.map(0..4, |number| ctx.run(gated_or_fails, number, number == 1)).at_least(2).await
}

#[durable]
async fn map_tolerate(ctx: Context) -> Outcome {
    ctx.map(0..4, |number| ctx.run(gated_or_fails, number, number < 2)).tolerate(1).await
}

const GATES: [&str; 4] = ["gated_or_fails", "gated_or_fails#2", "gated_or_fails#3", "gated_or_fails#4"];

#[tokio::test]
async fn all_are_in_the_order_of_the_items_whatever_ends_first() {
    let all = ["gated", "gated#2", "gated#3"];
    check(map_all, &["gated#3", "gated", "gated#2"], &all, vec![0, 1, 2]).await;
}

#[tokio::test]
async fn the_first_success_wins_and_wins_again() {
    check(map_first_ok, &[GATES[1]], &GATES, Ok(1)).await;
    check(map_first_ok, &[GATES[0], GATES[2], GATES[3]], &GATES, Ok(3)).await;
}

#[tokio::test]
async fn without_a_success_all_errors_are_in_the_order_of_the_items() {
    let errors = ["0", "1", "2"].map(str::to_owned).to_vec();
    check(map_none_ok, &[GATES[2], GATES[0], GATES[1]], &GATES, Err(errors)).await;
}

#[tokio::test]
async fn enough_successes_are_those_that_came_first() {
    check(map_at_least, &[GATES[3], GATES[2]], &GATES, Ok(mapped(&[2, 3], &[]))).await;
    check(map_at_least, &[GATES[3], GATES[1], GATES[0]], &GATES, Ok(mapped(&[0, 3], &[1]))).await;
}

#[tokio::test]
async fn too_many_failures_end_it_with_what_there_is() {
    check(map_tolerate, &[GATES[1], GATES[3], GATES[0]], &GATES, Err(mapped(&[3], &[0, 1]))).await;
}

fn keys(world: &World) -> Vec<String> {
    journal(&world.disk.memory, "r").into_iter().filter_map(|entry| entry.key).collect()
}

/// What could end at the same time as what decides does not count, and is not recorded.
#[tokio::test]
async fn what_comes_late_does_not_count() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", map_at_least, ()).await.unwrap();
    for gate in GATES {
        world.gates.arrived(gate, 1).await;
    }
    // Within one turn, in which the code is polled after all of them are open.
    for gate in GATES {
        world.gates.open(gate);
    }
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(mapped(&[0, 2], &[1])));

    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", map_first_ok, ()).await.unwrap();
    world.gates.arrived(GATES[0], 1).await;
    world.gates.arrived(GATES[1], 1).await;
    world.gates.open(GATES[1]);
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), Ok(1));
    world.gates.open(GATES[0]);
    yield_often().await;
    assert_eq!(keys(&world), [GATES[1]]);
    assert_eq!(world.effects.keys().len(), 2, "those whose turn had not come are not begun");
}

/// R4: the closure is called for the next item when a place is free, and not before.
#[tokio::test]
async fn r04_keys_are_claimed_in_the_order_of_the_items_as_places_become_free() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", map_two_at_a_time, ()).await.unwrap();
    for (gate, next) in [("gated#2", "gated#3"), ("gated#3", "gated#4"), ("gated", "gated#5")] {
        world.gates.arrived(gate, 1).await;
        yield_often().await;
        assert_eq!(world.effects.count(&format!("r:{next}")), 0, "there is no place for {next}");
        world.gates.open(gate);
        world.gates.arrived(next, 1).await;
    }
    world.gates.open("gated#4");
    world.gates.open("gated#5");
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), [10, 11, 12, 13, 14]);
    assert_eq!(keys(&world)[..3], ["gated#2", "gated#3", "gated"]);
}

#[durable]
async fn map_two_at_a_time(ctx: Context) -> Vec<u32> {
    ctx.map(10..15, |number| ctx.run(gated, number)).max_concurrency(2).all().await
}

/// How many are at work, and how many were at most.
#[derive(Debug, Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

async fn crowded(step: StepContext, number: u32) -> u32 {
    let crowd = step.dependency::<Crowd>();
    let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
    crowd.most.fetch_max(now, Ordering::SeqCst);
    for _ in 0..=number % 3 {
        tokio::task::yield_now().await;
    }
    crowd.now.fetch_sub(1, Ordering::SeqCst);
    number
}

#[durable]
async fn map_crowd(ctx: Context, max_concurrency: Option<usize>) -> Vec<u32> {
    let map = ctx.map(0..20, |number| ctx.run(crowded, number));
    match max_concurrency {
        Some(count) => map.max_concurrency(count).all().await,
        None => map.all().await,
    }
}

#[tokio::test]
async fn never_more_run_at_once_than_may() {
    for (max_concurrency, most) in [(None, 20), (Some(7), 7), (Some(1), 1), (Some(0), 1), (Some(99), 20)] {
        let (world, crowd) = (World::default(), Arc::new(Crowd::default()));
        let builder = world.builder().shared_dependency(Arc::clone(&crowd));
        let runtime = builder.open_store(world.disk.open()).await.unwrap();
        let run = runtime.start("r", map_crowd, max_concurrency).await.unwrap();
        assert!(patiently("the run", run.into_future()).await.unwrap().into_iter().eq(0..20));
        assert_eq!(crowd.most.load(Ordering::SeqCst), most, "{max_concurrency:?}");
    }
}

/// With items or without, what is decided before anything has ended begins nothing.
#[durable]
async fn map_decided_at_once(ctx: Context, items: Vec<u32>) -> (Vec<u32>, Vec<Option<bool>>) {
    let none = || Vec::<u32>::new();
    let failing = |number| ctx.run(gated_or_fails, number, true);
    let all = ctx.map(none(), |number| ctx.run(note, number)).all().await;
    let first = ctx.map(none(), failing).first_ok().await;
    let decided = vec![
        (first == Err(vec![])).then_some(false),
        Some(ctx.map(items.clone(), failing).at_least(0).await == Ok(mapped(&[], &[]))),
        Some(ctx.map(items.clone(), failing).at_least(items.len() + 1).await == Err(mapped(&[], &[]))),
        Some(ctx.map(none(), failing).tolerate(0).await == Ok(mapped(&[], &[]))),
    ];
    (all, decided)
}

#[tokio::test]
async fn what_is_decided_from_the_start_begins_nothing() {
    for items in [vec![], vec![1, 2]] {
        let world = World::default();
        let process = world.open().await;
        let run = process.runtime.start("r", map_decided_at_once, items).await.unwrap();
        let (all, decided) = patiently("the run", run.into_future()).await.unwrap();
        assert_eq!((all, decided), (vec![], vec![Some(false), Some(true), Some(true), Some(true)]));
        let kinds: Vec<_> = journal(&world.disk.memory, "r").into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Started, Kind::Finished]);
    }
}

/// One after the other, and no further than it takes to know.
#[durable]
async fn map_in_vain(ctx: Context) -> (Outcome, Outcome) {
    let fails = |number| ctx.run(fails_above_two, number);
    (
        ctx.map(0..7, fails).max_concurrency(1).at_least(5).await,
        ctx.map(0..7, fails).max_concurrency(1).tolerate(0).await,
    )
}

async fn fails_above_two(step: StepContext, number: u32) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    if number > 2 { Err(number.to_string()) } else { Ok(number) }
}

#[tokio::test]
async fn what_can_not_succeed_any_more_is_given_up_at_once() {
    let world = World::default();
    let process = world.open().await;
    let (at_least, tolerate) = process.runtime.start("r", map_in_vain, ()).await.unwrap().await.unwrap();
    assert_eq!(at_least, Err(mapped(&[0, 1, 2], &[3, 4, 5])));
    assert_eq!(tolerate, Err(mapped(&[0, 1, 2], &[3])));
    assert_eq!(world.effects.keys().len(), 6 + 4);
}

async fn fidgets(step: StepContext) {
    let bell = step.dependency::<Notify>();
    loop {
        bell.notified().await;
    }
}

/// Two branches are woken while the code awaits another step: the second one by the body of a step first.
#[durable]
async fn map_not_looked_at(ctx: Context) -> (u32, Vec<u32>) {
    let branches = ctx.map(0..2_u32, |number| async move {
        if number == 0 {
            ctx.sleep(MINUTE).await;
        } else {
            tokio::select! {
                () = ctx.sleep(2 * MINUTE) => {}
                () = ctx.run(fidgets) => {}
            }
        }
        ctx.run(note, number).await
    });
    let mut branches = branches.all();
    let first = tokio::select! {
        first = ctx.run(gated, 7).named("first") => first,
        _ = &mut branches => 0,
    };
    (first + ctx.run(gated, 1).named("second").await, branches.await)
}

/// R2: with `FuturesUnordered`, the branch whose body was woken would come first, and on a replay the other one.
#[tokio::test]
async fn r02_a_wake_up_of_a_body_does_not_change_what_is_polled_first() {
    let (world, bell) = (World::default(), Arc::new(Notify::new()));
    let open = async |world: &World| {
        let builder = world.builder().shared_dependency(Arc::clone(&bell));
        builder.open_store(world.disk.open()).await.unwrap()
    };
    let runtime = open(&world).await;
    let run = runtime.start("r", map_not_looked_at, ()).await.unwrap();
    world.gates.arrived("first", 1).await;
    world.gates.open("first");
    world.gates.arrived("second", 1).await;
    bell.notify_waiters();
    for _ in 0..2 {
        yield_often().await;
        world.clock.advance(MINUTE);
    }
    yield_often().await;
    world.gates.open("second");
    let result = patiently("the run", run.into_future()).await.unwrap();
    assert_eq!(result, (8, vec![0, 1]));
    let notes: Vec<_> = world.effects.keys().into_iter().filter(|key| key.contains("note")).collect();
    assert_eq!(notes, ["r:note", "r:note#2"]);
    let whole = journal(&world.disk.memory, "r");
    for length in 1..whole.len() {
        let again = World::with(copy(&world.disk.memory, "r", length));
        again.clock.advance(4 * MINUTE);
        for gate in ["first", "second"] {
            again.gates.open(gate);
        }
        let runtime = open(&again).await;
        let run = runtime.attach("r", map_not_looked_at).await.unwrap();
        assert_eq!(patiently("the run", run.into_future()).await.unwrap(), result, "after {length} records");
    }
}

/// There as long as a step's body.
struct Presence(Arc<Crowd>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn only_one_ends(step: StepContext, number: u32) -> Result<u32, String> {
    let crowd = step.dependency::<Crowd>();
    crowd.now.fetch_add(1, Ordering::SeqCst);
    let presence = Presence(crowd);
    tokio::task::yield_now().await;
    if number == 1 {
        return Ok(number);
    }
    std::future::pending::<()>().await;
    drop(presence);
    Err(number.to_string())
}

#[durable]
async fn map_kept(ctx: Context) -> (u32, usize) {
    let mut first = ctx.map(0..4, |number| ctx.run(only_one_ends, number)).max_concurrency(3).first_ok();
    let one = (&mut first).await.unwrap_or(9);
    let present = ctx.run("look", async |step| step.dependency::<Crowd>().now.load(Ordering::SeqCst)).await;
    drop(first);
    (one, present)
}

/// R6: a step that has lost is stopped when it is decided, and not when the code drops the map.
#[tokio::test]
async fn what_has_lost_is_dropped_at_once() {
    let world = World::default();
    let builder = world.builder().dependency(Crowd::default());
    let runtime = builder.open_store(world.disk.open()).await.unwrap();
    let run = runtime.start("r", map_kept, ()).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), (1, 0));
}

static IS_MENDED: AtomicBool = AtomicBool::new(false);

#[durable]
async fn map_panics(ctx: Context) -> Vec<u32> {
    let noted = ctx.map(0..3, |number| {
        assert!(number < 2 || IS_MENDED.load(Ordering::SeqCst), "not made for {number}");
        ctx.run(note, number)
    });
    noted.max_concurrency(1).all().await
}

/// R8.
#[tokio::test]
async fn a_panic_in_the_closure_halts_the_run_and_resume_goes_on_after_the_fix() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", map_panics, ()).await.unwrap();
    let halt = halted(patiently("the run", run.into_future()).await, HaltReason::Panic);
    assert!(halt.message.contains("not made for 2"), "{halt}");
    IS_MENDED.store(true, Ordering::SeqCst);
    process.runtime.resume("r").await.unwrap();
    let run = process.runtime.attach("r", map_panics).await.unwrap();
    assert_eq!(patiently("the run", run.into_future()).await.unwrap(), [0, 1, 2]);
    assert_eq!(world.effects.keys(), ["r:note", "r:note#2", "r:note#3"]);
}

#[durable]
async fn map_child(ctx: Context, number: u32) -> u32 {
    ctx.run(gated, number).await
}

#[durable]
async fn map_races_children(ctx: Context) -> Result<u32, Vec<ChildCancelled>> {
    ctx.map(0..3, |number| ctx.run(map_child, number)).first_ok().await
}

#[tokio::test]
async fn child_runs_that_come_late_go_on_to_their_own_end() {
    let world = World::default();
    let process = world.open().await;
    let run = process.runtime.start("r", map_races_children, ()).await.unwrap();
    // All three wait at the gate of this name.
    world.gates.arrived("gated", 3).await;
    world.gates.open("gated");
    let first = patiently("the run", run.into_future()).await.unwrap().unwrap();
    assert!(first < 3);
    for (number, child) in ["r:map_child", "r:map_child#2", "r:map_child#3"].into_iter().enumerate() {
        let run = process.runtime.attach(child, map_child).await.unwrap();
        assert_eq!(patiently(child, run.into_future()).await.unwrap() as usize, number);
        assert_eq!(process.runtime.get(child).await.unwrap().unwrap().status, RunStatus::Completed);
    }
}

/// Fails for every third number.
async fn picky(step: StepContext, number: u32) -> Result<u32, String> {
    step.dependency::<Effects>().note(&step);
    for _ in 0..number % 2 {
        tokio::task::yield_now().await;
    }
    if number.is_multiple_of(3) { Err(number.to_string()) } else { Ok(number) }
}

#[durable]
async fn map_explored(ctx: Context, policy: String) -> Outcome {
    let map = ctx.map(0..5, |number| ctx.run(picky, number)).max_concurrency(2);
    match policy.as_str() {
        "all" => {
            let mut mapped = Mapped { succeeded: vec![], failed: vec![] };
            for (index, ended) in map.all().await.into_iter().enumerate() {
                match ended {
                    Ok(number) => mapped.succeeded.push((index, number)),
                    Err(error) => mapped.failed.push((index, error)),
                }
            }
            Ok(mapped)
        }
        "first_ok" => match map.first_ok().await {
            Ok(number) => Ok(Mapped { succeeded: vec![(number as usize, number)], failed: vec![] }),
            Err(errors) => Err(Mapped { succeeded: vec![], failed: errors.into_iter().enumerate().collect() }),
        },
        "at_least 2" => map.at_least(2).await,
        "at_least 4" => map.at_least(4).await,
        "tolerate 1" => map.tolerate(1).await,
        other => {
            assert_eq!(other, "tolerate 2");
            map.tolerate(2).await
        }
    }
}

fn check_explored(policy: &str, is_right: impl Fn(&Outcome) -> bool + Sync) {
    let explored = testing::explore(map_explored, policy.to_owned())
        .dependency_with(Effects::default)
        .seeds(0..60)
        .worlds_max(1_500)
        .check(|world| assert!(is_right(world.output()), "{policy}: {:?}", world.output()));
    println!("{policy}: {explored}");
    assert!(explored.crashes > 200, "{explored}");
}

#[test]
fn all_is_explored() {
    check_explored("all", |outcome| *outcome == Ok(mapped(&[1, 2, 4], &[0, 3])));
}

#[test]
fn first_ok_is_explored() {
    let is_one = |outcome: &Outcome| outcome.as_ref().is_ok_and(|mapped| mapped.succeeded.len() == 1);
    check_explored("first_ok", is_one);
}

#[test]
fn at_least_is_explored() {
    check_explored("at_least 2", |outcome| outcome.as_ref().is_ok_and(|mapped| mapped.succeeded.len() == 2));
    check_explored("at_least 4", |outcome| outcome.as_ref().is_err_and(|mapped| mapped.failed.len() == 2));
}

#[test]
fn tolerate_is_explored() {
    check_explored("tolerate 1", |outcome| outcome.as_ref().is_err_and(|mapped| mapped.failed.len() == 2));
    check_explored("tolerate 2", |outcome| *outcome == Ok(mapped(&[1, 2, 4], &[0, 3])));
}

#[durable]
async fn map_helper(ctx: &Context, number: u32) -> Result<u32, String> {
    let numbers = ctx.map(0..=number, |inner| async move {
        ctx.sleep(MINUTE * (3 - inner)).await;
        ctx.run(picky, 10 * number + inner).await
    });
    let most = numbers.max_concurrency(2).at_least(1).await.map_err(|none| format!("{number}: {:?}", none.failed))?;
    Ok(most.succeeded[0].1)
}

/// In `join!` and `select!`, nested, with blocks, sleeps and child runs, and dropped half-way.
#[durable]
async fn map_of_everything(ctx: Context) -> Result<(u32, usize, Option<u32>), String> {
    let (nested, children) = tokio::join!(
        ctx.map(0..3, |number| map_helper(&ctx, number)).max_concurrency(2).tolerate(1),
        ctx.map(1..3, |number| ctx.run(map_explored_child, number)).max_concurrency(1).all(),
    );
    let nested = nested.map_err(|failed| format!("{failed:?}"))?.succeeded.len();
    let children: u32 = children.into_iter().flatten().sum();
    let slow = ctx.map(0..4, |number| async move {
        ctx.sleep(MINUTE).await;
        ctx.run(note, number).await
    });
    let dropped = tokio::select! {
        noted = slow.max_concurrency(1).all() => noted.into_iter().last(),
        () = ctx.sleep(MINUTE * 5 / 2) => None,
    };
    Ok((children, nested, dropped.or(Some(ctx.run(note, 100).await))))
}

#[durable]
async fn map_explored_child(ctx: Context, number: u32) -> u32 {
    ctx.map(0..number, |inner| ctx.run(note, inner + 1)).all().await.into_iter().sum()
}

#[test]
fn maps_within_all_else_are_explored() {
    let explored =
        testing::explore(map_of_everything, ()).dependency_with(Effects::default).worlds_max(1_500).seeds(0..60).check(
            |world| {
                assert_eq!(*world.output(), Ok((1 + 3, 2, Some(100))));
                assert_eq!(world.executions("note#4"), 0, "there was no time for a third");
            },
        );
    println!("{explored}");
    assert!(explored.crashes > 300, "{explored}");
}
