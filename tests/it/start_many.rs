//! R1, R5: many runs that are started at once share commits, and each is told what became of it.

use std::time::Duration;

use durable_runtime::{Clock, Context, START_BATCH_MAX, StartError, Timestamp, durable};
use durable_runtime::{Limits, RunFilter, RunStatus};
use durable_tests::{Loss, World, patiently};

use crate::steps::note;

#[durable]
async fn one_of_many(ctx: Context, number: usize) -> (usize, Timestamp) {
    (number, ctx.now())
}

#[durable]
async fn one_of_others(ctx: Context, number: u32) -> u32 {
    ctx.run(note, number).await
}

fn runs(count: usize) -> impl Iterator<Item = (String, usize)> {
    (0..count).map(|number| (format!("run-{number}"), number))
}

#[tokio::test]
async fn runs_that_are_started_at_once_share_one_commit() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let due = world.clock.now().after(Duration::from_hours(1));
    // That each begins later leaves the starts as the only commits.
    let started = runtime.start_many(one_of_many, runs(START_BATCH_MAX)).not_before(due).await;
    assert!(started.iter().all(Result::is_ok));
    assert_eq!(runtime.stats().commits, 1);
    let more = runtime.start_many(one_of_many, runs(2 * START_BATCH_MAX + 1)).not_before(due).await;
    assert_eq!(runtime.stats().commits, 1 + 2, "there is nothing to commit where all attach");
    drop(more);
    for number in 0..7 {
        runtime.start(format!("single-{number}"), one_of_many, number).not_before(due).await.unwrap().id();
    }
    assert_eq!(runtime.stats().commits, 3 + 7, "one by one, each is a commit");
    world.clock.set(due);
    for (number, run) in started.into_iter().enumerate() {
        let run = run.unwrap();
        assert_eq!(run.id().as_str(), format!("run-{number}"));
        assert_eq!(patiently("a run", run).await.unwrap(), (number, due));
    }
}

#[tokio::test]
async fn each_is_started_attached_or_refused_by_itself_and_in_order() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("ended", one_of_others, 1).await.unwrap().await.unwrap();
    runtime.start("other function", one_of_many, 1).await.unwrap().await.unwrap();
    let long = "x".repeat(1_025);
    let runs = [
        ("ended", 1),
        ("ended", 2),
        ("", 3),
        ("new", 4),
        ("new", 4),
        ("new", 5),
        ("other function", 6),
        (&*long, 7),
        ("newer", 8),
    ];
    let started = runtime.start_many(one_of_others, runs).tag("batch", "b").correlation_id("c").await;
    let mut told = Vec::new();
    for started in started {
        told.push(match started {
            Ok(run) => run.await.unwrap().to_string(),
            Err(StartError::OtherInput { .. }) => "other input".to_owned(),
            Err(StartError::OtherFunction { .. }) => "other function".to_owned(),
            Err(StartError::InvalidId(_)) => "invalid".to_owned(),
            Err(error) => panic!("{error}"),
        });
    }
    let expected =
        ["1", "other input", "invalid", "4", "4", "other input", "other function", "invalid", "8"].map(str::to_owned);
    assert_eq!(told, expected);
    assert_eq!(world.effects.counts().values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    let info = runtime.get("newer").await.unwrap().unwrap();
    assert_eq!((&*info.tags["batch"], &*info.correlation_id), ("b", "c"));
    assert!(runtime.start_many(one_of_others, [("", 1); 0]).await.is_empty());
    let refused = runtime.start_many(one_of_others, [("a", 1), ("b", 2)]).tag("", "").await;
    assert!(refused.iter().all(|refused| matches!(refused, Err(StartError::Tag { .. }))), "{refused:?}");
    assert_eq!(runtime.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_they_can_be_started_again() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let world = World::default();
        let process = world.open_failing(0, loss).await;
        let started = process.runtime.start_many(one_of_many, runs(20)).await;
        assert_eq!(started.len(), 20);
        assert!(started.iter().all(|started| matches!(started, Err(StartError::Store { .. }))), "{started:?}");
        process.crash().await;
        let process = world.open().await;
        for (number, run) in process.runtime.start_many(one_of_many, runs(20)).await.into_iter().enumerate() {
            assert_eq!(run.unwrap().await.unwrap().0, number);
        }
    }
}

#[tokio::test]
async fn beyond_the_limit_of_active_runs_some_are_refused_and_the_others_start() {
    let world = World { limits: Limits { active_runs: 3, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let due = world.clock.now().after(Duration::from_hours(1));
    let started = process.runtime.start_many(one_of_many, runs(5)).not_before(due).await;
    let refused = |started: &Result<_, _>| matches!(started, Err(StartError::TooManyActiveRuns { limit: 3, .. }));
    assert_eq!(started.iter().map(refused).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(
        process.runtime.list(&RunFilter::default().status(RunStatus::Suspended), None, 10).await.unwrap().runs.len(),
        3
    );
}
