//! `Runtime::import`: runs that were recorded elsewhere.

use std::time::Duration;

use durable_runtime::store::Store as _;
use durable_runtime::{
    AdminError, Clock as _, Context, HaltReason, Journal, RunStatus, Runtime, StartError, Timestamp, durable,
};
use durable_tests::{Loss, World, contents, suspended, unsealed};

use crate::fork::{lead_to_its_end, of_all_kinds, rests};
use crate::steps::{gated, note};

const DAY: Duration = Duration::from_hours(24);

#[durable]
async fn imported(ctx: Context, value: u64) -> Result<u64, String> {
    let value = u64::from(ctx.run(note, u32::try_from(value).unwrap_or(0)).await);
    match value {
        0 => Err("nothing".to_owned()),
        1 => panic!("as it is meant to"),
        2 => Ok(u64::from(ctx.run(gated, 2).await)),
        3 => {
            ctx.sleep(DAY).await;
            Ok(ctx.now().0)
        }
        4 => Ok(ctx.signal("go").await),
        value => Ok(value),
    }
}

async fn journal_of(runtime: &Runtime, id: &str) -> Journal {
    let journal = runtime.journal(id).await.unwrap().unwrap();
    let text = journal.to_lines();
    assert_eq!(text.parse::<Journal>().unwrap(), journal, "{text}");
    journal
}

/// Wherever a run of all kinds of operations is taken away, it goes on in another place to the same end.
#[tokio::test]
async fn each_beginning_of_a_journal_goes_on_elsewhere() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", of_all_kinds, 1).await.unwrap().id();
    let expected = lead_to_its_end(&world, &process.runtime, "r").await.result;
    let journal = journal_of(&process.runtime, "r").await;
    assert!(journal.length() > 15, "{journal:?}");
    for length in 1..=journal.length() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = World::default();
        let runtime = elsewhere.builder().open(temporary.path()).await.unwrap();
        let beginning = journal.prefix(length);
        runtime.import(&beginning).await.unwrap();
        if length == journal.length() {
            assert_eq!(journal_of(&runtime, "r").await, journal, "an ended one stays as it is");
            assert_eq!(runtime.get("r").await.unwrap(), process.runtime.get("r").await.unwrap());
        }
        let info = lead_to_its_end(&elsewhere, &runtime, "r").await;
        let text = unsealed(&beginning.to_lines());
        if text.lines().last().unwrap().starts_with("{\"StepStarted\"") {
            // It runs at most once, and nobody knows what became of it.
            assert_eq!(info.result.as_ref().unwrap().text(), "{\"Ok\":40}");
        } else {
            assert_eq!(info.result, expected, "behind {length} records");
        }
        let lines = unsealed(&journal_of(&runtime, "r").await.to_lines());
        assert!(lines.starts_with(&text), "behind {length} records");
        assert!(runtime.verify("r").await.unwrap().fits());
        runtime.import(&beginning).await.unwrap();
        runtime.shutdown(Duration::ZERO).await;
        let runtime = elsewhere.builder().open(temporary.path()).await.unwrap();
        assert!(runtime.verify_store().await.unwrap().is_sound(), "behind {length} records");
        assert_eq!(runtime.get("r").await.unwrap().unwrap(), info);
        runtime.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn runs_in_each_state_go_on_or_stay_as_they_are() {
    let world = World::default();
    let process = world.open().await;
    let here = &process.runtime;
    for value in [0, 1, 2, 3, 4, 5, 2] {
        let id = if value == 2 && here.get("r2").await.unwrap().is_some() { "cancelled" } else { &format!("r{value}") };
        here.start(id, imported, value).await.unwrap().id();
    }
    world.gates.arrived("gated", 2).await;
    here.cancel("cancelled", "enough").await.unwrap();
    suspended(here, "r3").await;
    let due = world.clock.now().after(DAY);
    rests(&world, here, "r4").await;
    for run in ["r0", "r1", "r5"] {
        while here.get(run).await.unwrap().unwrap().status.is_unfinished() {
            tokio::task::yield_now().await;
        }
    }
    here.signal("r1", "go", &1).await.unwrap();

    let there = World::default();
    there.clock.set(world.clock.now());
    let elsewhere = there.open().await.runtime;
    for run in ["r0", "r1", "r2", "r3", "r4", "r5", "cancelled"] {
        elsewhere.import(&journal_of(here, run).await).await.unwrap();
    }
    for (run, status) in [
        ("r0", RunStatus::Failed),
        ("r1", RunStatus::Halted),
        ("r5", RunStatus::Completed),
        ("cancelled", RunStatus::Cancelled),
    ] {
        let (info, expected) = (elsewhere.get(run).await.unwrap().unwrap(), here.get(run).await.unwrap().unwrap());
        assert_eq!((info.status, &info), (status, &expected), "{run}");
    }
    there.gates.arrived("gated", 1).await;
    there.gates.open("gated");
    assert_eq!(elsewhere.attach("r2", imported).await.unwrap().await.unwrap(), Ok(2));
    rests(&there, &elsewhere, "r4").await;
    elsewhere.signal("r4", "go", &7).await.unwrap();
    assert_eq!(elsewhere.attach("r4", imported).await.unwrap().await.unwrap(), Ok(7));
    // It wakes when it was to wake, not so long after it was imported.
    suspended(&elsewhere, "r3").await;
    assert_eq!(elsewhere.get("r3").await.unwrap().unwrap().timers[0].due, due);
    let timers = there.disk.memory.due(Timestamp(u64::MAX), 10).unwrap();
    assert_eq!(timers.iter().map(|timer| (timer.run.as_str(), timer.due)).collect::<Vec<_>>(), [("r3", due)]);
    there.clock.set(due);
    assert_eq!(elsewhere.attach("r3", imported).await.unwrap().await.unwrap(), Ok(due.0));
    // The halted one goes on when somebody says so: to the same panic.
    elsewhere.resume("r1").await.unwrap();
    elsewhere.attach("r1", imported).await.unwrap().await.unwrap_err();
    assert_eq!(elsewhere.get("r1").await.unwrap().unwrap().signals.len(), 1);
    assert!(elsewhere.verify_store().await.unwrap().is_sound());
    assert_eq!(there.effects.keys(), ["r2:gated"], "what was recorded elsewhere is not executed again");
}

#[tokio::test]
async fn an_id_that_is_taken_by_another_run_is_told_and_nothing_changes() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("a", imported, 5).await.unwrap().await.unwrap().unwrap();
    runtime.start("b", imported, 6).await.unwrap().await.unwrap().unwrap();
    let (of_a, of_b) = (journal_of(runtime, "a").await, journal_of(runtime, "b").await);
    let renamed: Journal = of_b.to_lines().replace("\"run\":\"b\"", "\"run\":\"a\"").parse().unwrap();
    let before = contents(&world.disk.memory);
    let error = runtime.import(&renamed).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "[D0180] there is a run a already, with another journal: choose another id, or delete that run before"
    );
    for same in [&of_a, &of_a.prefix(1), &of_a.prefix(2)] {
        runtime.import(same).await.unwrap();
    }
    let empty = runtime.import(&of_a.prefix(0)).await.unwrap_err();
    assert_eq!(
        empty.to_string(),
        "[D0183] the journal of run a was not imported: it has no events. Take it as `Runtime::journal` gave it"
    );
    assert_eq!(contents(&world.disk.memory), before);
    assert!(runtime.delete("a").await.unwrap());
    runtime.import(&renamed).await.unwrap();
    assert_eq!(runtime.attach("a", imported).await.unwrap().await.unwrap(), Ok(6));
    // Of what has gone on since, the longer journal is another one.
    assert!(runtime.delete("b").await.unwrap());
    runtime.import(&of_b.prefix(1)).await.unwrap();
    runtime.attach("b", imported).await.unwrap().await.unwrap().unwrap();
    runtime.import(&of_b.prefix(1)).await.unwrap();
    assert!(matches!(runtime.import(&of_b).await, Err(AdminError::Taken { .. })), "here it was recovered in between");
}

#[tokio::test]
async fn starting_and_importing_one_id_at_once_is_one_run() {
    for _ in 0..20 {
        let world = World::default();
        let process = world.open().await;
        let runtime = &process.runtime;
        runtime.start("r", imported, 5).await.unwrap().await.unwrap().unwrap();
        let journal = journal_of(runtime, "r").await;
        runtime.delete("r").await.unwrap();
        let starts = async { runtime.start("r", imported, 6).await };
        let (imports, starts) = tokio::join!(runtime.import(&journal), starts);
        match (imports, starts) {
            (Ok(()), Err(StartError::OtherInput { .. })) | (Err(AdminError::Taken { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        let imports = (0..5).map(|_| runtime.import(&journal));
        let all = futures::future::join_all(imports).await;
        assert!(all.iter().all(|one| one.is_ok() == all[0].is_ok()), "{all:?}");
    }
}

#[tokio::test]
async fn a_run_of_a_function_that_is_not_here_is_kept_and_told() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    runtime.start("r", imported, 2).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    let lines = journal_of(runtime, "r").await.to_lines();
    let foreign =
        unsealed(&lines).replace("\"run\":\"r\"", "\"run\":\"s\"").replace("\"imported\"", "\"not_imported\"");
    runtime.import(&foreign.parse().unwrap()).await.unwrap();
    let info = runtime.get("s").await.unwrap().unwrap();
    assert_eq!((info.status, info.halt.map(|halt| halt.reason)), (RunStatus::Running, Some(HaltReason::Unregistered)));
    process.crash().await;
    let process = world.open().await;
    let skipped: Vec<_> =
        process.runtime.recovery().skipped.iter().map(|(run, halt)| (run.as_str(), halt.reason)).collect();
    assert_eq!(skipped, [("s", HaltReason::Unregistered)]);
}

#[tokio::test]
async fn an_import_that_the_store_fails_is_there_whole_or_not_at_all_and_can_be_repeated() {
    for loss in [Loss::Whole, Loss::Acknowledgement] {
        let (world, elsewhere) = (World::default(), World::default());
        let process = elsewhere.open().await;
        process.runtime.start("r", imported, 2).await.unwrap().id();
        elsewhere.gates.arrived("gated", 1).await;
        let journal = journal_of(&process.runtime, "r").await;
        let process = world.open_failing(0, loss).await;
        assert!(matches!(process.runtime.import(&journal).await, Err(AdminError::Store(_))));
        process.crash().await;
        let lengths: Vec<_> = contents(&world.disk.memory).iter().map(|run| run.frames.len()).collect();
        assert_eq!(lengths, if loss == Loss::Whole { vec![] } else { vec![journal.length()] });
        world.gates.open("gated");
        let process = world.open().await;
        process.runtime.import(&journal).await.unwrap();
        assert_eq!(process.runtime.attach("r", imported).await.unwrap().await.unwrap(), Ok(2));
        assert_eq!(world.effects.keys(), ["r:gated"]);
        let clone = process.runtime.clone();
        process.runtime.shutdown(Duration::ZERO).await;
        assert!(clone.import(&journal).await.is_err());
    }
}
