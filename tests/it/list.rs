//! Finding runs, page by page.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::{Append, MemoryStore, Record, Store};
use durable_runtime::testing::{Call, LossyStore};
use durable_runtime::{
    Clock, Context, Fence, HaltReason, LIST_LOOKS_MAX, LIST_MAX, Position, RunFilter, RunId, RunInfo, RunPage,
    RunStatus, RunSummary, Runtime, Timestamp, durable,
};
use durable_tests::{World, frames};

use crate::fork::rests;
use crate::steps::note;

#[durable]
async fn listed(ctx: Context, value: u32) -> Result<u32, String> {
    let value = ctx.run(note, value).await;
    match value % 4 {
        0 => Ok(value),
        1 => Err("odd".to_owned()),
        2 => panic!("as it is meant to"),
        _ => Ok(ctx.signal("go").await),
    }
}

#[durable]
async fn listed_other(ctx: Context, value: u32) -> u32 {
    ctx.run(note, value).await
}

/// Starts run number `value`, and waits until it goes no further by itself.
async fn start(world: &World, runtime: &Runtime, value: u32) {
    let id = format!("{}{value:03}", ["a", "b", "b_", "c"][value as usize / 3 % 4]);
    if value.is_multiple_of(5) {
        runtime.start(id, listed_other, value).await.unwrap().await.unwrap();
    } else {
        let run = runtime.start(&id, listed, value).await.unwrap();
        match value % 4 {
            3 => rests(world, runtime, &id).await,
            2 => drop(run.await.unwrap_err()),
            _ => drop(run.await.unwrap()),
        }
    }
}

/// All that is found, in pages of so many.
async fn all(runtime: &Runtime, filter: &RunFilter, limit: usize) -> Vec<RunSummary> {
    let (mut found, mut after): (Vec<RunSummary>, Option<RunId>) = (Vec::new(), None);
    loop {
        let RunPage { runs, next, .. } = runtime.list(filter, after.as_ref(), limit).await.unwrap();
        assert!(runs.len() <= limit);
        found.extend(runs);
        assert!(next.is_none() || next > after, "it goes on");
        after = next;
        if after.is_none() {
            return found;
        }
    }
}

fn ids(runs: &[RunSummary]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

const STATUSES: [RunStatus; 5] =
    [RunStatus::Running, RunStatus::Suspended, RunStatus::Halted, RunStatus::Completed, RunStatus::Failed];

/// One filter, and what it should take.
type Part = (fn(RunFilter, Timestamp) -> RunFilter, fn(&RunInfo, Timestamp) -> bool);

const TIMES: [Part; 4] = [
    (|filter, _| filter, |_, _| true),
    (|filter, middle| filter.started_since(middle), |run, middle| run.started_at >= middle),
    (|filter, middle| filter.started_before(middle), |run, middle| run.started_at < middle),
    (
        |filter, middle| filter.started_since(middle).started_before(Timestamp(middle.0 + 3_000)),
        |run, middle| (middle.0..middle.0 + 3_000).contains(&run.started_at.0),
    ),
];

/// Each combination of filters finds what it says, and no more, in pages of any length.
async fn check_filters(runtime: &Runtime, runs: &[RunInfo], middle: Timestamp) {
    let mut combinations = 0;
    for (with_time, has_time) in TIMES {
        for function in [None, Some("listed"), Some("listed_other"), Some("nobody")] {
            for status in STATUSES.map(Some).into_iter().chain([None]) {
                for prefix in ["", "a", "b", "b0", "b_", "b_006", "d", "\u{10ffff}"] {
                    let mut filter = with_time(RunFilter::new().id_prefix(prefix), middle);
                    filter = function.into_iter().fold(filter, RunFilter::function);
                    filter = status.into_iter().fold(filter, RunFilter::status);
                    let expected = runs.iter().filter(|run| {
                        has_time(run, middle)
                            && function.is_none_or(|function| function == run.function)
                            && status.is_none_or(|status| status == run.status)
                            && run.id.as_str().starts_with(prefix)
                    });
                    let expected: Vec<_> = expected.map(|run| run.id.as_str()).collect();
                    combinations += 1;
                    let found = all(runtime, &filter, 1 + combinations % 9).await;
                    assert_eq!(ids(&found), expected, "{filter:?}");
                }
            }
        }
    }
    assert_eq!(combinations, 4 * 4 * 6 * 8);
}

#[tokio::test]
async fn each_combination_of_filters_finds_what_it_says_also_when_the_store_is_opened_again() {
    let temporary = tempfile::tempdir().unwrap();
    let world = World::default();
    let mut middle = world.clock.now();
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    for value in 0..24 {
        start(&world, &runtime, value).await;
        world.clock.advance(Duration::from_secs(1));
        if value == 11 {
            middle = world.clock.now();
        }
    }
    let mut runs = Vec::new();
    for run in runtime.list(&RunFilter::new(), None, LIST_MAX).await.unwrap().runs {
        let info = runtime.get(&run.id).await.unwrap().unwrap();
        assert_eq!((run.status, run.function.as_deref()), (info.status, Some(&*info.function)));
        assert_eq!((run.events, run.halt), (info.events, info.halt.clone()));
        assert_eq!((run.started_at, run.updated_at), (Some(info.started_at), Some(info.updated_at)));
        runs.push(info);
    }
    assert_eq!(runs.len(), 24);
    for status in &STATUSES[1..] {
        assert!(runs.iter().any(|run| run.status == *status), "there is none that is {status}");
    }
    check_filters(&runtime, &runs, middle).await;
    runtime.shutdown(Duration::ZERO).await;
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    check_filters(&runtime, &runs, middle).await;
    runtime.compact().await.unwrap();
    check_filters(&runtime, &runs, middle).await;
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_is_there_all_the_time_is_listed_once_whatever_comes_and_goes_meanwhile() {
    let world = World::default();
    let runtime = world.open().await.runtime;
    for value in 0..40 {
        runtime.start(format!("r{value:02}"), listed_other, value).await.unwrap().await.unwrap();
    }
    let filter = RunFilter::new().id_prefix("r").status(RunStatus::Completed);
    let (mut seen, mut after, mut deleted): (Vec<String>, Option<RunId>, Vec<String>) = (vec![], None, vec![]);
    loop {
        let page = runtime.list(&filter, after.as_ref(), 7).await.unwrap();
        seen.extend(page.runs.iter().map(|run| run.id.to_string()));
        after = page.next;
        let Some(next) = &after else { break };
        // The one it stands at, the one behind, and one far ahead go; others come on both sides.
        let at: usize = next.as_str()[1..3].parse().unwrap();
        for gone in [at, at + 1, (at + 9).min(39)].map(|value| format!("r{value:02}")) {
            if runtime.delete(&gone).await.unwrap() {
                deleted.push(gone);
            }
        }
        for (new, value) in [(format!("r{at:02}-"), 100), ("q".to_owned(), 1), ("s".to_owned(), 1)] {
            runtime.start(new, listed_other, value).await.unwrap().await.unwrap();
        }
    }
    assert!(deleted.len() >= 10, "{deleted:?}");
    let stayed = (0..40).map(|value| format!("r{value:02}")).filter(|id| !deleted.contains(id));
    let seen_of_those: Vec<_> = seen.iter().filter(|id| id.len() == 3 && !deleted.contains(id)).cloned().collect();
    assert!(stayed.eq(seen_of_those));
    assert!(seen.is_sorted() && seen.iter().all(|id| id.starts_with('r')), "{seen:?}");
}

#[tokio::test]
async fn runs_are_found_by_all_of_their_tags_and_by_what_they_belong_to() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    for value in 0..12_u32 {
        let mut start = runtime.start(format!("r{value:02}"), listed_other, value);
        start = start.tag("even", (value % 2 == 0).to_string()).tag("third", (value % 3).to_string());
        if value < 6 {
            start = start.correlation_id("first half");
        }
        if value == 7 {
            start = start.tag("", "refused");
        }
        assert_eq!(start.await.is_err(), value == 7);
    }
    let found = async |filter: &RunFilter| ids(&all(runtime, filter, 2).await).join(" ");
    let (filter, even) = (RunFilter::new(), RunFilter::new().tag("even", "true"));
    assert_eq!(found(&even).await, "r00 r02 r04 r06 r08 r10");
    assert_eq!(found(&even.clone().tag("third", "1")).await, "r04 r10");
    assert_eq!(found(&even.clone().tag("third", "1").correlation_id("first half")).await, "r04");
    assert_eq!(found(&even.clone().tag("third", "")).await, "");
    assert_eq!(found(&even.tag("fourth", "1")).await, "");
    assert_eq!(found(&filter.clone().correlation_id("r08")).await, "r08", "a run belongs to itself");
    let summary = &runtime.list(&filter, None, 1).await.unwrap().runs[0];
    assert_eq!(summary.tags, runtime.get("r00").await.unwrap().unwrap().tags);
    // A fork is found by what the run was found by.
    runtime.attach("r08", listed_other).await.unwrap().await.unwrap();
    runtime.fork("r08", "note", "fork").await.unwrap();
    assert_eq!(found(&filter.clone().correlation_id("r08").tag("third", "2")).await, "fork r08");
}

/// A store with so many runs of one function that have ended, as one that was written once.
async fn with_many(count: usize, id: impl Fn(usize) -> String) -> MemoryStore {
    let world = World::default();
    let runtime = world.open().await.runtime;
    runtime.start("model", listed_other, 1).await.unwrap().await.unwrap();
    let frames = frames(&world.disk.memory, "model");
    let store = MemoryStore::default();
    let append = |run: String| Append {
        run: RunId::new(run).unwrap(),
        expected: Position(0),
        fence: Fence(1),
        records: frames.iter().map(|frame| Record { frame: frame.clone(), due: None }).collect(),
        replaces: false,
        clears: Vec::new(),
        status: RunStatus::Completed,
    };
    let appends: Vec<_> = (0..count).map(id).map(append).collect();
    assert!(store.commit(&appends).unwrap().iter().all(Result::is_ok));
    store
}

#[tokio::test]
async fn a_filter_that_takes_few_of_many_is_bounded_in_each_call_and_comes_to_its_end() {
    let store = with_many(2 * LIST_LOOKS_MAX + 7, |number| format!("r{number:06}")).await;
    let world = World::default();
    let runtime = world.builder().open_store(Arc::new(store)).await.unwrap();
    runtime.start("r999999", listed, 0).await.unwrap().await.unwrap().unwrap();
    let filter = RunFilter::new().function("listed");
    let mut after = None;
    for _ in 0..2 {
        let page = runtime.list(&filter, after.as_ref(), 10).await.unwrap();
        assert_eq!(page.runs, []);
        assert!(page.next > after, "{after:?}");
        after = page.next;
    }
    assert_eq!(after.as_ref().unwrap().as_str(), format!("r{:06}", 2 * LIST_LOOKS_MAX - 1));
    let page = runtime.list(&filter, after.as_ref(), 10).await.unwrap();
    assert_eq!((ids(&page.runs), page.next), (vec!["r999999"], None));
    let page = runtime.list(&RunFilter::new(), None, usize::MAX).await.unwrap();
    assert_eq!((page.runs.len(), page.next.unwrap().as_str()), (LIST_MAX, "r000999"));
    let page = runtime.list(&RunFilter::new(), None, 0).await.unwrap();
    assert_eq!(
        (page.runs.len(), page.next.unwrap().as_str()),
        (1, "r000000"),
        "who asks for none is told where to go on"
    );
}

#[tokio::test]
async fn a_prefix_is_gone_to_and_not_searched_for() {
    let store = LossyStore::default();
    let runtime = World::default().builder().open_store(Arc::new(store.clone())).await.unwrap();
    // More than a page of a store's before the first one that is asked for.
    for value in 0..600 {
        runtime.start(format!("a{value:03}"), listed_other, value).await.unwrap().await.unwrap();
    }
    for (value, id) in ["a1", "a2", "a3", "b", "b\0", "b1", "ba", "c1", "c2"].into_iter().enumerate() {
        runtime.start(id, listed_other, u32::try_from(value).unwrap()).await.unwrap().await.unwrap();
    }
    let (reads, lists) = (store.calls(Call::Read), store.calls(Call::List));
    let found = runtime.list(&RunFilter::new().id_prefix("b"), None, 10).await.unwrap();
    assert_eq!((ids(&found.runs), found.next), (vec!["b", "b\0", "b1", "ba"], None));
    assert_eq!((store.calls(Call::Read) - reads, store.calls(Call::List) - lists), (4, 1));
    let after = RunId::new("b\0").unwrap();
    let found = runtime.list(&RunFilter::new().id_prefix("b"), Some(&after), 10).await.unwrap();
    assert_eq!(ids(&found.runs), ["b1", "ba"]);
    for (prefix, after) in [("c", "c2"), ("a", "b"), ("x", "a1")] {
        let after = RunId::new(after).unwrap();
        let found = runtime.list(&RunFilter::new().id_prefix(prefix), Some(&after), 10).await.unwrap();
        assert_eq!(found, RunPage::default(), "{prefix} behind {after}");
    }
    let too_long = "b".repeat(2_000);
    assert_eq!(runtime.list(&RunFilter::new().id_prefix(too_long), None, 10).await.unwrap(), RunPage::default());
}

#[tokio::test]
async fn why_a_run_is_halted_is_listed_also_when_something_was_sent_to_it_since() {
    let world = World::default();
    let runtime = world.open().await.runtime;
    runtime.start("r", listed, 2).await.unwrap().await.unwrap_err();
    runtime.signal("r", "go", &1).await.unwrap();
    let page = runtime.list(&RunFilter::new().status(RunStatus::Halted), None, 10).await.unwrap();
    assert_eq!(page.runs[0].halt.as_ref().map(|halt| halt.reason), Some(HaltReason::Panic));
    assert_eq!(page.runs[0].halt, runtime.get("r").await.unwrap().unwrap().halt);
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_not_taken_for_what_is_asked_for() {
    let world = World::default();
    let handle = world.disk.open();
    let runtime = world.builder().open_store(handle.clone()).await.unwrap();
    for id in ["r1", "r2", "r3"] {
        runtime.start(id, listed_other, 1).await.unwrap().await.unwrap();
    }
    handle.tear("r2");
    handle.lose_head("r4");
    let filter = RunFilter::new();
    let found = runtime.list(&filter, None, 10).await.unwrap().runs;
    let halts: Vec<_> = found.iter().map(|run| run.halt.as_ref().map(|halt| halt.reason)).collect();
    assert_eq!(ids(&found), ["r1", "r2", "r3", "r4"]);
    assert_eq!(halts, [None, Some(HaltReason::Corrupt), None, Some(HaltReason::Corrupt)]);
    for filter in [filter.clone().function("listed_other"), filter.clone().started_since(Timestamp(0))] {
        assert_eq!(ids(&runtime.list(&filter, None, 10).await.unwrap().runs), ["r1", "r3"], "{filter:?}");
    }
    let halted = filter.clone().status(RunStatus::Halted).id_prefix("r");
    assert_eq!(ids(&runtime.list(&halted, None, 10).await.unwrap().runs), ["r2", "r4"]);
    assert_eq!(runtime.list(&filter.id_prefix("s"), None, 10).await.unwrap().runs, []);
}
