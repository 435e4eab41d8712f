//! The number of a turn of the event loop: times that were read under the same number may be taken for one.
//!
//! It changes when the loop has waited, when it is entered after calls, when it delivers their results, and with each tick
//! of the sentinel, so that such a time is a millisecond old at most, even in a turn that lasts. Nothing is synchronised
//! by it.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Turns(AtomicU64);

impl Default for Turns {
    fn default() -> Self {
        // 0 is the number of no turn.
        Self(AtomicU64::new(1))
    }
}

impl Turns {
    /// Begins the next turn, from any thread.
    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
