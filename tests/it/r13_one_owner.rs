//! R13: one process per folder. Also the other rules, once, on the store that applications use.

use std::time::Duration;

use durable_runtime::store::StoreError;
use durable_runtime::{Context, OpenError, RunFilter, RunStatus, Runtime, durable};
use durable_tests::World;

use crate::steps::{gated, note};

#[durable]
async fn owned(ctx: Context, value: u32) -> u32 {
    let first = ctx.run(note, value).await;
    first + ctx.run(gated, 10).await
}

#[tokio::test]
async fn a_second_opener_is_told_which_folder_is_taken() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("orders.durable");
    let first = Runtime::open(&folder).await.unwrap();
    let error = Runtime::open(&folder).await.unwrap_err();
    assert!(matches!(&error, OpenError::Store(StoreError::Locked { folder: taken }) if *taken == folder), "{error:?}");
    assert!(error.to_string().contains("orders.durable"), "{error}");
    assert_eq!(first.shutdown(Duration::from_secs(5)).await.interrupted, 0);
    Runtime::open(&folder).await.unwrap().shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused_and_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("holiday.jpg");
    std::fs::write(&file, b"not a journal").unwrap();
    let error = Runtime::open(temporary.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::NotAStore { .. })), "{error:?}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1, "something was written");
    assert_eq!(std::fs::read(file).unwrap(), b"not a journal");
}

#[tokio::test]
async fn runs_in_a_folder_go_on_after_a_restart() {
    let temporary = tempfile::tempdir().unwrap();
    let world = World::default();
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    for value in 0..20 {
        runtime.start(format!("r{value}"), owned, value).await.unwrap().id();
    }
    world.gates.arrived("gated", 20).await;
    assert_eq!(runtime.shutdown(Duration::ZERO).await.interrupted, 20);
    world.gates.open("gated");
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    assert_eq!(runtime.recovery().resumed, 20);
    for value in 0..20 {
        assert_eq!(runtime.attach(format!("r{value}"), owned).await.unwrap().await.unwrap(), value + 10);
        assert_eq!(world.effects.count(&format!("r{value}:note")), 1);
    }
    runtime.shutdown(Duration::from_secs(5)).await;
    let runtime = world.builder().open(temporary.path()).await.unwrap();
    assert_eq!(runtime.recovery().resumed, 0);
    assert_eq!(runtime.start("r7", owned, 7).await.unwrap().await.unwrap(), 17);
    assert_eq!(runtime.list(&RunFilter::new().status(RunStatus::Completed), None, 100).await.unwrap().runs.len(), 20);
    assert!(runtime.delete("r7").await.unwrap());
    runtime.compact().await.unwrap();
    runtime.shutdown(Duration::from_secs(5)).await;
}

#[test]
fn a_runtime_outside_of_tokio_is_an_error() {
    let opening = Box::pin(Runtime::builder().in_memory());
    let opened = futures::executor::block_on(opening);
    assert!(matches!(opened, Err(OpenError::NoTokio)), "{opened:?}");
}
