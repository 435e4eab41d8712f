//! A time of the monotonic clock as one number: `std::time::Instant` has two, and a difference of two of them takes forty instructions.

use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Nanoseconds of the monotonic clock since this process first read it; a `u64` holds those of 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Monotonic(u64);

impl Monotonic {
    pub(crate) fn now() -> Self {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let since = Instant::now().saturating_duration_since(*ORIGIN);
        // `as_nanos` would calculate with 128 bits.
        Self(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
    }

    /// The time of this number.
    pub(crate) fn of(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    pub(crate) fn nanoseconds(self) -> u64 {
        self.0
    }

    /// Nanoseconds since an earlier time; 0 since a later one.
    pub(crate) fn nanoseconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds_since(earlier))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Monotonic {
    type Output = Duration;

    /// Zero when the other one is later, as the difference of two `Instant`s.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_their_differences() {
        let began = Monotonic::now();
        let later = began + Duration::from_millis(1500);
        assert_eq!((later - began, began - later), (Duration::from_millis(1500), Duration::ZERO));
        assert_eq!(Monotonic::of(later.nanoseconds()), later);
        assert!(Monotonic::now() >= began && began.elapsed() < Duration::from_secs(60));
        assert_eq!((began + Duration::MAX).nanoseconds(), u64::MAX);
    }
}
