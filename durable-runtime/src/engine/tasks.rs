//! Where the engine's work is done: tasks of tokio, and its threads for what blocks.

use crate::sync::{Handle, JoinError};

/// Starts the engine's tasks.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    handle: Handle,
    blocking: Blocking,
}

/// Where calls that may block are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocking {
    OnThreads,
    /// Where they are awaited: nothing then depends on how threads take turns.
    #[cfg(feature = "testing")]
    InPlace,
}

impl Tasks {
    /// In this tokio runtime.
    pub(crate) fn of(handle: Handle) -> Self {
        Self { handle, blocking: Blocking::OnThreads }
    }

    /// In this tokio runtime, and without a thread: for a store in memory, which does not block.
    #[cfg(feature = "testing")]
    pub(crate) fn in_place(handle: Handle) -> Self {
        Self { handle, blocking: Blocking::InPlace }
    }

    /// Starts a task that nobody waits for.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Does something in a task of its own, to its end also if the caller stops waiting for it.
    ///
    /// # Errors
    /// It panicked, or the tokio runtime ended.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.handle.spawn(work).await
    }

    /// Calls what may block.
    ///
    /// # Errors
    /// It panicked, or the tokio runtime ended.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self.blocking {
            Blocking::OnThreads => self.handle.spawn_blocking(call).await,
            #[cfg(feature = "testing")]
            Blocking::InPlace => Ok(call()),
        }
    }
}
