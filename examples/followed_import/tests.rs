//! Crash tests.

use durable_runtime::testing;

use crate::catalogue::{Catalogue, Progress, import};

/// Wherever the process dies, every page is shown once, and in order.
#[test]
fn each_page_is_shown_once() {
    testing::explore(import, 3).dependency_with(Catalogue::default).check(|world| {
        let expected = [(1, 11), (2, 23), (3, 36)].map(|(page, songs)| Progress { page, pages: 3, songs });
        let progress = world.published::<Progress>("progress");
        let stages = world.published::<String>("stage");
        if let Ok(songs) = world.output() {
            assert_eq!((*songs, progress.as_slice()), (36, expected.as_slice()));
            assert_eq!(stages, ["fetching", "indexing", "done"]);
        } else {
            // The catalogue was out of order too often.
            assert!(expected.starts_with(&progress) && progress != expected, "{progress:?}");
            assert_eq!(stages, ["fetching"]);
        }
    });
}
