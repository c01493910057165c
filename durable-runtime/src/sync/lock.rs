//! The lock of a checker under the interface of `parking_lot`'s, and the waker that stands on it.

use std::fmt;
use std::sync::PoisonError;
use std::task::Waker;

#[cfg(durable_loom)]
use loom::sync as checker;
#[cfg(durable_shuttle)]
use shuttle::sync as checker;

/// Like `parking_lot::Mutex`: a panic does not poison it.
#[derive(Default)]
pub(crate) struct Mutex<T>(checker::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> checker::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// Promises what `futures::task::AtomicWaker` promises, and no more: a wake-up reaches the waker that was registered
/// before it, and a registration sees all that was done before the wake-ups that precede it.
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn register(&self, waker: &Waker) {
        let before = self.0.lock().replace(waker.clone());
        drop(before);
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().take();
        waker.into_iter().for_each(Waker::wake);
    }
}
