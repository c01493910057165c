//! When the worker is killed: at moments drawn before the start, from the seed.

use std::time::Duration;

/// Every so many kills, the one after it comes before the restarted worker has done anything new.
const RECOVERY_KILL_EVERY: u64 = 5;
/// So much of the work is left when the last kill comes, so that there is always something to interrupt.
const WORK_LEFT_PERCENT: u64 = 12;
const PAUSE_MS: std::ops::Range<u64> = 0..40;

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// How many records the gateway, the table and the queue must have, all together.
    pub at_records: u64,
    /// And how long to wait then, so that kills don't only come right after something was recorded.
    pub pause: Duration,
}

/// Draws `count` kills, spread over the work, which ends when there are `records_total` records.
pub fn plan(seed: u64, count: u64, records_total: u64) -> Vec<Kill> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let last = records_total * (100 - WORK_LEFT_PERCENT) / 100;
    let mut kills: Vec<Kill> = Vec::new();
    for index in 0..count {
        let at_records = match kills.last() {
            Some(previous) if index % RECOVERY_KILL_EVERY == RECOVERY_KILL_EVERY - 1 => previous.at_records,
            _ => rng.u64(last * index / count..=last * (index + 1) / count).max(1),
        };
        kills.push(Kill { at_records, pause: Duration::from_millis(rng.u64(PAUSE_MS)) });
    }
    kills
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_spread_over_the_work_and_some_hit_the_recovery() {
        for seed in 0..100 {
            let kills = plan(seed, 25, 1_600);
            assert_eq!(kills, plan(seed, 25, 1_600));
            assert_eq!(kills.len(), 25);
            assert!(kills.is_sorted_by_key(|kill| kill.at_records));
            assert!(kills.iter().all(|kill| (1..=1_408).contains(&kill.at_records)));
            assert!(kills[22].at_records > 1_200);
            assert!(kills.windows(2).filter(|pair| pair[0].at_records == pair[1].at_records).count() >= 5);
        }
    }

    #[test]
    fn more_kills_than_records_can_be_asked_for() {
        assert_eq!(plan(1, 10, 3).len(), 10);
        assert_eq!(plan(1, 0, 3), []);
        assert_eq!(plan(1, 1, 0).len(), 1);
    }
}
