//! The integration tests: rules R1 to R14 through the public API.

use durable_runtime::{Context, Retry, Runtime, StepContext, durable};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static CALLS: AtomicU32 = AtomicU32::new(0);

async fn add(a: &u32, b: u32) -> u32 {
    CALLS.fetch_add(1, Ordering::SeqCst);
    tokio::task::yield_now().await;
    *a + b
}
async fn flaky(step: StepContext, name: &str) -> Result<String, String> {
    if step.attempt() < 3 {
        return Err(format!("no {}", step.attempt()));
    }
    Ok(format!("{name} {}", step.idempotency_key()))
}

#[durable]
async fn sums(ctx: Context, a: u32, name: String) -> Result<String, String> {
    let x = ctx.run(add, &a, 2).await;
    let (y, z) = tokio::join!(ctx.run(add, &x, 1), ctx.run("inline", async || { x + a }));
    let f = ctx.run(flaky, &name).retry(Retry::fixed(Duration::from_millis(1))).await?;
    let all = futures::future::join_all((0..5).map(|i| ctx.run(add, &y, i))).await;
    Ok(format!("{x} {y} {z} {f} {all:?}"))
}

#[tokio::test]
async fn smoke() {
    let runtime = Runtime::builder().in_memory().await.unwrap();
    let run = runtime.start("s1", sums, (1, "bob".into())).await.unwrap();
    assert_eq!(run.await.unwrap(), Ok("3 4 4 bob s1:flaky [4, 5, 6, 7, 8]".to_owned()));
    println!("{:#?}", runtime.get("s1").await.unwrap().unwrap());
    println!("{:#?}", runtime.stats());
    let again = runtime.start("s1", sums, (1, "bob".into())).await.unwrap();
    assert!(again.await.is_ok());
    println!("{}", runtime.start("s1", sums, (2, "bob".into())).await.unwrap_err());
    runtime.shutdown(Duration::from_secs(1)).await;
}
