//! Memory that many connections have freed goes back to the system: an allocator may keep it for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::clock::Clock;
use super::executor::Executor;
use crate::budget::Budget;
use crate::content::Spools;

/// Counts the memory that messages, answers and bodies have freed in a process.
pub(crate) struct FreedMemory {
    budget: Arc<Budget>,
    bodies: Arc<Spools>,
    /// When freed memory may go back next, in milliseconds of the clock.
    due: AtomicU64,
}

/// Bytes from which it is worth it.
const MUCH: usize = 16 << 20;
/// Milliseconds between two times, at least.
const INTERVAL: u64 = 1000;
/// The pause after it, as a multiple of its own time.
const PAUSE: u64 = 20;
/// The due time while it lasts.
const RUNNING: u64 = u64::MAX;

impl FreedMemory {
    pub(crate) fn new(budget: Arc<Budget>, bodies: Arc<Spools>) -> Arc<Self> {
        Arc::new(Self { budget, bodies, due: AtomicU64::new(0) })
    }

    /// Has freed memory given back, on a thread of its own, if it is much. The ticker calls it several times a second.
    pub(crate) fn look(self: &Arc<Self>, executor: &Arc<Executor>, clock: &Arc<Clock>) {
        let freed = self.budget.freed() + usize::try_from(self.bodies.freed()).unwrap_or(usize::MAX);
        let due = self.due.load(Ordering::Relaxed);
        if freed < MUCH || clock.now() < due {
            return;
        }
        if self.due.compare_exchange(due, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        self.budget.forget_freed();
        self.bodies.forget_freed();
        let (freed_memory, clock, of_host) = (Arc::clone(self), Arc::clone(clock), Arc::clone(executor));
        drop(executor.runtime.handle().spawn_blocking(move || {
            let began = Instant::now();
            of_host.host.release_memory();
            let lasted = u64::try_from(began.elapsed().as_millis()).unwrap_or(INTERVAL);
            let pause = lasted.saturating_mul(PAUSE).max(INTERVAL);
            freed_memory.due.store(clock.now() + pause, Ordering::Relaxed);
        }));
    }
}
