//! The writer of a simulated process: commits in virtual time, and dies where it is told to.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::mishap::{Crash, Mishap, StoreFailure};
use super::play::journal;
use super::stage::Stage;
use crate::engine::{CommitError, Commits, Link};
use crate::journal::Journal;
use crate::store::{Append, Store as _};
use crate::testing::{Call, Fault, LossyStore};

type Submission = (Append, Arc<Link>);

/// Hands appends to a task that writes them, as the committer does to its thread.
pub(super) struct Disk {
    queue: Mutex<Option<UnboundedSender<Submission>>>,
}

impl Disk {
    /// Starts the task, in the present tokio runtime.
    pub(super) fn start(stage: Arc<Stage>, store: LossyStore) -> Arc<Self> {
        let (sender, receiver) = unbounded_channel();
        tokio::runtime::Handle::current().spawn(write(stage, store, receiver));
        Arc::new(Self { queue: Mutex::new(Some(sender)) })
    }
}

impl Commits for Disk {
    fn submit(&self, append: Append, link: &Arc<Link>) {
        let submission = (append, Arc::clone(link));
        let refused = match &*self.queue.lock() {
            Some(queue) => queue.send(submission).err().map(|error| error.0),
            None => Some(submission),
        };
        if let Some((_, link)) = refused {
            link.answer(Err(CommitError::Closed));
        }
    }

    fn close(&self) {
        drop(self.queue.lock().take());
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

async fn write(stage: Arc<Stage>, store: LossyStore, mut queue: UnboundedReceiver<Submission>) {
    let mut has_failed = false;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = queue.try_recv() {
            batch.push(next);
        }
        let (appends, links): (Vec<Append>, Vec<Arc<Link>>) = batch.into_iter().unzip();
        tokio::time::sleep(stage.writing_takes()).await;
        let mishap = stage.writes(&appends);
        let crash = if let Some(Mishap::Crash(crash)) = mishap { Some(crash) } else { None };
        if crash == Some(Crash::BeforeWrite) {
            stage.die_writing(Crash::BeforeWrite, &appends);
        }
        if stage.is_over() {
            return std::future::pending().await;
        }
        let fault = match mishap {
            Some(Mishap::Crash(Crash::Unsynced)) => Some(Fault::SkipSync),
            Some(Mishap::StoreFails(StoreFailure::Before)) => Some(Fault::FailBefore),
            Some(Mishap::StoreFails(StoreFailure::After)) => Some(Fault::FailAfter),
            Some(Mishap::Crash(_) | Mishap::AttemptFails | Mishap::ClockJumps(_)) | None => None,
        };
        if let Some(fault) = fault {
            store.on(Call::Commit, store.calls(Call::Commit) + 1, fault);
        }
        let before = |append: &Append| append.replaces.then(|| journal(&store, &append.run));
        let before: Vec<Option<Journal>> = appends.iter().map(before).collect();
        let committed = store.commit(&appends);
        match &committed {
            Ok(_) if fault == Some(Fault::SkipSync) => {}
            Ok(answers) => {
                let there = appends.iter().zip(before).zip(answers).filter(|(_, answer)| answer.is_ok());
                let (there, before): (Vec<Append>, Vec<_>) =
                    there.map(|((append, before), _)| (append.clone(), before)).unzip();
                stage.committed(&there, before.into_iter().flatten().collect());
            }
            Err(_) if fault == Some(Fault::FailAfter) && !has_failed => {
                stage.committed(&appends, before.into_iter().flatten().collect());
            }
            Err(_) => {}
        }
        has_failed |= committed.is_err();
        if let Some(crash) = crash.filter(|crash| *crash != Crash::Acknowledged) {
            stage.die_writing(crash, &appends);
            return std::future::pending().await;
        }
        match committed {
            Ok(answers) => {
                for ((append, link), answer) in appends.iter().zip(links).zip(answers) {
                    let length = append.length_after();
                    link.answer(answer.map(|()| length).map_err(CommitError::Refused));
                }
            }
            Err(error) => {
                stage.note(format_args!("the store fails: {error}"));
                stage.store_has_failed();
                for link in links {
                    link.answer(Err(CommitError::Store(error.clone())));
                }
            }
        }
        if crash.is_some() {
            stage.die_writing(Crash::Acknowledged, &appends);
        }
    }
}
