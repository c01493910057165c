//! Chance that a replay repeats: `ctx.rng()`, `ctx.uuid()`, and what can't be guessed in the id of a promise.

use std::convert::Infallible;

use chacha20::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _, TryRng};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

/// Random numbers that are the same whenever the run is replayed, from [`Context::rng`](crate::Context::rng).
///
/// A generator of `rand`'s: with `rand` 0.10, `use rand::RngExt` for `random_range` and the like.
///
/// It is `ChaCha8`, as RFC 8439 has it with eight rounds instead of twenty and a nonce of 64 bits. The key is the run's
/// seed, 16 bytes, little endian, and 16 bytes of zero; the nonce is the number of the call of `ctx.rng()` or
/// `ctx.uuid()`, from 0. The seed is chosen by the operating system when the run is started, and recorded: whoever can
/// read the store knows all that the run will draw.
#[derive(Debug)]
pub struct RunRng(ChaCha8Rng);

impl RunRng {
    pub(crate) fn new(seed: u128, call: u64) -> Self {
        Self::with_key(seed, 0, call)
    }

    fn with_key(seed: u128, of: u128, nonce: u64) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&seed.to_le_bytes());
        key[16..].copy_from_slice(&of.to_le_bytes());
        let mut numbers = ChaCha8Rng::from_seed(key);
        numbers.set_stream(nonce);
        Self(numbers)
    }

    pub(crate) fn uuid(mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// What makes the id of a promise hard to guess: the first 16 bytes of `ChaCha8`, little endian, with the run's seed and
/// the XXH3 of the promise's key as its key, and a nonce that no call of `ctx.rng()` has.
pub(crate) fn promise_token(seed: u128, key: &str) -> u128 {
    let mut bytes = [0; 16];
    RunRng::with_key(seed, xxh3_128(key.as_bytes()), u64::MAX).0.fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// What tells a run that starts others from one that had its id before: as the [token of a promise](promise_token), with a
/// nonce of its own.
pub(crate) fn child_token(seed: u128, key: &str) -> u128 {
    let mut bytes = [0; 16];
    RunRng::with_key(seed, xxh3_128(key.as_bytes()), u64::MAX - 1).0.fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// What the chance of a run is made of when it has [continued as new](crate::Context::continue_as_new): it draws other numbers, and
/// its promises and children of before are none of its any more. As the [token of a promise](promise_token), with a nonce of its own.
pub(crate) fn next_seed(seed: u128) -> u128 {
    let mut bytes = [0; 16];
    RunRng::with_key(seed, 0, u64::MAX - 2).0.fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// What a delay is shortened by: a number from 0 up to 1, another one for each run, operation and attempt.
pub(crate) fn jitter(seed: u128, key: &str, attempt: u32) -> f64 {
    let number = RunRng::with_key(seed, !xxh3_128(key.as_bytes()), attempt.into()).0.next_u32();
    f64::from(number) / f64::from(u32::MAX)
}

impl TryRng for RunRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run goes on for years: what it draws is a part of its journal.
    #[test]
    fn what_is_drawn_is_the_same_in_every_version() {
        let mut first = RunRng::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677, 0);
        let mut second = RunRng::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677, 1);
        let drawn = [first.next_u64(), first.next_u64(), second.next_u64()];
        let drawn: Vec<String> = drawn.map(|number| format!("{number:016x}")).into();
        expect_test::expect!["4f80ae7b7500e6f9 00531a83e8cafb65 888571e185096f48"].assert_eq(&drawn.join(" "));
        let uuid = RunRng::new(0, 0).uuid();
        assert_eq!(uuid.get_version_num(), 4);
        expect_test::expect!["3e00ef2f-895f-40d6-bf5b-b8e81f09a5a1"].assert_eq(&uuid.to_string());
    }

    /// It is in links that were sent: those are good for as long as the run goes on.
    #[test]
    fn the_token_of_a_promise_is_the_same_in_every_version() {
        let tokens = [(0, "approval"), (1, "approval"), (0, "approval#2")].map(|(seed, key)| promise_token(seed, key));
        let tokens = tokens.map(|token| format!("{token:032x}")).join(" ");
        expect_test::expect![
            "e972443c0b8535be559be9cda4e26d44 de5a9ec0922429cea9cd56da6f58f178 eaa9b8a5bad0d2aa21c0a679e81085fc"
        ]
        .assert_eq(&tokens);
    }

    #[test]
    fn jitter_is_spread_and_repeated() {
        let numbers: Vec<f64> = (0..100).map(|seed| jitter(seed, "a", 1)).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{numbers:?}");
        let below = numbers.iter().filter(|number| **number < 0.5).count();
        assert!((30..70).contains(&below), "{below} of 100 are in the first half");
        assert_eq!(jitter(7, "a", 1).to_bits(), jitter(7, "a", 1).to_bits());
        assert_ne!(jitter(7, "a", 1).to_bits(), jitter(7, "a", 2).to_bits());
        assert_ne!(jitter(7, "a", 1).to_bits(), jitter(7, "b", 1).to_bits());
    }

    /// The key stream of `ChaCha8` with a key and a nonce of zeros, from draft-strombergson-chacha-test-vectors-01, TC1.
    #[test]
    fn it_is_chacha8() {
        let mut stream = [0; 16];
        RunRng::new(0, 0).0.fill_bytes(&mut stream);
        let expected = [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09, 0xa5, 0xa1];
        assert_eq!(stream, expected);
    }
}
