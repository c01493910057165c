//! The fail points of store and engine, and how a test makes something happen at one.

/// The names of all fail points, in the order of `docs/fail-points.md`, which says what a process that dies at each
/// leaves behind.
///
/// ```
/// use durable_runtime::testing::FAIL_POINTS;
/// assert!(FAIL_POINTS.contains(&"step.outcome.unrecorded"));
/// ```
pub const FAIL_POINTS: &[&str] = &[
    "store.create.folder_made",
    "store.create.side_made",
    "store.create.side_written",
    "store.create.side_synced",
    "store.create.side_renamed",
    "store.create.side_durable",
    "store.create.begun_anew",
    "store.first_commit.unwritten",
    "store.first_commit.written",
    "store.first_commit.synced",
    "store.open.locked",
    "store.sled.unopened",
    "store.sled.snapshot_removed",
    "store.sled.opened",
    "store.sled.files_synced",
    "store.open.loaded",
    "store.open.folder_synced",
    "store.side.unwritten",
    "store.side.written",
    "store.side.synced",
    "store.generation.removed",
    "store.open.done",
    "store.commit.unwritten",
    "store.commit.written",
    "store.sled.flushed",
    "store.commit.synced",
    "store.chores.unwritten",
    "store.chores.written",
    "store.tidy.unwritten",
    "store.tidy.synced",
    "store.delete.unwritten",
    "store.delete.synced",
    "store.compact.tidied",
    "store.compact.folder_made",
    "store.compact.settled_copied",
    "store.compact.unsettled_copied",
    "store.compact.closed",
    "store.compact.copied",
    "store.compact.switched",
    "store.compact.replaced",
    "store.compact.removed",
    "store.close.begun",
    "store.close.side_written",
    "committer.commit.taken",
    "committer.commit.durable",
    "committer.commit.answered",
    "run.start.unsubmitted",
    "run.start.durable",
    "run.code.unpolled",
    "run.append.acknowledged",
    "run.finish.appended",
    "run.finish.durable",
    "run.halt.appended",
    "run.halt.durable",
    "run.continue.unwritten",
    "run.continue.durable",
    "run.stop.dropped",
    "run.leave.untold",
    "run.delete.done",
    "step.begin.recorded",
    "step.body.unbegun",
    "step.outcome.unrecorded",
    "step.attempt.recorded",
    "step.outcome.recorded",
    "step.outcome.delivered",
    "recovery.run.found",
    "recovery.store.scanned",
    "recovery.mark.unwritten",
    "recovery.mark.appended",
    "recovery.resume.unsubmitted",
    "recovery.resume.durable",
    "incoming.append.unsubmitted",
    "incoming.append.durable",
    "sleepers.wake.unwritten",
    "sleepers.wake.durable",
    "shutdown.runs.left",
    "shutdown.committer.ended",
    "shutdown.store.closed",
];

/// From now on, calls `reached` whenever this process comes to the fail point, in the thread that comes there; instead
/// of what was to be called there before.
///
/// It may be called with locks of store and engine held, and at the same time by several threads: it can count, note,
/// and end the process, but must not call the runtime.
///
/// # Panics
/// If there is no fail point of that name.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use durable_runtime::{Context, Runtime, durable, testing};
///
/// async fn greet() -> String {
///     "hello".to_owned()
/// }
///
/// #[durable]
/// async fn greet_and_count(ctx: Context) -> String {
///     ctx.run(greet).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ended = Arc::new(AtomicU32::new(0));
/// let count = Arc::clone(&ended);
/// testing::on_fail_point("step.outcome.unrecorded", move || {
///     count.fetch_add(1, Ordering::Relaxed);
/// });
/// let runtime = Runtime::builder().in_memory().await?;
/// runtime.start("g-1", greet_and_count, ()).await?.await?;
/// assert!(ended.load(Ordering::Relaxed) >= 1);
/// # Ok(())
/// # }
/// ```
pub fn on_fail_point(name: &str, reached: impl Fn() + Send + Sync + 'static) {
    assert!(FAIL_POINTS.contains(&name), "there is no fail point {name:?}: see FAIL_POINTS");
    if let Err(error) = ::fail::cfg_callback(name, reached) {
        panic!("the fail point {name} was not set: {error}");
    }
}
