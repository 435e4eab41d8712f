//! The clock of deadlines: a number that a ticker moves on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds since the server started, as of the last tick: exact enough for deadlines, and read by a single load.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    now: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), now: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The time `duration` from now, in milliseconds; it never comes sooner than that.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        self.now() + millis(duration)
    }

    pub(super) fn tick(&self) -> u64 {
        let now = millis(self.started.elapsed());
        self.now.store(now, Ordering::Relaxed);
        now
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    // `as_millis` would calculate with 128 bits, several times for each request.
    duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()))
}
