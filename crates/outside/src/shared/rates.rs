//! Rates of many clients in bounded memory: the generic cell rate algorithm, with one number for each key.
//!
//! A key is kept as its hash under a secret of this store: two of a million keys share one with a probability of 1 to 30
//! million. There are two generations of keys. When the younger one is full, the older one is dropped, with the keys that
//! were not used for longest; so memory is bounded without a search through all keys.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::time::Duration;

use super::operation::{Rate, RateVerdict};

/// Keys of one generation: as many as a table of 2^20 places holds before it grows, which takes 17 MiB.
pub const GENERATION: usize = (1 << 20) / 8 * 7;

/// The rates of all limits.
#[derive(Debug, Default)]
pub(super) struct Rates {
    secret: RandomState,
    young: Generation,
    old: Generation,
}

/// For each key the time at which its next request would come at an even pace, in nanoseconds.
#[derive(Debug, Default)]
struct Generation {
    times: HashMap<u64, u64, BuildHasherDefault<KeyHash>>,
    /// The latest of them: from then on the generation has no effect.
    latest: u64,
}

impl Generation {
    fn set(&mut self, key: u64, time: u64) {
        self.times.insert(key, time);
        self.latest = self.latest.max(time);
    }

    fn forget_if_past(&mut self, now: u64) {
        if self.latest <= now && !self.times.is_empty() {
            *self = Self::default();
        }
    }
}

/// A key is a hash already.
#[derive(Default)]
struct KeyHash(u64);

impl Hasher for KeyHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl Rates {
    /// Counts one request of this key at this moment, unless the rate is exceeded.
    pub(super) fn admit(&mut self, key: &str, rate: Rate, now: Duration) -> RateVerdict {
        let at = now;
        let now = nanoseconds(now);
        self.young.forget_if_past(now);
        self.old.forget_if_past(now);
        let key = self.secret.hash_one(key);
        let known = self.young.times.get(&key).or_else(|| self.old.times.get(&key)).copied();
        let due = known.unwrap_or(0).max(now);
        let latest = now.saturating_add(rate.tolerance);
        let is_admitted = due <= latest;
        let next = if is_admitted { due.saturating_add(rate.interval) } else { due };
        if is_admitted {
            if self.young.times.len() >= GENERATION && !self.young.times.contains_key(&key) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.set(key, next);
        }
        let interval = rate.interval.max(1);
        RateVerdict {
            is_admitted,
            remaining: latest.checked_sub(next).map_or(0, |left| left / interval + 1),
            retry: Duration::from_nanos(next.saturating_sub(latest)),
            reset: Duration::from_nanos(next - now),
            at,
        }
    }

    /// Keys that are kept.
    pub(super) fn len(&self) -> usize {
        self.young.times.len() + self.old.times.len()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The numbers of the requests that pass, of those that come each `step` in `time`.
    fn admitted(rate: Rate, step: Duration, time: Duration) -> u64 {
        let (mut rates, mut now, mut count) = (Rates::default(), SECOND, 0);
        while now <= SECOND + time {
            count += u64::from(rates.admit("a", rate, now).is_admitted);
            now += step;
        }
        count
    }

    #[test]
    fn never_more_than_burst_and_pace_and_no_less() {
        for (count, period, burst) in [(100, 60, 100), (1, 1, 1), (7, 3, 2), (1000, 1, 1), (3, 86_400, 5)] {
            let rate = Rate::new(count, period * SECOND, burst);
            let time = 10 * period * SECOND;
            let step = Duration::from_nanos(rate.interval / 7).max(Duration::from_nanos(1));
            let most = u64::from(burst) + u64::from(count) * 10;
            let passed = admitted(rate, step, time);
            // One that comes too early has to wait for the next step.
            assert!(passed <= most && passed + passed / 7 + 1 >= most, "{passed} of {most}");
        }
        // An interval that needs no rounding, asked without a pause: exactly so many.
        assert_eq!(admitted(Rate::new(100, 60 * SECOND, 100), Duration::from_millis(1), 6 * SECOND), 110);
    }

    #[test]
    fn an_answer_says_how_many_are_left_and_when() {
        let (mut rates, rate) = (Rates::default(), Rate::new(2, SECOND, 3));
        let told: Vec<_> = (0..5)
            .map(|_| rates.admit("a", rate, SECOND))
            .map(|told| (told.is_admitted, told.remaining, told.retry.as_millis(), told.reset.as_millis()))
            .collect();
        let refused = (false, 0, 500, 1500);
        assert_eq!(told, [(true, 2, 0, 500), (true, 1, 0, 1000), (true, 0, 500, 1500), refused, refused]);
        assert!(rates.admit("b", rate, SECOND).is_admitted, "another key");
        let later = rates.admit("a", rate, SECOND + SECOND / 2);
        assert!(later.is_admitted && later.remaining == 0);
    }

    #[test]
    fn a_million_keys_are_kept_and_not_many_more() {
        let (mut rates, rate) = (Rates::default(), Rate::new(1, 3600 * SECOND, 1));
        for number in 0..1_000_000 {
            assert!(rates.admit(&number.to_string(), rate, SECOND).is_admitted);
        }
        assert_eq!(rates.len(), 1_000_000);
        for number in [0, 500_000, 999_999] {
            assert!(!rates.admit(&number.to_string(), rate, SECOND).is_admitted);
        }
        for number in 1_000_000..3_000_000 {
            rates.admit(&number.to_string(), rate, SECOND);
        }
        assert!(rates.len() <= 2 * GENERATION);
        rates.admit("later", rate, 7300 * SECOND);
        assert_eq!(rates.len(), 1, "times that have passed have no effect");
    }
}
