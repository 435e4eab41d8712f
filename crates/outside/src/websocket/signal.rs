//! A condition variable that costs nothing while nobody waits: the standard library's makes a system call every time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// Told when what a lock protects has changed; always of the same lock.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changed: Condvar,
    /// Counted under the lock, so that whoever has changed something behind it sees everybody who has not seen that.
    waiting: AtomicU32,
}

impl Signal {
    pub(super) fn wait<'l, T>(&self, guard: MutexGuard<'l, T>) -> MutexGuard<'l, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// The same, but not longer than this.
    pub(super) fn wait_timeout<'l, T>(&self, guard: MutexGuard<'l, T>, at_most: Duration) -> MutexGuard<'l, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (guard, _) = self.changed.wait_timeout(guard, at_most).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    pub(super) fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }
}
