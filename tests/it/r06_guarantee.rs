//! R6: a step runs at least once, and exactly one outcome is ever recorded.

use durable_runtime::{Context, HaltReason, durable};
use durable_tests::{Kind, Loss, World, journal};

use crate::steps::{gated, halted, note};

#[durable]
async fn guarantee_two(ctx: Context) -> u32 {
    let first = ctx.run(gated, 1).named("first").await;
    first + ctx.run(note, 2).named("second").await
}

fn outcomes(world: &World, key: &str) -> usize {
    let journal = journal(&world.disk.memory, "r");
    journal.iter().filter(|entry| entry.kind == Kind::StepCompleted && entry.key.as_deref() == Some(key)).count()
}

#[tokio::test]
async fn crash_between_effect_and_checkpoint_runs_the_step_again_with_the_same_key() {
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("r", guarantee_two, ()).await.unwrap().id();
    // The effect has happened, and the step has not returned.
    world.gates.arrived("first", 1).await;
    process.crash().await;
    assert_eq!(outcomes(&world, "first"), 0);
    world.gates.open("first");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", guarantee_two).await.unwrap().await.unwrap(), 3);
    assert_eq!(world.effects.executions(), [("r:first".into(), 1), ("r:first".into(), 1), ("r:second".into(), 1)]);
    assert_eq!((outcomes(&world, "first"), outcomes(&world, "second")), (1, 1));
}

#[tokio::test]
async fn crash_right_before_and_right_after_the_checkpoint() {
    for (loss, executions) in [(Loss::Whole, 2), (Loss::Acknowledgement, 1)] {
        let world = World::default();
        world.gates.open("first");
        let process = world.open_failing(1, loss).await;
        let run = process.runtime.start("r", guarantee_two, ()).await.unwrap();
        halted(run.await, HaltReason::Storage);
        process.crash().await;
        let process = world.open().await;
        assert_eq!(process.runtime.attach("r", guarantee_two).await.unwrap().await.unwrap(), 3);
        assert_eq!(world.effects.count("r:first"), executions, "{loss:?}");
        assert_eq!((outcomes(&world, "first"), outcomes(&world, "second")), (1, 1));
    }
}

/// Also R13.
#[tokio::test]
async fn of_two_owners_of_one_run_only_one_records_an_outcome() {
    let world = World::default();
    let old = world.open().await;
    let run = old.runtime.start("r", guarantee_two, ()).await.unwrap();
    world.gates.arrived("first", 1).await;
    // A second process takes over while the first one only seems dead.
    let new = world.open().await;
    world.gates.arrived("first", 2).await;
    world.gates.open("first");
    let taken_over = new.runtime.attach("r", guarantee_two).await.unwrap();
    let results = [run.await, taken_over.await];
    assert!(results.iter().any(Result::is_ok), "{results:?}");
    for result in results {
        match result {
            Ok(sum) => assert_eq!(sum, 3),
            refused => assert!(halted(refused, HaltReason::Storage).message.contains("Another process")),
        }
    }
    assert_eq!((outcomes(&world, "first"), outcomes(&world, "second")), (1, 1));
}
