use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use shuttle::rand::Rng as _;
use shuttle::thread;

use super::shuttled::{Fault, FaultyStore, interleave};
use crate::engine::Counters;
use crate::engine::committer::{CommitError, Commits as _, Committer, Link};
use crate::id::{Fence, Position, RunId};
use crate::store::{Append, MemoryStore, Record, RunStatus, Store as _};

fn run(name: &str) -> RunId {
    RunId::new(name).expect("a valid id")
}

fn append(name: &str, position: u64) -> Append {
    Append {
        run: run(name),
        expected: Position(position),
        fence: Fence(1),
        records: vec![Record { frame: vec![0], due: None }],
        replaces: false,
        clears: Vec::new(),
        status: RunStatus::Running,
    }
}

fn started(fault: Fault) -> (Arc<FaultyStore>, Arc<Committer>) {
    let store = Arc::new(FaultyStore::new(MemoryStore::default(), fault));
    let committer = Committer::start(Arc::clone(&store) as Arc<_>, Counters::default()).expect("a thread");
    (store, Arc::new(committer))
}

fn length(store: &FaultyStore, name: &str) -> u64 {
    store.runs.head(&run(name)).expect("a store in memory").map_or(0, |head| head.length.0)
}

/// Appends like a driver: the next one when the last one was answered, to the first error. How many were acknowledged,
/// and the error.
async fn append_until_refused(committer: &Committer, name: &str, count: u64) -> (u64, Option<CommitError>) {
    let link = Arc::<Link>::default();
    for position in 0..count {
        committer.submit(append(name, position), &link);
        let answer = link.wait().await;
        assert!(link.take().is_none(), "one answer");
        match answer {
            Ok(durable) => assert_eq!(durable, Position(position + 1)),
            Err(error) => return (position, Some(error)),
        }
    }
    (count, None)
}

#[test]
fn every_append_is_answered_once_whenever_the_committer_is_closed() {
    interleave(|| {
        let (store, committer) = started(Fault::None);
        let appenders = ["a", "b"].map(|name| {
            let committer = Arc::clone(&committer);
            (name, spawn(async move { append_until_refused(&committer, name, 3).await }))
        });
        let closer = thread::spawn(move || committer.close());
        for (name, appender) in appenders {
            let (acknowledged, error) = block_on(appender).expect("an appender");
            assert!(matches!(error, None | Some(CommitError::Closed)), "{error:?}");
            assert_eq!(length(&store, name), acknowledged, "what is refused as closed was not written");
        }
        closer.join().expect("closed");
    });
}

#[test]
fn what_was_queued_before_the_close_is_written_when_it_returns() {
    interleave(|| {
        let (store, committer) = started(Fault::None);
        let links = [0, 1, 2].map(|position| {
            let link = Arc::<Link>::default();
            committer.submit(append("a", position), &link);
            link
        });
        // Two at once: neither returns before all is written.
        let closers = [Arc::clone(&committer), committer].map(|committer| thread::spawn(move || committer.close()));
        for closer in closers {
            closer.join().expect("closed");
            assert_eq!(length(&store, "a"), 3);
        }
        for (link, position) in links.iter().zip(1..) {
            // In order, or the store would have refused one.
            assert!(matches!(link.take(), Some(Ok(Position(durable))) if durable == position));
        }
    });
}

#[test]
fn what_was_queued_before_the_committer_is_dropped_is_answered() {
    interleave(|| {
        let (store, committer) = started(Fault::None);
        let links = ["a", "b"].map(|name| {
            let link = Arc::<Link>::default();
            committer.submit(append(name, 0), &link);
            (name, link)
        });
        drop(committer);
        for (name, link) in links {
            assert!(matches!(block_on(link.wait()), Ok(Position(1))));
            assert_eq!(length(&store, name), 1);
        }
    });
}

#[test]
fn a_store_that_panics_leaves_nobody_without_an_answer() {
    interleave(|| {
        let (store, committer) = started(Fault::Panic(shuttle::rand::thread_rng().gen_range(0..4)));
        let appenders = ["a", "b"].map(|name| {
            let committer = Arc::clone(&committer);
            (name, spawn(async move { append_until_refused(&committer, name, 3).await }))
        });
        let mut failed = 0;
        for (name, appender) in appenders {
            let (acknowledged, error) = block_on(appender).expect("an appender");
            assert!(matches!(error, None | Some(CommitError::Store(_))), "{error:?}");
            failed += usize::from(error.is_some());
            assert_eq!(length(&store, name), acknowledged);
        }
        let (acknowledged, error) = block_on(append_until_refused(&committer, "c", 6));
        assert!(matches!(error, Some(CommitError::Store(_))), "the fault is behind us: {error:?}");
        assert!(failed == 0 || acknowledged == 0, "a store that panicked is not called again");
        committer.close();
    });
}

#[test]
fn a_commit_that_fails_is_answered_and_the_next_one_is_written() {
    interleave(|| {
        let (store, committer) = started(Fault::Error(0));
        let appenders = ["a", "b"].map(|name| {
            let committer = Arc::clone(&committer);
            (name, spawn(async move { append_until_refused(&committer, name, 2).await }))
        });
        let mut failed = 0;
        for (name, appender) in appenders {
            let (acknowledged, error) = block_on(appender).expect("an appender");
            assert!(matches!(error, None | Some(CommitError::Store(_))), "{error:?}");
            failed += usize::from(error.is_some());
            assert_eq!(length(&store, name), acknowledged);
        }
        assert!(failed > 0);
        assert_eq!(block_on(append_until_refused(&committer, "c", 1)).0, 1);
        committer.close();
    });
}
