//! As much of a test harness as is needed: filters, `--list`, and cargo's way of telling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A test's name, and what it does; it fails by panicking.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests whose names contain one of the arguments, or all, one after the other.
pub(crate) fn run(tests: &[Test], arguments: &[String]) -> ExitCode {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        // There are no ignored tests to list.
        let listed = if has("--ignored") { &[] } else { tests };
        for (name, _) in listed {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen =
        |name: &str| !has("--ignored") && (filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter)));
    let chosen: Vec<&Test> = tests.iter().filter(|(name, _)| is_chosen(name)).collect();

    println!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    let (result, code) = if failed.is_empty() { ("ok", ExitCode::SUCCESS) } else { ("FAILED", ExitCode::from(101)) };
    println!(
        "\ntest result: {result}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out\n",
        chosen.len() - failed.len(),
        failed.len(),
        tests.len() - chosen.len()
    );
    code
}
