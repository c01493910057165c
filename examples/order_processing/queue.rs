//! The confirmation queue: a message is in it at least once, and its key tells the mailer that it has seen it before.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::append_log::AppendLog;
use crate::errors::OrderError;
use crate::orders::Cents;

/// A mail to be sent. Two messages with the same key are the same mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub key: String,
    pub order_id: String,
    pub user_id: String,
    pub total: Cents,
}

/// The sending end of the queue.
#[derive(Debug, Clone)]
pub struct ConfirmationQueue {
    log: Arc<AppendLog<Confirmation>>,
    latency: Duration,
}

impl ConfirmationQueue {
    /// It acknowledges a message after `latency`: whoever crashes until then doesn't know that it was queued.
    pub fn open(path: &Path, latency: Duration) -> io::Result<Self> {
        let (log, _) = AppendLog::open(path)?;
        Ok(Self { log: Arc::new(log), latency })
    }

    /// Puts a message into the queue, whether or not it is there already.
    pub async fn send(&self, confirmation: Confirmation) -> Result<(), OrderError> {
        let log = Arc::clone(&self.log);
        let sent = spawn_blocking(move || log.append(&confirmation)).await.map_err(io::Error::other).flatten();
        tokio::time::sleep(self.latency).await;
        sent.map_err(|error| OrderError::Queue { reason: error.to_string() })
    }
}
