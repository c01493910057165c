//! What goes wrong on purpose. It depends on the seed, the key and the number of the request, and on nothing else.

use std::ops::Range;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Out of 100 requests, so many fail before anything is done, and so many lose their answer.
const FAILED_BEFORE_PERCENT: u8 = 20;
const LOST_ANSWERS_PERCENT: u8 = 15;
/// After so many requests with one key the gateway has recovered, so that an order is never given up.
const FAULTY_REQUESTS: u32 = 4;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Treatment {
    pub(super) latency: Duration,
    pub(super) fault: Option<Fault>,
}

/// Both look the same to the client: a 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is done.
    FailedBefore,
    /// All is done, but nobody is told.
    LostAnswer,
}

#[derive(Debug)]
pub(super) struct Faults {
    pub(super) seed: u64,
    pub(super) latency_ms: Range<u64>,
}

impl Faults {
    /// The treatment of the request with this index (from 0) among those with this key.
    pub(super) fn treatment(&self, key: &str, index: u32) -> Treatment {
        let seed = xxh3_64_with_seed(key.as_bytes(), self.seed.wrapping_add(index.into()));
        let mut rng = fastrand::Rng::with_seed(seed);
        let latency = Duration::from_millis(rng.u64(self.latency_ms.clone()));
        let fault = match rng.u8(0..100) {
            _ if index >= FAULTY_REQUESTS => None,
            percent if percent < FAILED_BEFORE_PERCENT => Some(Fault::FailedBefore),
            percent if percent < FAILED_BEFORE_PERCENT + LOST_ANSWERS_PERCENT => Some(Fault::LostAnswer),
            _ => None,
        };
        Treatment { latency, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn treatment(seed: u64, index: u32) -> Treatment {
        Faults { seed, latency_ms: 50..250 }.treatment("ord_abc123:charge_card", index)
    }

    #[test]
    fn the_same_seed_goes_wrong_in_the_same_way() {
        let treatments = |seed| (0..4).map(|index| treatment(seed, index)).collect::<Vec<_>>();
        assert_eq!(treatments(7), treatments(7));
        assert_ne!(treatments(7), treatments(8));
    }

    #[test]
    fn both_faults_happen_and_then_stop() {
        let seen = |fault| (0..100).any(|seed| treatment(seed, 0).fault == fault);
        assert!(seen(None) && seen(Some(Fault::FailedBefore)) && seen(Some(Fault::LostAnswer)));
        assert!((0..100).all(|seed| treatment(seed, FAULTY_REQUESTS).fault.is_none()));
    }
}
