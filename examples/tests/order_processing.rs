//! The example, run as its users run it, on a few orders and with a few kills.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example's program; cargo builds it before the tests of its package.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let program = profile.join("examples").join("order_processing");
    assert!(program.exists(), "{} is missing: cargo build --example order_processing", program.display());
    program
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program()).arg("--folder").arg(folder).args(arguments).output().expect("the example can be run")
}

/// What it printed, if it proved what it set out to.
#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn each_order_is_charged_once_though_the_worker_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = succeeds(folder.path(), &["--orders", "60", "--kills", "8"]);
    assert!(text.contains("killed 8 times, restarted 8 times"), "{text}");
    assert_eq!(text.matches("proved: ").count(), 6, "{text}");
}

#[test]
fn one_order_goes_on_after_the_crash_and_then_returns_what_was_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let crashed = succeeds(folder.path(), &["--order", "ord_abc123", "--crash-after", "charge_card"]);
    assert!(crashed.contains("charge_card        executed, attempt 1, key ord_abc123:charge_card"), "{crashed}");
    assert!(!crashed.contains("save_order"), "{crashed}");
    let resumed = succeeds(folder.path(), &["--order", "ord_abc123"]);
    assert!(
        resumed.contains("skipped, as recorded by an earlier process: validate, price, charge_card\n"),
        "{resumed}"
    );
    assert!(
        resumed.contains("save_order         executed") && !resumed.contains("charge_card        exec"),
        "{resumed}"
    );
    let saved = succeeds(folder.path(), &["--order", "ord_abc123"]);
    assert!(!saved.contains("executed"), "{saved}");
    let result = |text: &str| text.lines().find(|line| line.contains("result:")).map(str::to_owned);
    assert_eq!(result(&saved), result(&resumed));
    assert!(result(&saved).is_some(), "{saved}");
}

#[test]
fn a_charge_whose_record_was_lost_is_not_made_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeds(folder.path(), &["--order", "ord_abc123", "--crash-in", "charge_card"]);
    let again = succeeds(folder.path(), &["--order", "ord_abc123"]);
    assert!(again.contains("charge_card        executed"), "the record was lost, so the step runs again: {again}");
    assert!(again.contains("by ch_000001"), "it is the first charge of the gateway's books: {again}");
}
