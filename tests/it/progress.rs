//! `StepContext::report` and `RunInfo::running`: what is under way, for those who look.

use durable_runtime::{Context, Failure, Limits, Payload, PayloadError, RunInfo, StepContext, durable};
use durable_tests::{Gates, World};

async fn copies(step: StepContext, files: u32) -> Result<u32, Failure> {
    let gates = step.dependency::<Gates>();
    gates.pass(&format!("begun {}", step.key())).await;
    step.report(&(1, files))?;
    let refused = step.report(&"x".repeat(500));
    assert!(matches!(refused, Err(PayloadError::TooLarge { .. })), "{refused:?}");
    gates.pass(&format!("reported {} {}", step.key(), step.attempt())).await;
    if step.attempt() == 1 { Err(Failure::new("the disk is full")) } else { Ok(files) }
}

#[durable]
async fn progress_of_two(ctx: Context) -> Result<u32, Failure> {
    let again = durable_runtime::Retry::fixed(std::time::Duration::ZERO).max_attempts(2);
    let (one, two) = tokio::try_join!(ctx.run(copies, 10), ctx.run(copies, 20).retry(again))?;
    Ok(one + two)
}

fn running(info: &RunInfo) -> Vec<(&str, u32, Option<String>)> {
    let running = info.running.iter();
    running.map(|step| (&*step.key, step.attempt, step.progress.as_ref().map(Payload::text))).collect()
}

#[tokio::test]
async fn what_is_under_way_is_shown_while_it_is() {
    let world = World { limits: Limits { payload_bytes: 300, ..Limits::default() }, ..World::default() };
    let process = world.open().await;
    let run = process.runtime.start("r", progress_of_two, ()).await.unwrap();
    let look = || async { process.runtime.get("r").await.unwrap().unwrap() };
    world.gates.arrived("begun copies", 1).await;
    world.gates.arrived("begun copies#2", 1).await;
    assert_eq!(running(&look().await), [("copies", 1, None), ("copies#2", 1, None)]);
    world.gates.open("begun copies#2");
    world.gates.arrived("reported copies#2 1", 1).await;
    let reported = ("copies#2", 1, Some("[1,20]".to_owned()));
    assert_eq!(running(&look().await), [("copies", 1, None), reported]);
    world.gates.open("reported copies#2 1");
    world.gates.arrived("reported copies#2 2", 1).await;
    let info = look().await;
    assert_eq!(running(&info)[1], ("copies#2", 2, Some("[1,20]".to_owned())), "the next attempt");
    assert_eq!(info.running[0].began_at, durable_runtime::Clock::now(&world.clock));
    for gate in ["begun copies", "reported copies 1"] {
        world.gates.open(gate);
    }
    assert!(run.await.unwrap().is_err());
    assert_eq!(running(&look().await), []);
}
