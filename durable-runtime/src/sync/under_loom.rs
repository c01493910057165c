//! loom has a model of the atomics and of the lock. What it has none of is not used in its tests.

pub(crate) use std::sync::mpsc;
pub(crate) use std::{thread, thread_local};

pub(crate) use loom::sync::atomic;
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::task::JoinError;
