//! The one thread that writes: it takes everything that waits, commits it with one sync, and tells
//! every run what is durable now.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Counters;
use crate::id::Position;
use crate::panics::message_of;
use crate::store::{Append, Refused, Store, StoreError};
use crate::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{AtomicWaker, Mutex};

/// How many appends share one commit at the most; more wait for the next one.
const APPENDS_MAX: usize = 4_096;

/// How many bytes of frames share one commit at the most, give or take one append.
const BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// How long nothing must have happened before the store is tidied.
const IDLE: Duration = Duration::from_millis(50);

/// What became of an append.
#[derive(Debug, Clone)]
pub(crate) enum CommitError {
    /// The store failed; it is unknown whether the append will be found after reopening.
    Store(StoreError),
    /// The store refused this append; nothing of it was written.
    Refused(Refused),
    /// The runtime is gone.
    Closed,
}

/// Where a run learns what became of its appends. One append is under way at a time.
#[derive(Debug, Default)]
pub(crate) struct Link {
    answer: Mutex<Option<Result<Position, CommitError>>>,
    waker: AtomicWaker,
}

impl Link {
    /// The answer to the append under way, if it has come: the run's durable length.
    pub(crate) fn take(&self) -> Option<Result<Position, CommitError>> {
        self.answer.lock().take()
    }

    /// Whom to wake when the answer comes.
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Waits for the answer.
    pub(crate) async fn wait(&self) -> Result<Position, CommitError> {
        std::future::poll_fn(|task| {
            self.register(task.waker());
            self.take().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    pub(crate) fn answer(&self, answer: Result<Position, CommitError>) {
        *self.answer.lock() = Some(answer);
        self.waker.wake();
    }
}

/// Takes the appends of all runs, and answers each of them once.
pub(crate) trait Commits: fmt::Debug + Send + Sync {
    /// Queues an append; the answer comes through `link`. The queue holds at most one append per run.
    fn submit(&self, append: Append, link: &Arc<Link>);

    /// Queues the appends of several runs, to share one commit if it takes them all.
    fn submit_all(&self, appends: Vec<(Append, Arc<Link>)>) {
        for (append, link) in appends {
            self.submit(append, &link);
        }
    }

    /// Writes what is queued, and takes no more. Blocks.
    fn close(&self);
}

struct Submission {
    append: Append,
    link: Arc<Link>,
}

/// What is taken at once.
enum Submitted {
    One(Submission),
    Several(Vec<Submission>),
}

impl Submitted {
    fn refuse(self) {
        let refuse = |submission: Submission| submission.link.answer(Err(CommitError::Closed));
        match self {
            Self::One(submission) => refuse(submission),
            Self::Several(submissions) => submissions.into_iter().for_each(refuse),
        }
    }
}

/// Hands appends to the committer thread; dropping it ends the thread once all is written.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Mutex<Option<Sender<Submitted>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the thread.
    pub(crate) fn start(store: Arc<dyn Store>, counters: Counters) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("durable-committer".to_owned())
            .spawn(move || serve(&*store, &receiver, &counters))?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }
}

impl Committer {
    fn send(&self, submitted: Submitted) {
        let refused = match &*self.queue.lock() {
            Some(queue) => queue.send(submitted).err().map(|error| error.0),
            None => Some(submitted),
        };
        if let Some(submitted) = refused {
            submitted.refuse();
        }
    }
}

impl Commits for Committer {
    fn submit(&self, append: Append, link: &Arc<Link>) {
        self.send(Submitted::One(Submission { append, link: Arc::clone(link) }));
    }

    fn submit_all(&self, appends: Vec<(Append, Arc<Link>)>) {
        let submissions = appends.into_iter().map(|(append, link)| Submission { append, link });
        self.send(Submitted::Several(submissions.collect()));
    }

    fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was reported by the panic hook; its submissions were never acknowledged.
            drop(thread.join());
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.queue.lock().take());
    }
}

/// The store, as long as it keeps its promises.
struct Guarded<'a> {
    store: &'a dyn Store,
    /// A store that panicked is in nobody knows which state, and is not called again.
    broken: Option<StoreError>,
}

impl Guarded<'_> {
    fn commit(&mut self, appends: &[Append]) -> Result<Vec<Result<(), Refused>>, StoreError> {
        let answers = self.call(|store| store.commit(appends))?;
        if answers.len() == appends.len() {
            return Ok(answers);
        }
        // Whoever got no answer would wait for it forever.
        Err(self.fail(format!("the store gave {} answers to {} appends", answers.len(), appends.len())))
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.call(Store::tidy)
    }

    fn call<T>(&mut self, call: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        // A panic would end the thread, and with it every run that waits for an answer now or later.
        catch_unwind(AssertUnwindSafe(|| call(self.store)))
            .unwrap_or_else(|panic| Err(self.fail(format!("the store panicked: {}", message_of(&*panic)))))
    }

    fn fail(&mut self, first: String) -> StoreError {
        self.broken.insert(StoreError::Broken { first }).clone()
    }
}

fn serve(store: &dyn Store, queue: &Receiver<Submitted>, counters: &Counters) {
    let mut store = Guarded { store, broken: None };
    let mut untidy = true;
    let mut appends = Vec::new();
    let mut links = Vec::new();
    loop {
        let first = if untidy {
            match queue.recv_timeout(IDLE) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    untidy = match store.tidy() {
                        Ok(more) => more,
                        Err(error) => {
                            tracing::error!(%error, "tidying the store failed");
                            false
                        }
                    };
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match queue.recv() {
                Ok(first) => first,
                Err(mpsc::RecvError) => return,
            }
        };
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(submitted) = next {
            let mut take = |Submission { append, link }: Submission| {
                bytes += append.records.iter().map(|record| record.frame.len()).sum::<usize>();
                appends.push(append);
                links.push(link);
            };
            match submitted {
                Submitted::One(submission) => take(submission),
                Submitted::Several(submissions) => submissions.into_iter().for_each(take),
            }
            next = if appends.len() < APPENDS_MAX && bytes < BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        counters.committed(appends.len());
        fail_point!("committer.commit.taken");
        match store.commit(&appends) {
            Ok(answers) => {
                fail_point!("committer.commit.durable");
                for ((append, link), answer) in appends.drain(..).zip(links.drain(..)).zip(answers) {
                    let length = append.length_after();
                    link.answer(answer.map(|()| length).map_err(CommitError::Refused));
                }
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                appends.clear();
                for link in links.drain(..) {
                    link.answer(Err(CommitError::Store(error.clone())));
                }
            }
        }
        fail_point!("committer.commit.answered");
        untidy = true;
    }
}
