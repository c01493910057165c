//! What others tell the driver of a run.

use std::sync::Arc;
use std::task::Wake as _;

use super::execution::RunWaker;
use super::incoming::Message;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, Ordering};

/// How a driver is told to stop.
#[derive(Debug)]
pub(crate) struct Control {
    request: AtomicU8,
    /// What the run did not come to yet. `None` when it has ended.
    inbox: Mutex<Option<Vec<Message>>>,
    pub(crate) waker: Arc<RunWaker>,
}

impl Default for Control {
    fn default() -> Self {
        Self { request: AtomicU8::default(), inbox: Mutex::new(Some(Vec::new())), waker: Arc::default() }
    }
}

impl Control {
    /// Begin no further step, and stop when none is running.
    pub(crate) fn drain(&self) {
        self.request.fetch_max(1, Ordering::AcqRel);
        self.waker.wake_by_ref();
    }

    /// Stop at once.
    pub(crate) fn stop(&self) {
        self.request.fetch_max(2, Ordering::AcqRel);
        self.waker.wake_by_ref();
    }

    /// Gives the run what somebody has sent. `false` if it has ended.
    pub(super) fn send(&self, message: Message) -> bool {
        let is_open = self.inbox.lock().as_mut().map(|inbox| inbox.push(message)).is_some();
        self.waker.wake_by_ref();
        is_open
    }

    /// What was sent to the run since it was last asked.
    pub(super) fn take_messages(&self) -> Vec<Message> {
        self.inbox.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The run has ended, and takes nothing more; who has sent something asks again.
    pub(super) fn wind_up(&self) {
        drop(self.inbox.lock().take());
    }

    pub(super) fn requested(&self) -> Requested {
        match self.request.load(Ordering::Acquire) {
            0 => Requested::Nothing,
            1 => Requested::Drain,
            _ => Requested::Stop,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requested {
    Nothing,
    Drain,
    Stop,
}
