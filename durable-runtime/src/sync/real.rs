//! What is used unless a checker is at work.

pub(crate) use std::sync::{atomic, mpsc};
pub(crate) use std::{thread, thread_local};

pub(crate) use futures::task::AtomicWaker;
pub(crate) use parking_lot::Mutex;
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::task::JoinError;
