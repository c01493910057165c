//! Crash tests: the function as it is, and what the explorer says of a step that is wrong.

use std::path::Path;
use std::time::Duration;

use durable_runtime::testing::{self, Crash, World};

use crate::ledger::{Ledger, LedgerError};
use crate::transfer::{Banks, Moved, Transfer, transfer_money};

/// The real ledgers, in memory: each world begins with new ones.
fn banks() -> Banks {
    let bank = || Ledger::open(Path::new(":memory:"), Duration::from_millis(5)).expect("SQLite in memory");
    let banks = Banks { north: bank(), south: bank() };
    banks.north.open_account("alice", 1_000).expect("a new account");
    banks.south.open_account("bob", 0).expect("a new account");
    banks.south.open_account("carol", 0).expect("a new account");
    banks.south.close_account("carol").expect("an account");
    banks
}

fn transfer(to: &str, cents: i64) -> Transfer {
    Transfer { from: "alice".to_owned(), to: to.to_owned(), cents }
}

/// What is in the accounts of alice and bob. No money was made or lost.
fn balances(world: &World<Moved>) -> (i64, i64) {
    let banks = world.dependency::<Banks>();
    let (north, south) = (banks.north.total().expect("books"), banks.south.total().expect("books"));
    assert_eq!(north + south, 1_000, "the money in all accounts");
    (banks.north.balance("alice").expect("books"), banks.south.balance("bob").expect("books"))
}

#[test]
fn money_arrives_once() {
    testing::explore(transfer_money, transfer("bob", 250)).dependency_with(banks).check(|world| {
        assert_eq!(*world.output(), Moved::All);
        assert_eq!(balances(world), (750, 250));
    });
}

#[test]
fn a_debit_is_given_back_once_when_the_credit_is_refused() {
    testing::explore(transfer_money, transfer("carol", 250)).dependency_with(banks).check(|world| {
        assert_eq!(*world.output(), Moved::Nothing { why: LedgerError::Closed });
        assert_eq!(balances(world), (1_000, 0));
    });
}

#[test]
fn a_debit_that_is_refused_is_not_given_back() {
    testing::explore(transfer_money, transfer("bob", 1_001)).dependency_with(banks).check(|world| {
        assert_eq!(*world.output(), Moved::Nothing { why: LedgerError::InsufficientFunds });
        assert_eq!(balances(world), (1_000, 0));
    });
}

/// One crash, at one place: the demonstration of `main.rs`, in virtual time.
#[test]
fn a_credit_whose_record_was_lost_is_success() {
    let world = testing::explore(transfer_money, transfer("bob", 250))
        .dependency_with(banks)
        .crash(Crash::AfterEffect, "credit")
        .run();
    assert_eq!((world.lives(), world.executions("debit"), world.executions("credit")), (2, 1, 2));
    assert_eq!(balances(&world), (750, 250));
}

/// A step that takes `Exists` for a refusal: after a crash it finds its own entry, and the money is given back although
/// it arrived.
#[test]
#[should_panic(expected = r#"  returned: {"Nothing":{"why":"Exists"}}
  expected: "All"

what goes wrong: 1.6:after-effect
"#)]
fn a_step_that_takes_its_own_entry_for_a_refusal_is_found() {
    testing::explore(transfer_money, transfer("bob", 250))
        .dependency_with(banks)
        .fake("credit", |call| {
            let (account, cents) = (call.argument::<String>(0), call.argument(1));
            call.step().dependency::<Banks>().south.post_now(call.step().idempotency_key(), &account, cents)
        })
        .check(|_| {});
}
