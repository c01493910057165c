//! The same schedule gives the same world.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use durable_runtime::testing::{self, Explored};
use durable_runtime::{Context, durable};

use crate::finds::failure;
use crate::gateway::{Gateway, order, paid_order};

#[test]
fn exploring_twice_gives_the_same_worlds() {
    let explore = || -> (Explored, Vec<String>) {
        let mut told = Vec::new();
        let explored = testing::explore(paid_order, order())
            .dependency_with(Gateway::default)
            .check(|world| told.push(format!("{}{}", world.timeline(), world.journal().to_lines())));
        (explored, told)
    };
    let (one, other) = (explore(), explore());
    assert!(one.1.len() > 800);
    assert!(one == other, "two explorations differ");
}

#[test]
fn is_charged_once_by_a_forgetful_gateway() {
    if std::env::var("DURABLE_SEED").is_ok() {
        explore_forgetful();
    }
}

fn explore_forgetful() {
    testing::explore(paid_order, order())
        .dependency_with(Gateway::forgetful)
        .check(|world| assert_eq!(world.dependency::<Gateway>().charges(), 1));
}

/// Runs another test of this program, with a seed: whether it passed, and what it said.
fn play(test: &str, seed: &str) -> (bool, String) {
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.args(["--exact", test, "--nocapture"]);
    let output = command.env("DURABLE_SEED", seed).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// What a failure says is played again by the command that it gives, and nothing else is.
#[test]
fn the_seed_of_a_failure_gives_that_failure() {
    let told = failure(explore_forgetful);
    let seed = told.split("DURABLE_SEED=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a seed");
    let again = |seed: &str| play("repeats::is_charged_once_by_a_forgetful_gateway", seed);
    let (passed, output) = again(seed);
    let timeline = told.split("life 1\n").nth(1).and_then(|rest| rest.split("\nto see").next()).expect("a timeline");
    assert!(!passed && output.contains(timeline), "{output}");
    let (passed, output) = again("none");
    assert!(passed && output.contains("life 1") && !output.contains("life 2"), "{output}");
    let (passed, output) = again("nonsense");
    assert!(!passed && output.contains("\"nonsense\" is none of a number"), "{output}");
}

static TICKETS: AtomicU32 = AtomicU32::new(0);

#[durable]
async fn takes_a_ticket(ctx: Context) {
    ctx.run("take", async || TICKETS.fetch_add(1, Ordering::Relaxed)).await;
}

#[test]
fn takes_the_same_ticket() {
    if std::env::var("DURABLE_SEED").is_ok() {
        testing::explore(takes_a_ticket, ()).check(|_| {});
    }
}

#[test]
fn a_seed_shows_again_that_worlds_differ() {
    let (passed, output) = play("repeats::takes_the_same_ticket", "none");
    assert!(!passed && output.contains("the same schedule gave two different worlds"), "{output}");
}
