//! How the bodies of steps wake the code: through the driver.
//!
//! A body may be woken on any thread, at any time. The waker of the code that awaits it often belongs to a combinator
//! with a queue of its own, and if that were in the middle of a wake-up on another thread, it could miss the one that
//! tells it of a delivery: the next outcome would be delivered first. So bodies have wakers of ours, and the driver
//! passes their wake-ups on from its own task, before it polls the code (R2).

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The bodies of one run that were woken.
pub(crate) struct BodyWakes {
    woken: Mutex<Vec<Arc<BodyWaker>>>,
    driver: Waker,
}

impl BodyWakes {
    /// Whenever a body is woken, `driver` is, too; it is then to [forward](Self::forward).
    pub(crate) fn new(driver: Waker) -> Arc<Self> {
        Arc::new(Self { woken: Mutex::default(), driver })
    }

    /// A waker for the body of a step.
    pub(crate) fn waker(self: &Arc<Self>) -> Arc<BodyWaker> {
        Arc::new(BodyWaker { wakes: Arc::downgrade(self), is_woken: AtomicBool::new(false), code: Mutex::new(None) })
    }

    /// Whether nothing is to be forwarded.
    pub(crate) fn is_empty(&self) -> bool {
        self.woken.lock().is_empty()
    }

    /// Wakes the code that awaits the bodies that were woken.
    pub(crate) fn forward(&self) {
        let woken = std::mem::take(&mut *self.woken.lock());
        for body in woken {
            // A swap, which sees what a wake-up that came to nothing, since this one was on its way, was about.
            body.is_woken.swap(false, Ordering::AcqRel);
            let code = body.code.lock().take();
            code.into_iter().for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for BodyWakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWakes").finish_non_exhaustive()
    }
}

/// What the body of a step is woken by.
#[derive(Debug)]
pub(crate) struct BodyWaker {
    /// Weak, because a body can be woken when nobody forwards any more: the two would keep each other in memory.
    wakes: Weak<BodyWakes>,
    /// Whether it is among those to be forwarded.
    is_woken: AtomicBool,
    /// What awaits the step; nothing while that was woken, and has not polled the body since.
    code: Mutex<Option<Waker>>,
}

impl BodyWaker {
    /// The body is about to be polled, for the code that `waker` wakes.
    pub(crate) fn attend(&self, waker: &Waker) {
        match &mut *self.code.lock() {
            Some(present) => present.clone_from(waker),
            absent => *absent = Some(waker.clone()),
        }
    }

    /// Whether the code has polled the body since it was told of the last wake-up.
    pub(crate) fn is_attended(&self) -> bool {
        self.code.lock().is_some()
    }
}

impl Wake for BodyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel)
            && let Some(wakes) = self.wakes.upgrade()
        {
            wakes.woken.lock().push(Arc::clone(self));
            wakes.driver.wake_by_ref();
        }
    }
}
