//! What lists cost: `cargo bench -p durable-runtime --bench list`. `DURABLE_BENCH_RUNS=<number>` for more or fewer runs.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::time::{Duration, Instant};

use durable_runtime::{Context, Durability, LIST_MAX, Retention, RunFilter, Runtime, durable};

type Error = Box<dyn std::error::Error>;

/// So many steps are in a journal, so that one has 25 records.
const STEPS: u32 = 23;

#[durable]
async fn lists_bench(ctx: Context) -> u32 {
    let mut sum = 0;
    for step in 0..STEPS {
        sum += ctx.run("add", async || step).await;
    }
    sum
}

async fn filtered(runtime: &Runtime, filter: &RunFilter) -> Result<(usize, usize), Error> {
    let (mut found, mut calls, mut after) = (0, 0, None);
    loop {
        let page = runtime.list(filter, after.as_ref(), LIST_MAX).await?;
        (found, calls, after) = (found + page.runs.len(), calls + 1, page.next);
        if after.is_none() {
            return Ok((found, calls));
        }
    }
}

async fn measure(runtime: &Runtime, what: &str, filter: &RunFilter) -> Result<(), Error> {
    let began = Instant::now();
    let (found, calls) = filtered(runtime, filter).await?;
    println!("{what:<44} {found:>7} found {calls:>4} calls {:>9.1?}", began.elapsed());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let runs: u32 = std::env::var("DURABLE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(10_000);
    let folder = tempfile::tempdir()?;
    let open = || Runtime::builder().durability(Durability::Buffered).open(folder.path().join("runs.durable"));
    let runtime = open().await?;
    for first in (0..runs).step_by(500) {
        let mut started = Vec::new();
        for number in first..runs.min(first + 500) {
            let tag = (number % 100).to_string();
            started.push(runtime.start(format!("run_{number:07}"), lists_bench, ()).tag("hundredth", tag).await?);
        }
        for run in started {
            run.await?;
        }
    }
    runtime.shutdown(Duration::from_mins(1)).await;
    let runtime = open().await?;
    println!("{runs} runs that have ended, {} records each", STEPS + 2);
    for _ in 0..2 {
        measure(&runtime, "all, page by page", &RunFilter::new()).await?;
    }
    measure(&runtime, "one tag of a hundred", &RunFilter::new().tag("hundredth", "7")).await?;
    measure(&runtime, "a prefix with a hundred runs", &RunFilter::new().id_prefix("run_00012")).await?;
    let began = Instant::now();
    let (mut after, mut read) = (None, 0);
    loop {
        let page = runtime.list(&RunFilter::new(), after.as_ref(), LIST_MAX).await?;
        for run in page.runs {
            let info = runtime.get(&run.id).await?;
            read += usize::from(info.is_some_and(|info| info.steps.len() == STEPS as usize));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    println!("{:<44} {read:>7} read             {:>9.1?}", "each, with its whole journal", began.elapsed());
    let began = Instant::now();
    let deleted = runtime.prune(Retention::new().completed(Duration::ZERO)).await?;
    println!("{:<44} {deleted:>7} deleted          {:>9.1?}", "pruned", began.elapsed());
    Ok(())
}
