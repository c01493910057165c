//! Steps that are written where they are run.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::{Context, StepContext, durable};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::{run, run_and_inspect};

async fn pause() {
    tokio::task::yield_now().await;
}

async fn by_name() -> usize {
    pause().await;
    1
}

async fn length(text: &str) -> usize {
    pause().await;
    text.len()
}

/// Borrows what is around it.
#[durable]
pub async fn borrowing(ctx: Context, name: String) -> Result<String, String> {
    let list = vec![1, 2, 3];
    let length = ctx
        .run("length", async || {
            pause().await;
            name.len() + list.len()
        })
        .await;
    ctx.run("a statement", async || pause().await).await;
    let checked = ctx
        .run("checked", async || {
            pause().await;
            if length > 100 { Err(format!("{name} is long")) } else { Ok(length) }
        })
        .named(format!("checked {length}"))
        .await?;
    let sum = ctx
        .run("sum", async || {
            let mut sum = 0;
            for number in &list {
                sum += number;
                pause().await;
            }
            sum
        })
        .await;
    Ok(format!("{name} {checked} {sum}"))
}

/// Takes the context of the step.
#[durable]
pub async fn with_step(ctx: Context, name: String) -> Vec<String> {
    let inferred = ctx.run("inferred", async |step| format!("{name} {}", step.attempt())).await;
    let typed = ctx.run("typed", async |step: StepContext| step.idempotency_key().to_owned()).await;
    let block = ctx.run("block", |step| async move { step.key().to_owned() }).await;
    let unused = ctx.run("unused", async |_| pause().await).await;
    let () = unused;
    vec![inferred, typed, block]
}

/// Every form of a body.
#[durable]
pub async fn forms(ctx: Context, start: usize) -> Vec<usize> {
    let returned = ctx.run("closure that returns a future", || async { start }).await;
    let called = ctx.run("function", by_name).await;
    let also = ctx.run("closure of a call", || length("a")).await;
    let owned = String::from("abc");
    let moved = ctx.run("moved", async move || owned.len()).await;
    let braces = ctx.run("braces", async || moved + 1).await;
    vec![returned, called, also, moved, braces]
}

/// Is started in a loop, each with values of its own.
#[durable]
pub async fn in_a_loop(ctx: Context, names: Vec<String>) -> Vec<usize> {
    let mut steps = FuturesUnordered::new();
    for (index, name) in names.iter().enumerate() {
        let owned = name.clone();
        steps.push(ctx.run("each", async move || {
            pause().await;
            owned.len() + index
        }));
    }
    let mut lengths = Vec::new();
    while let Some(length) = steps.next().await {
        lengths.push(length);
    }
    lengths.sort_unstable();
    lengths
}

#[tokio::test]
async fn inline_steps_borrow() {
    let (output, steps) = run_and_inspect(borrowing, "ada".to_owned()).await;
    assert_eq!(output.expect("it is short"), "ada 6 6");
    let keys: Vec<&str> = steps.iter().map(|step| step.key.as_str()).collect();
    assert_eq!(keys, ["length", "a statement", "checked 6", "sum"]);
}

#[tokio::test]
async fn inline_steps_get_their_step() {
    assert_eq!(run(with_step, "ada".to_owned()).await, ["ada 1", "run:typed", "block"]);
}

#[tokio::test]
async fn inline_steps_have_many_forms() {
    assert_eq!(run(forms, 7).await, [7, 1, 1, 3, 4]);
}

#[tokio::test]
async fn inline_steps_run_in_loops() {
    let names = ["a", "bb", "ccc"].map(str::to_owned).to_vec();
    assert_eq!(run(in_a_loop, names).await, [1, 3, 5]);
}
