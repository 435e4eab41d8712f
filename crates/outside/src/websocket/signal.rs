//! A condition variable that is free while no thread waits; that of the standard library makes a system call every
//! time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// Notified when the state under a lock has changed; always used with the same lock.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changed: Condvar,
    /// Number of waiting threads.
    ///
    /// A thread counts itself while it holds the lock, before the wait gives the lock back. A thread that notifies has
    /// held the lock for its change. So if the waiting thread has missed the change, it has held the lock before, and the
    /// lock makes its count visible here: `Relaxed` is enough. A thread that comes later sees the change itself.
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
