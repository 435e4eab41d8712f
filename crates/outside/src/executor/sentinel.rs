//! The state of the sentinel's thread, and how other threads wake and dismiss it.
//!
//! While no handler is called it sleeps without a timer. It lives until the last leader dismisses it: stopping waits
//! behind slow calls too.

use std::sync::{Arc, OnceLock};

use super::sync::{AtomicBool, Ordering, Thread};
use super::turns::Turns;

#[derive(Default)]
pub(super) struct Sentinel {
    pub(super) asleep: AtomicBool,
    dismissed: AtomicBool,
    pub(super) thread: OnceLock<Thread>,
    /// Each tick is a turn.
    pub(super) turns: Arc<Turns>,
}

impl Sentinel {
    /// Notes that a call has begun. Sequentially consistent with the lease: either this sees that the sentinel sleeps,
    /// or the sentinel sees the call before it sleeps.
    pub(super) fn note_call(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Ends the sentinel, because the event loop has ended.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::SeqCst)
    }

    /// The number of this turn, as long as ticks bound it.
    pub(super) fn turn(&self) -> Option<u64> {
        (!self.asleep.load(Ordering::Acquire)).then(|| self.turns.number())
    }

    fn wake(&self) {
        // First: a time from before the sleep is old.
        self.turns.next();
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
