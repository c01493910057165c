//! Keys: what lies where in the one sled tree.
//!
//! | key | value |
//! |---|---|
//! | `m` | format version and store id |
//! | `l` commit (8 bytes) chunk (4 bytes) | the log: one commit record, cut into chunks |
//! | `s` run id | a settled run: its header and as much of the rest as fits one chunk |
//! | `t` commit (8 bytes) ordinal (4 bytes) chunk (4 bytes) | the rest of a settled run, chunks from 1 |
//! | `d` time (8 bytes) run id | nothing: a settled run that is suspended has timers that are due then |
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers.

use crate::clock::Timestamp;
use crate::id::RunId;

/// The largest value ever given to sled.
///
/// sled puts an item of more than a quarter of a segment into a file of its own, which it never syncs; and a node of
/// its tree counts as one item whenever it is consolidated. A leaf is split when it is found with more than 16
/// values, an inner node with more than 256 keys, both after one more has come; merging adds up to 3, or 63. So with
/// the longest keys, and 8 KiB values, sled's default segments of 512 KiB are too small. `blobs_stay_empty` tries.
pub(super) const CHUNK_BYTES: usize = 8 << 10;
/// sled's segment size: see [`CHUNK_BYTES`].
pub(super) const SEGMENT_BYTES: usize = 2 << 20;

const LEAF_ITEMS_MAX: usize = 16 + 1 + 3;
const INNER_ITEMS_MAX: usize = 256 + 1 + 63;
/// The longest key, and what sled keeps with it.
const KEY_BYTES_MAX: usize = DUE.len() + 8 + crate::id::RUN_ID_BYTES_MAX + 64;
const _: () = assert!((LEAF_ITEMS_MAX + 1) * (CHUNK_BYTES + KEY_BYTES_MAX) < SEGMENT_BYTES / 4);
const _: () = assert!((INNER_ITEMS_MAX + 2) * KEY_BYTES_MAX < SEGMENT_BYTES / 4);

/// Where the format version and the store id are.
pub(super) const META: &[u8] = b"m";
/// What the keys of the log begin with.
pub(super) const LOG: &[u8] = b"l";
/// What the keys of settled runs begin with.
pub(super) const SETTLED: &[u8] = b"s";
/// What the keys of further chunks of settled runs begin with.
pub(super) const SETTLED_MORE: &[u8] = b"t";
/// What the keys of settled runs' timers begin with.
pub(super) const DUE: &[u8] = b"d";

pub(super) fn log_key(commit: u64, chunk: u32) -> Vec<u8> {
    [LOG, &commit.to_be_bytes(), &chunk.to_be_bytes()].concat()
}

/// The commit and chunk of a key of the log; `None` when it is not one.
pub(super) fn parse_log_key(key: &[u8]) -> Option<(u64, u32)> {
    let (commit, chunk) = key.strip_prefix(LOG)?.split_at_checked(8)?;
    Some((u64::from_be_bytes(commit.try_into().ok()?), u32::from_be_bytes(chunk.try_into().ok()?)))
}

/// As it is: settled runs are then in the byte order of their ids, and one run has one such key.
pub(super) fn settled_key(run: &RunId) -> Vec<u8> {
    [SETTLED, run.as_str().as_bytes()].concat()
}

/// The run of a [`settled_key`]; `None` when it is not one.
pub(super) fn parse_settled_key(key: &[u8]) -> Option<RunId> {
    RunId::new(std::str::from_utf8(key.strip_prefix(SETTLED)?).ok()?).ok()
}

/// Not by run id, because a run's chunks would have long keys, and another run's id could begin like them. `through`
/// and `ordinal` are from the run's header.
pub(super) fn settled_more_key(through: u64, ordinal: u32, chunk: u32) -> Vec<u8> {
    [SETTLED_MORE, &through.to_be_bytes(), &ordinal.to_be_bytes(), &chunk.to_be_bytes()].concat()
}

/// The run id as it is, and nothing behind it: keys are then in the order of (time, run), as timers are told (S10).
pub(super) fn due_key(due: Timestamp, run: &RunId) -> Vec<u8> {
    [DUE, &due.0.to_be_bytes(), run.as_str().as_bytes()].concat()
}

/// The time and the run of a [`due_key`]; `None` when it is not one.
pub(super) fn parse_due_key(key: &[u8]) -> Option<(Timestamp, RunId)> {
    let (due, run) = key.strip_prefix(DUE)?.split_at_checked(8)?;
    let run = RunId::new(std::str::from_utf8(run).ok()?).ok()?;
    Some((Timestamp(u64::from_be_bytes(due.try_into().ok()?)), run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_ours_are_not_parsed() {
        for key in [&b""[..], b"s", b"s\xff", b"m"] {
            assert_eq!(parse_settled_key(key), None, "{key:x?}");
        }
        let id = RunId::new("a\0é").unwrap();
        assert_eq!(parse_settled_key(&settled_key(&id)), Some(id.clone()));
        assert_eq!(parse_due_key(&due_key(Timestamp(9), &id)), Some((Timestamp(9), id)));
        assert_eq!(parse_log_key(&log_key(7, 3)), Some((7, 3)));
        assert_eq!(parse_log_key(&log_key(7, 3)[..9]), None);
        for key in [&b""[..], b"d", b"d1234567", b"d12345678", b"d12345678\xff", b"s12345678r"] {
            assert_eq!(parse_due_key(key), None, "{key:x?}");
        }
    }
}
