//! What `ctx.undo` takes.
#![deny(warnings, clippy::pedantic, missing_docs)]

use std::time::Duration;

use durable_runtime::{Context, DurableFunction, Failure, Retry, StepContext, StepStatus, durable};

use crate::run_and_inspect;

async fn by_value(number: u64, names: Vec<String>) -> usize {
    names.len() + usize::try_from(number).unwrap_or(usize::MAX)
}

async fn borrowed(text: &str, numbers: &[u64]) -> Result<usize, Failure> {
    Ok(text.len() + numbers.len())
}

async fn with_step(step: StepContext, text: &String) -> String {
    format!("{} {text}", step.key())
}

/// Plans something, as a part of its caller.
#[durable]
async fn helper(ctx: &Context, text: &str) {
    ctx.undo(borrowed, &*text, &[7]).named("of the helper");
}

/// Plans all there is.
#[durable]
pub async fn plans(ctx: Context, name: String, numbers: Vec<u64>) -> Result<(), Failure> {
    ctx.undo(by_value, 7, vec![name.clone()]);
    ctx.undo(borrowed, &name, &numbers).retry(Retry::fixed(Duration::from_secs(1))).timeout(Duration::from_secs(9));
    if numbers.len() > 1 {
        ctx.undo(with_step, &name).named("with the step");
    }
    let length = name.len();
    ctx.undo("inline", async move || length);
    ctx.undo("inline with its step", async |step: StepContext| step.key().to_owned());
    helper(&ctx, &name).await;
    Err(Failure::new("all of it is undone"))
}

/// Plans nothing.
#[durable]
pub async fn plans_nothing(ctx: Context) -> usize {
    ctx.run(by_value, 1, Vec::new()).await
}

#[tokio::test]
async fn all_spellings_are_run_the_last_one_first() {
    let (output, steps) = run_and_inspect(plans, ("ada".to_owned(), vec![1, 2])).await;
    assert_eq!(output.unwrap_err().to_string(), "all of it is undone");
    let told: Vec<_> = steps.iter().map(|step| (&*step.key, step.output.as_ref().expect("it ran").text())).collect();
    let expected = [
        ("by_value", "8"),
        ("borrowed", "{\"Ok\":5}"),
        ("with the step", "\"with the step ada\""),
        ("inline", "3"),
        ("inline with its step", "\"inline with its step\""),
        ("of the helper", "{\"Ok\":4}"),
    ];
    assert!(told.iter().map(|(key, output)| (*key, &**output)).eq(expected), "{told:?}");
    let ends = steps.iter().map(|step| step.updated_at);
    assert!(ends.rev().is_sorted(), "the last one first");
    assert!(steps.iter().all(|step| step.status == StepStatus::Completed));
}

#[test]
fn who_may_plan_is_known() {
    assert_eq!((plans::MAY_UNDO, plans_nothing::MAY_UNDO), (true, false));
}
