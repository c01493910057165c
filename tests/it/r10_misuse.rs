//! R10: a durable operation where it can't work is refused with guidance and without spending a key.

use durable_runtime::{Context, HaltReason, RunStatus, durable};
use durable_tests::World;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::steps::{gated, halted, note};

#[durable]
async fn misuse_helper(ctx: &Context) -> u32 {
    ctx.run(note, 99).await
}

#[durable]
async fn misuse_step_in_step(ctx: Context) -> u32 {
    let smuggled = ctx.clone();
    let value = ctx.run("outer", async || misuse_helper(&smuggled).await).await;
    value + ctx.run(note, 1).await
}

#[durable]
async fn misuse_bystander(ctx: Context) -> u32 {
    ctx.run(gated, 1).await + ctx.run(note, 2).await
}

#[tokio::test]
async fn a_step_in_a_step_halts_the_run_and_no_other() {
    let world = World::default();
    let process = world.open().await;
    let bystander = process.runtime.start("b", misuse_bystander, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let halt = halted(process.runtime.start("r", misuse_step_in_step, ()).await.unwrap().await, HaltReason::Misuse);
    for word in ["ctx.run(note", "r10_misuse.rs", "inside the body of a step", "before or after this step"] {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    assert_eq!(world.effects.count("r:note"), 0, "the step in the step ran");
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.status, info.steps), (RunStatus::Halted, Vec::new()), "a key was spent");
    world.gates.open("gated");
    assert_eq!(bystander.await.unwrap(), 3);
}

/// What a task that was spawned for it says of an attempt to run a step.
async fn spawned(ctx: Context) -> Result<u32, String> {
    let task = tokio::spawn(async move { misuse_helper(&ctx).await });
    task.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        Err(other) => other.to_string(),
    })
}

#[durable]
async fn misuse_spawned(ctx: Context) -> Result<u32, String> {
    let smuggled = ctx.clone();
    let refused = ctx.run("spawning", async || spawned(smuggled.clone()).await).await;
    ctx.run(note, 1).await;
    refused
}

#[tokio::test]
async fn a_step_in_a_spawned_task_is_refused_there_and_the_run_goes_on() {
    let world = World::default();
    let process = world.open().await;
    let result = process.runtime.start("r", misuse_spawned, ()).await.unwrap().await.unwrap();
    let message = result.unwrap_err();
    for word in ["[D0404]", "spawned task", "join!"] {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert_eq!(world.effects.keys(), ["r:note"], "the refused step spent the key or ran");
}

static LENT: Mutex<Option<Context>> = Mutex::new(None);

#[durable]
async fn misuse_lender(ctx: Context) -> u32 {
    *LENT.lock() = Some(ctx.clone());
    ctx.run(gated, 1).await + ctx.run(note, 2).await
}

#[durable]
async fn misuse_borrower(ctx: Context) -> u32 {
    let value = ctx.run(note, 3).await;
    let lent = LENT.lock().clone();
    match lent {
        Some(lent) => value + misuse_helper(&lent).await,
        None => value,
    }
}

#[durable]
async fn misuse_borrower_in_step(ctx: Context) -> Result<u32, String> {
    let patient = durable_runtime::Retry::fixed(std::time::Duration::ZERO).max_attempts(5);
    let lent = LENT.lock().clone();
    ctx.run("borrow", async || match &lent {
        Some(lent) => Ok(misuse_helper(lent).await),
        None => Err("nothing was lent".to_owned()),
    })
    .retry(patient)
    .await
}

#[tokio::test]
async fn the_context_of_another_run_and_of_an_ended_run_is_refused() {
    let world = World::default();
    let process = world.open().await;
    let lender = process.runtime.start("lender", misuse_lender, ()).await.unwrap();
    world.gates.arrived("gated", 1).await;
    let borrower = process.runtime.start("borrower", misuse_borrower, ()).await.unwrap();
    let halt = halted(borrower.await, HaltReason::Misuse);
    for word in ["ctx.run(note", "r10_misuse.rs", "run lender", "another run", "not contexts"] {
        assert!(halt.message.contains(word), "{word:?} is missing in: {halt}");
    }
    // Inside of a step, too, and it is not tried again.
    let borrower = process.runtime.start("borrower in a step", misuse_borrower_in_step, ()).await.unwrap();
    let halt = halted(borrower.await, HaltReason::Misuse);
    assert!(halt.message.contains("run lender"), "{halt}");
    assert_eq!(halt.step.as_deref(), Some("borrow"), "{halt}");
    assert_eq!(process.runtime.stats().steps_executed, 3, "a misuse was tried again");
    world.gates.open("gated");
    assert_eq!(lender.await.unwrap(), 3);
    assert_eq!(world.effects.keys(), ["lender:gated", "borrower:note", "lender:note"]);

    let ended = LENT.lock().clone().expect("lent");
    let message = spawned(ended).await.unwrap_err();
    assert!(message.contains("[D0404]") && message.contains("after the run ended"), "{message}");
    assert_eq!(world.effects.keys().len(), 3);
}

/// Has a task await `step`, which a durable function can't do itself, and says whether that panics.
fn polled_elsewhere(step: impl Future<Output = u32> + Send + 'static) -> oneshot::Receiver<bool> {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let refused = tokio::spawn(step).await.is_err();
        sender.send(refused).ok();
    });
    receiver
}

#[durable]
async fn misuse_polled_elsewhere(ctx: Context) -> u32 {
    let receiver = polled_elsewhere(ctx.run(note, 1));
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
    let is_refused = ctx.run("wait", async || (&mut *receiver.lock().await).await.unwrap_or(false)).await;
    u32::from(is_refused) + ctx.run(note, 2).await
}

#[tokio::test]
async fn a_step_that_is_awaited_by_a_spawned_task_does_not_run() {
    let world = World::default();
    let process = world.open().await;
    assert_eq!(process.runtime.start("r", misuse_polled_elsewhere, ()).await.unwrap().await.unwrap(), 3);
    assert_eq!(world.effects.keys(), ["r:note#2"], "the key of a step is claimed by its call");
}
