//! Crash tests: the functions as they are, and what the explorer says of a step that is wrong.

use std::time::Duration;

use durable_runtime::testing::{self, World};

use crate::archives::{Archive, Archives, Told};
use crate::document::{NotSafe, archive_document};

/// Each world begins with new ones.
fn archives(full: usize) -> Archives {
    let names = ["Athens", "Berlin", "Cairo", "Delhi", "Essen"];
    Archives::new(names.into_iter().enumerate().map(|(index, name)| {
        if index < full { Archive::full(name) } else { Archive::new(name, Duration::from_secs(index as u64)) }
    }))
}

fn document() -> (String, Vec<String>) {
    ("To my heirs: …".to_owned(), archives(0).names())
}

/// The author is told once, of three places, and each has a copy by then.
fn assert_author_is_told_the_truth(world: &World<Result<Vec<String>, NotSafe>>) {
    assert_eq!(world.output().as_ref().map(Vec::len), Ok(3));
    let told = world.dependency::<Archives>().told();
    assert_eq!(told, [Told { places: 3, with_copy: 3 }], "what the author was told");
}

#[test]
fn the_author_is_told_once_when_three_copies_are_there() {
    for full in 0..=2 {
        testing::explore(archive_document, document())
            .dependency_with(move || archives(full))
            .worlds_max(700)
            .check(assert_author_is_told_the_truth);
    }
}

#[test]
fn with_three_archives_full_the_author_is_told_nothing() {
    testing::explore(archive_document, document()).dependency_with(|| archives(3)).worlds_max(700).check(|world| {
        let NotSafe { copies } = world.output().clone().expect_err("there are two places only");
        assert!(copies <= 2, "{copies}");
        assert_eq!(world.dependency::<Archives>().told(), []);
    });
}

/// A step that gives a receipt and forgets to store.
#[test]
#[should_panic(expected = "what the author was told")]
fn a_receipt_without_a_copy_is_found() {
    testing::explore(archive_document, document())
        .dependency_with(|| archives(0))
        .fake("upload", |_| Ok::<_, crate::archives::ArchiveError>(()))
        .fake("compare", |_| Ok::<_, crate::archives::ArchiveError>(()))
        .check(assert_author_is_told_the_truth);
}
