//! What the integration tests share: a world in which processes live, die and are started again.

mod disk;
mod effects;
mod gates;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::store::MemoryStore;
pub use durable_runtime::testing::ManualClock;
use durable_runtime::{Limits, RunStatus, Runtime, RuntimeBuilder, Timestamp};

pub use disk::{Disk, Handle, Loss};
pub use effects::Effects;
pub use gates::Gates;
pub use journal::{Entry, Kind, contents, copy, frames, journal, patch, unsealed, write};

/// Lets everything else go on that can.
pub async fn yield_often() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// What outlives a process: its disk, the clock, and the outside world its steps have effects on.
#[derive(Debug, Default)]
pub struct World {
    /// What was made durable.
    pub disk: Disk,
    /// The time of all processes.
    pub clock: ManualClock,
    /// What the steps of all processes did.
    pub effects: Arc<Effects>,
    /// Where steps wait for the test.
    pub gates: Arc<Gates>,
    /// The limits of the processes opened from now on.
    pub limits: Limits,
}

impl World {
    /// A world with what was copied from the disk of another one.
    pub fn with(memory: MemoryStore) -> Self {
        Self { disk: Disk { memory }, ..Self::default() }
    }

    /// Starts a process on the disk; its unfinished runs go on.
    ///
    /// # Panics
    /// If the runtime can't be opened.
    pub async fn open(&self) -> Process {
        self.open_on(self.disk.open()).await
    }

    /// Starts a process whose disk fails after `commits` commits, in the way of `loss`.
    ///
    /// # Panics
    /// If the runtime can't be opened.
    pub async fn open_failing(&self, commits: usize, loss: Loss) -> Process {
        let handle = self.disk.open();
        handle.fail_after(commits, loss);
        self.open_on(handle).await
    }

    async fn open_on(&self, handle: Arc<Handle>) -> Process {
        let runtime = self.builder().open_store(handle.clone()).await.expect("the disk opens");
        Process { runtime, handle }
    }

    /// Waits until somebody has asked to be woken at `due`.
    ///
    /// # Panics
    /// If nobody does.
    pub async fn asked_for(&self, due: Timestamp) {
        patiently(due, self.clock.asked_for(due)).await;
    }

    /// A runtime's configuration with everything that this world has.
    pub fn builder(&self) -> RuntimeBuilder {
        Runtime::builder()
            .clock(self.clock.clone())
            .limits(self.limits)
            .shared_dependency(Arc::clone(&self.effects))
            .shared_dependency(Arc::clone(&self.gates))
    }
}

/// One process: a runtime and its hold on the disk.
#[derive(Debug)]
pub struct Process {
    /// The runtime.
    pub runtime: Runtime,
    /// Its disk.
    pub handle: Arc<Handle>,
}

impl Process {
    /// The process dies where it is: nothing more reaches the disk, running steps are gone.
    pub async fn crash(self) {
        self.handle.fail_after(0, Loss::Whole);
        self.runtime.shutdown(Duration::ZERO).await;
    }
}

/// Whether a test is left out because runs leave memory at every await (`DURABLE_SUSPEND=everywhere`), and it is about what
/// is different then. Says so.
pub fn is_left_out(why: &str) -> bool {
    let is_left_out = std::env::var_os("DURABLE_SUSPEND").is_some();
    if is_left_out {
        println!("left out while runs leave memory at every await: {why}");
    }
    is_left_out
}

/// Waits for what a test made happen; if it does not, the test fails instead of hanging.
///
/// # Panics
/// If it takes longer than any machine would need.
pub async fn patiently<T>(what: impl std::fmt::Debug, happening: impl IntoFuture<Output = T>) -> T {
    let patience = tokio::time::timeout(Duration::from_mins(1), happening.into_future());
    patience.await.unwrap_or_else(|_| panic!("waited in vain for {what:?}"))
}

/// Waits until the store says that the run is suspended.
///
/// # Panics
/// If it never is.
pub async fn suspended(runtime: &Runtime, run: &str) {
    let status = async || runtime.get(run).await.ok().flatten().map(|info| info.status);
    patiently("a suspended run", async {
        while status().await != Some(RunStatus::Suspended) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[cfg(doctest)]
#[doc = include_str!("../durable-macros/src/durable.md")]
mod attribute {}
