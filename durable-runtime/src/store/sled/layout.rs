//! Keys: what lies where in the one sled tree.
//!
//! | key | value |
//! |---|---|
//! | `m` | format version and store id |
//! | `l` commit (8 bytes) chunk (4 bytes) | the log: one commit record, cut into chunks |
//! | `s` escaped run id | a settled run: its header and as much of the rest as fits one chunk |
//! | `t` escaped run id, chunk (4 bytes) | the rest of a settled run, chunks from 1 |
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers.

use crate::id::RunId;

/// The largest value ever given to sled.
///
/// Larger items end up in files of their own that sled never syncs; and since a consolidated leaf counts as one
/// item, even 14,000 bytes reach that point, while 12,000 do not. `blobs_stay_empty` holds us to it.
pub(super) const CHUNK_BYTES: usize = 8 << 10;

/// Where the format version and the store id are.
pub(super) const META: &[u8] = b"m";
/// What the keys of the log begin with.
pub(super) const LOG: &[u8] = b"l";
/// What the keys of settled runs begin with.
pub(super) const SETTLED: &[u8] = b"s";
/// What the keys of further chunks of settled runs begin with.
pub(super) const SETTLED_MORE: &[u8] = b"t";

pub(super) fn log_key(commit: u64, chunk: u32) -> Vec<u8> {
    [LOG, &commit.to_be_bytes(), &chunk.to_be_bytes()].concat()
}

/// The commit and chunk of a key of the log; `None` when it is not one.
pub(super) fn parse_log_key(key: &[u8]) -> Option<(u64, u32)> {
    let (commit, chunk) = key.strip_prefix(LOG)?.split_at_checked(8)?;
    Some((u64::from_be_bytes(commit.try_into().ok()?), u32::from_be_bytes(chunk.try_into().ok()?)))
}

pub(super) fn settled_key(run: &RunId) -> Vec<u8> {
    escaped(SETTLED, run)
}

pub(super) fn settled_more_key(run: &RunId, chunk: u32) -> Vec<u8> {
    let mut key = settled_more_prefix(run);
    key.extend(chunk.to_be_bytes());
    key
}

pub(super) fn settled_more_prefix(run: &RunId) -> Vec<u8> {
    escaped(SETTLED_MORE, run)
}

/// The run of a [`settled_key`]; `None` when it is not one.
pub(super) fn parse_settled_key(key: &[u8]) -> Option<RunId> {
    let mut id = Vec::with_capacity(key.len());
    let mut rest = key.strip_prefix(SETTLED)?.strip_suffix(&[0, 0])?.iter();
    while let Some(byte) = rest.next() {
        if *byte == 0 && rest.next() != Some(&0xff) {
            return None;
        }
        id.push(*byte);
    }
    RunId::new(String::from_utf8(id).ok()?).ok()
}

/// NUL becomes `00 ff` and the end is marked by `00 00`: keys then sort as their ids do, and none is the beginning
/// of another, so a scan of one run's chunks never meets another run's.
fn escaped(prefix: &[u8], run: &RunId) -> Vec<u8> {
    let id = run.as_str().as_bytes();
    let mut key = Vec::with_capacity(prefix.len() + id.len() + 8);
    key.extend(prefix);
    for byte in id {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xff);
        }
    }
    key.extend([0, 0]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_keys_sort_as_their_ids_and_none_is_a_prefix_of_another() {
        let texts = ["\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0\0", "a\0a", "a\u{1}", "aa", "é", "\u{10ffff}"];
        let mut ids: Vec<RunId> = texts.iter().map(|text| RunId::new(text).unwrap()).collect();
        ids.sort();
        let keys: Vec<Vec<u8>> = ids.iter().map(settled_key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1] && !pair[1].starts_with(&pair[0])), "{keys:x?}");
        for (id, key) in ids.iter().zip(&keys) {
            assert_eq!(parse_settled_key(key).as_ref(), Some(id));
        }
    }

    #[test]
    fn keys_that_are_not_ours_are_not_parsed() {
        for key in [&b""[..], b"s", b"sa", b"sa\0", b"s\0\0", b"sa\0b\0\0", b"s\xff\0\0", b"m"] {
            assert_eq!(parse_settled_key(key), None, "{key:x?}");
        }
        assert_eq!(parse_log_key(&log_key(7, 3)), Some((7, 3)));
        assert_eq!(parse_log_key(&log_key(7, 3)[..9]), None);
    }
}
