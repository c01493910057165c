//! shuttle has a model of threads, tasks and channels. tokio's own locks and channels are one step each to it.

use std::convert::Infallible;

pub(crate) use shuttle::future::{JoinError, JoinHandle};
pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::{thread, thread_local};

/// Like the handle of a tokio runtime.
#[derive(Debug, Clone)]
pub(crate) struct Handle;

impl Handle {
    pub(crate) fn try_current() -> Result<Self, Infallible> {
        Ok(Self)
    }

    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        shuttle::future::spawn(work)
    }

    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        shuttle::future::spawn(async move { work() })
    }
}

/// shuttle's channel, on which a time-out may happen whenever nothing is there.
pub(crate) mod mpsc {
    use std::time::Duration;

    use shuttle::rand::Rng as _;
    use shuttle::sync::mpsc::TryRecvError;
    pub(crate) use shuttle::sync::mpsc::{RecvError, RecvTimeoutError, Sender};

    pub(crate) struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = shuttle::sync::mpsc::channel();
        (sender, Receiver(receiver))
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            self.0.recv()
        }

        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            self.0.try_recv()
        }

        pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
            if shuttle::rand::thread_rng().gen_bool(0.5) {
                return self.0.recv_timeout(timeout);
            }
            self.0.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        }
    }
}
