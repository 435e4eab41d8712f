//! The sentinel: a thread that notices when a call lasts, and gives the event loop to another thread.
//!
//! It never runs user code and never waits for a lock that another thread holds while running it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::leader_lease::LeasedCall;
use super::reactor::Executor;
use super::sync::{Builder, Ordering, QUIET_TICKS, park, park_timeout};

/// Time between two looks at the lease: a call that both looks see is slow.
const TICK: Duration = Duration::from_millis(1);

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
                self.sentinel.turns.next();
            } else {
                self.sentinel.asleep.store(true, Ordering::SeqCst);
                while self.sentinel.asleep.load(Ordering::SeqCst)
                    && self.lease.snapshot() == last
                    && !self.sentinel.is_dismissed()
                {
                    park();
                }
                self.sentinel.turns.next();
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
