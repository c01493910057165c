//! Names: a run's id is kept exactly, and no two steps of all runs share an idempotency key.

use std::collections::BTreeSet;

use super::{Choices, text};
use crate::context::idempotency_key;
use crate::id::{InvalidRunId, RUN_ID_BYTES_MAX, RunId};
use crate::journal::OperationKind;
use crate::replay::{Replay, Request};

pub(super) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let run = text(&mut choices);
    if let Some(filling) = RUN_ID_BYTES_MAX.checked_sub(run.len()) {
        let longest = run.clone() + &"x".repeat(filling);
        assert!(checked(&longest).is_some() && checked(&(longest + "x")).is_none());
    }
    let Some(id) = checked(&run) else { return };
    // As steps get them: any name without the `#` that is kept for counting.
    let mut replay = Replay::new();
    let mut keys = BTreeSet::new();
    for _ in 0..choices.below(16) {
        let name = text(&mut choices).replace('#', "");
        let claim = replay.claim(request(name));
        if choices.flag() {
            assert!(replay.rename(claim, text(&mut choices).replace('#', "").into()));
        }
        let key = replay.key(claim).expect("it was claimed");
        assert!(keys.insert(key.clone()), "the key {key} twice");
        reverses(&id, &key);
    }
    // A key that is anything.
    reverses(&id, &text(&mut choices));
}

/// An id is what was given, or it is refused for its length.
fn checked(run: &str) -> Option<RunId> {
    match RunId::new(run) {
        Ok(id) => {
            assert!((1..=RUN_ID_BYTES_MAX).contains(&run.len()));
            assert_eq!(id.as_str(), run);
            assert!(!id.to_string().contains(char::is_control), "an id that garbles a terminal");
            Some(id)
        }
        Err(InvalidRunId::Empty) => {
            assert_eq!(run, "");
            None
        }
        Err(InvalidRunId::TooLong { bytes }) => {
            assert!(bytes == run.len() && bytes > RUN_ID_BYTES_MAX);
            None
        }
    }
}

/// Run, key and part can be told from the idempotency key: so no others have it.
fn reverses(run: &RunId, key: &str) {
    for part in [1, 2, 25, u64::MAX] {
        let idempotency_key = idempotency_key(run, key, part);
        let (run_again, rest) = idempotency_key.rsplit_once(':').expect("it has a separator");
        let (escaped, part_again) = rest.split_once('@').unwrap_or((rest, "1"));
        let key_again = escaped.replace("%40", "@").replace("%3A", ":").replace("%25", "%");
        assert_eq!((run_again, &*key_again), (run.as_str(), key), "{idempotency_key:?}");
        assert_eq!(part_again.parse(), Ok(part), "{idempotency_key:?}");
    }
}

fn request(name: String) -> Request {
    Request { name: name.into(), ..super::replay::request("", OperationKind::Step, 0) }
}
