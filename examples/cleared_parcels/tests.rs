//! Crash tests: of the function by itself, and of the queue. Time is virtual.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{self, Call, Fault, LossyStore, ManualClock};
use durable_runtime::{Clock as _, Runtime};

use crate::customs::Customs;
use crate::parcel::{clears, hand_in};
use crate::{dry, fresh, is_right, parcel};

const TEN_MS: Duration = Duration::from_millis(10);

async fn open(customs: &Customs, clock: &ManualClock, store: LossyStore) -> Runtime {
    crate::builder(customs).clock(clock.clone()).open_store(Arc::new(store)).await.expect("the store opens")
}

/// Lets everything go on that can.
async fn yield_often() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Fails where a broken program would wait for ever.
async fn patiently<T>(happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), happening).await.expect("it happens within a minute")
}

/// Time passes, and now and then customs answers.
async fn passes(clock: &ManualClock, customs: &Customs) -> Infallible {
    loop {
        clock.advance(5 * TEN_MS);
        yield_often().await;
        customs.answers();
    }
}

/// Hands in all parcels that are not yet, and waits until they are cleared.
async fn clears_all(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    for parcel in dry().chain(fresh()) {
        hand_in(runtime, &parcel).await?;
    }
    for parcel in dry().chain(fresh()) {
        runtime.attach(&parcel.number, clears).await?.await??;
    }
    Ok(())
}

#[test]
fn a_parcel_is_declared_once_wherever_the_process_dies() {
    let customs = || {
        let customs = Customs::default();
        customs.answers_at_once();
        customs
    };
    testing::explore(clears, parcel("dry-01".to_owned(), "Ada")).dependency_with(customs).check(|world| {
        assert_eq!(*world.output(), Ok(()));
        let books = world.dependency::<Customs>().books();
        assert_eq!((books.cleared.len(), books.owed["Ada"]), (1, 19));
    });
}

/// One commit after the other fails, and the process dies of it.
#[tokio::test]
async fn whichever_commit_fails_each_parcel_is_cleared_once_and_nobody_is_barred() {
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        for commit in 1.. {
            let (customs, clock, store) = (Customs::default(), ManualClock::default(), LossyStore::default());
            store.on(Call::Commit, commit, fault);
            let has_failed = || store.calls(Call::Commit) >= commit;
            let fails = async {
                while !has_failed() {
                    tokio::task::yield_now().await;
                }
            };
            let runtime = open(&customs, &clock, store.clone()).await;
            tokio::select! {
                never = passes(&clock, &customs) => match never {},
                () = fails => {}
                cleared = clears_all(&runtime) => assert!(cleared.is_ok() || has_failed(), "{cleared:?}"),
            }
            runtime.shutdown(Duration::ZERO).await;
            if !has_failed() {
                println!("{fault:?}: {commit} commits");
                break;
            }
            let runtime = open(&customs, &clock, store.reopen()).await;
            tokio::select! {
                never = passes(&clock, &customs) => match never {},
                cleared = patiently(clears_all(&runtime)) => assert!(cleared.is_ok(), "{fault:?} {commit}: {cleared:?}"),
            }
            assert!(is_right(&customs.books()), "{fault:?} {commit}: {:?}", customs.books());
        }
    }
}

#[tokio::test]
async fn what_is_fresh_is_next_of_each_importer_one_at_a_time_and_ten_milliseconds_apart() {
    let (customs, clock) = (Customs::default(), ManualClock::default());
    let runtime = open(&customs, &clock, LossyStore::default()).await;
    for parcel in dry().chain(fresh()) {
        hand_in(&runtime, &parcel).await.expect("it is handed in");
    }
    let mut calls = 0;
    yield_often().await;
    assert_eq!(customs.books().calls.len(), calls, "it is not time for the first one");
    let first = clock.now().after(TEN_MS);
    patiently(clock.asked_for(first)).await; // the queue is open, and knows of them
    clock.set(first);
    for group in [
        ["fresh-1", "fresh-2", "fresh-3"],
        ["dry-01", "dry-03", "dry-05"],
        ["dry-02", "dry-04", "dry-06"],
        ["dry-07", "dry-09", "dry-11"],
        ["dry-08", "dry-10", "dry-12"],
    ] {
        for _ in group {
            calls += 1;
            patiently(customs.called(calls)).await;
            yield_often().await;
            assert_eq!(customs.books().calls.len(), calls, "it is not time for another one");
            clock.advance(TEN_MS);
        }
        yield_often().await;
        assert_eq!(customs.books().calls.len(), calls, "there is no place for another one");
        let mut called = customs.books().calls.split_off(calls - group.len());
        called.sort();
        assert_eq!(called, group.map(|number| format!("{number}:declare")));
        customs.answers();
        for number in group {
            let cleared = runtime.attach(number, clears).await.expect("it was handed in");
            assert_eq!(cleared.await.expect("it ends"), Ok(()));
        }
    }
    assert!(is_right(&customs.books()));
}
