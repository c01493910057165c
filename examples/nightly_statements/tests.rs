//! Crash tests: of the function by itself, and of its schedule. Time is virtual: nights take as long as microseconds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{self, Call, Fault, LossyStore, ManualClock};
use durable_runtime::{Clock as _, Runtime};

use crate::account::Account;
use crate::statement::states;
use crate::{DAY, THURSDAY, nights_after};

fn account() -> Account {
    let account = Account::default();
    for day in 0..5 {
        account.pay_in(THURSDAY.after(day * DAY), 1_000);
    }
    account
}

async fn open(account: &Account, clock: &ManualClock, store: LossyStore) -> Runtime {
    let builder = crate::builder(account, clock).expect("there are such nights");
    builder.open_store(Arc::new(store)).await.expect("the store opens")
}

/// Hours pass, and in each everything goes on that can.
async fn passes(clock: &ManualClock) -> Infallible {
    loop {
        clock.advance(Duration::from_hours(1));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_statement_is_sent_once_wherever_the_process_dies() {
    testing::explore(states, THURSDAY.after(DAY)).dependency_with(account).check(|world| {
        assert_eq!(world.output().cents, 2_000);
        assert_eq!(world.dependency::<Account>().statements(), [*world.output()]);
    });
}

/// One commit after the other fails, and the process dies of it.
#[tokio::test]
async fn whichever_commit_fails_each_night_has_one_statement() {
    let nights = nights_after(THURSDAY, 5).expect("there are such nights");
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        for commit in 1.. {
            let (account, clock, store) = (account(), ManualClock::starting_at(THURSDAY), LossyStore::default());
            store.on(Call::Commit, commit, fault);
            let has_failed = || store.calls(Call::Commit) >= commit;
            let fails = async {
                while !has_failed() {
                    tokio::task::yield_now().await;
                }
            };
            let runtime = open(&account, &clock, store.clone()).await;
            let known_and_passes = async {
                clock.asked_for(nights[0]).await; // a schedule begins when it is recorded
                passes(&clock).await
            };
            tokio::select! {
                never = known_and_passes => match never {},
                () = fails => {}
                () = account.sent(&nights) => {}
            }
            let has_failed = has_failed();
            runtime.shutdown(Duration::ZERO).await;
            if !has_failed {
                println!("{fault:?}: {commit} commits");
                break;
            }
            let clock = ManualClock::starting_at(clock.now());
            let runtime = open(&account, &clock, store.reopen()).await;
            let sent = tokio::time::timeout(Duration::from_mins(1), account.sent(&nights));
            tokio::select! {
                never = passes(&clock) => match never {},
                sent = sent => sent.expect("all are sent within a minute"),
            }
            runtime.shutdown(Duration::ZERO).await;
            // By now, the first of the next nights may be over too.
            let statements = account.statements();
            let stated: Vec<_> = nights.iter().map(|night| account.statement(*night)).collect();
            assert_eq!(statements[..nights.len()], stated, "{fault:?} {commit}");
        }
    }
}
