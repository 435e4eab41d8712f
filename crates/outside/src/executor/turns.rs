//! The number of a turn of the event loop: times that were read under the same number may be taken for one.
//!
//! It changes when the loop has waited, when it is entered after calls, when it delivers their results, and with each tick
//! of the sentinel, so that such a time is a millisecond old at most, even in a turn that lasts. Nothing is synchronised
//! by it. Beside it stands the number of looks at the network, without ticks and results.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Turns {
    number: AtomicU64,
    looks: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        // 0 is the number of no turn.
        Self { number: AtomicU64::new(1), looks: AtomicU64::new(1) }
    }
}

impl Turns {
    /// Begins the next turn, from any thread.
    pub(super) fn next(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    /// The same where the loop has waited for the network, or is entered and is about to look there. Only the thread that
    /// leads the loop calls this.
    pub(super) fn look(&self) {
        self.next();
        self.looks.store(self.looks() + 1, Ordering::Relaxed);
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}
