//! The sentinel: a thread that notices when a call lasts, and gives the event loop to another thread.
//!
//! It never runs user code and never waits for a lock that another thread holds while running it. While no handler is
//! called it sleeps without a timer. It lives until the last leader dismisses it: stopping waits behind slow calls too.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Executor;
use super::job::Command;
use super::leader_lease::LeasedCall;
use super::sync::{AtomicBool, Builder, Ordering, QUIET_TICKS, Thread, park, park_timeout};

/// Time between two looks at the lease: a call that both looks see is slow.
const TICK: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Sentinel {
    asleep: AtomicBool,
    dismissed: AtomicBool,
    thread: OnceLock<Thread>,
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

    fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl<C: Command> Executor<C> {
    pub(super) fn start_sentinel(self: &Arc<Self>) -> io::Result<()> {
        let executor = Arc::clone(self);
        let thread = Builder::new().name("outside-sentinel".into()).spawn(move || executor.watch())?;
        if self.sentinel.thread.set(thread.thread().clone()).is_ok() {
            thread.thread().unpark();
        }
        Ok(())
    }

    fn watch(self: &Arc<Self>) {
        let mut last = self.lease.snapshot();
        let mut quiet = 0;
        while !self.sentinel.is_dismissed() {
            if quiet < QUIET_TICKS {
                park_timeout(TICK);
            } else {
                self.sentinel.asleep.store(true, Ordering::SeqCst);
                while self.sentinel.asleep.load(Ordering::SeqCst)
                    && self.lease.snapshot() == last
                    && !self.sentinel.is_dismissed()
                {
                    park();
                }
                self.sentinel.asleep.store(false, Ordering::SeqCst);
                quiet = 0;
            }
            // One look decides about both: a call that began since the last look is not slow, and prevents the sleep.
            let now = self.lease.snapshot();
            if now != last {
                quiet = 0;
            } else if let Some(call) = LeasedCall::in_lease(now) {
                self.take_over(call);
            } else {
                quiet += 1;
            }
            last = now;
        }
    }
}
