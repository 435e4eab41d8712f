//! Where a route's calls belong: on the event loop's thread between two turns, or on a thread of the pool.
//!
//! Routes learn it from how long their calls *wait* (wall time less the thread's CPU time): a route that burns CPU gains
//! nothing in a pool. Two of the last eight calls that waited send a route to the pool; only trials bring it back.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// What is known about the calls of one route. Threads may update it at the same time; a lost update costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    /// What the user said: `Some(true)`, always in the pool; `Some(false)`, never.
    blocking: Option<bool>,
    /// One bit for each of the last calls, the newest lowest: did it wait?
    waited: AtomicU8,
    pooled: AtomicBool,
    /// A bit for each reactor: is its leader, or one who led when it began, inside a call?
    called: AtomicU64,
    /// When a pooled route is tried on the loop's thread again, in milliseconds of the clock.
    next_trial: AtomicU64,
    /// Trials in a row that did not wait.
    good_trials: AtomicU8,
}

/// One of the reactors of a server, as a bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reactor(u64);

impl Reactor {
    /// The reactor of this number, from 0 to 63.
    pub(crate) fn new(number: usize) -> Self {
        Self(1 << number)
    }
}

/// A call that waits less is at home on the loop's thread.
pub(crate) const SLOW: Duration = Duration::from_micros(500);
const SLOW_CALLS: u32 = 2;
const TRIAL_EVERY: u64 = 2000;
const GOOD_TRIALS: u8 = 4;

impl Placement {
    pub(crate) fn new(blocking: Option<bool>) -> Self {
        Self { blocking, ..Self::default() }
    }

    /// Does the next call belong in the pool? Now and then a pooled route is tried on the loop's thread.
    pub(crate) fn wants_pool(&self, now: u64, here: Reactor) -> bool {
        if let Some(blocking) = self.blocking {
            return blocking;
        }
        if self.is_late(here) {
            return true;
        }
        if !self.pooled.load(Ordering::Relaxed) {
            return false;
        }
        let next = self.next_trial.load(Ordering::Relaxed);
        let tries = now >= next
            && self.next_trial.compare_exchange(next, now + TRIAL_EVERY, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        !tries
    }

    /// A call begins on the thread of this reactor's loop.
    pub(crate) fn begin(&self, here: Reactor) {
        self.called.fetch_or(here.0, Ordering::Relaxed);
    }

    /// It has ended, wherever the loop is by now.
    pub(crate) fn end(&self, here: Reactor) {
        self.called.fetch_and(!here.0, Ordering::Relaxed);
    }

    /// Asked by who leads and calls nothing: does a call last on a thread that has lost the loop? The next ones are for
    /// the pool, or each of them would take a thread of its own until the first one ends and is learnt from. What other
    /// reactors are calling says nothing: they may be in time.
    pub(crate) fn is_late(&self, here: Reactor) -> bool {
        self.blocking.is_none() && self.called.load(Ordering::Relaxed) & here.0 != 0
    }

    /// Is it worth measuring the next call closely?
    pub(crate) fn is_suspect(&self) -> bool {
        self.waited.load(Ordering::Relaxed) != 0
    }

    /// A call on the loop's thread has ended after waiting this long; `now` is the clock.
    pub(crate) fn note(&self, waited: Duration, now: impl FnOnce() -> Duration) {
        let slow = waited >= SLOW;
        let before = self.waited.load(Ordering::Relaxed);
        if before == 0 && !slow {
            return;
        }
        let now = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        let calls = before << 1 | u8::from(slow);
        self.waited.store(calls, Ordering::Relaxed);
        if self.blocking.is_some() {
            return;
        }
        if !self.pooled.load(Ordering::Relaxed) {
            if calls.count_ones() >= SLOW_CALLS {
                self.next_trial.store(now + TRIAL_EVERY, Ordering::Relaxed);
                self.good_trials.store(0, Ordering::Relaxed);
                self.pooled.store(true, Ordering::Relaxed);
            }
        } else if slow {
            self.good_trials.store(0, Ordering::Relaxed);
        } else if self.good_trials.fetch_add(1, Ordering::Relaxed) + 1 >= GOOD_TRIALS {
            self.waited.store(0, Ordering::Relaxed);
            self.pooled.store(false, Ordering::Relaxed);
        } else {
            // One that did well is tried again at once.
            self.next_trial.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HERE: Reactor = Reactor(1);

    #[test]
    fn two_slow_calls_of_eight_send_a_route_away_and_four_good_trials_bring_it_back() {
        let placement = Placement::new(None);
        placement.note(MS, || Duration::from_millis(0));
        (0..7).for_each(|_| placement.note(Duration::ZERO, || Duration::from_millis(0)));
        placement.note(MS, || Duration::from_millis(0));
        assert!(!placement.wants_pool(0, HERE), "the first one is forgotten by then");
        placement.note(MS, || Duration::from_millis(0));
        assert!(placement.wants_pool(0, HERE));
        assert!(!placement.wants_pool(TRIAL_EVERY, HERE), "a trial");
        assert!(placement.wants_pool(TRIAL_EVERY, HERE), "one at a time");
        placement.note(MS, || Duration::from_millis(TRIAL_EVERY));
        for trial in 0..GOOD_TRIALS {
            assert!(!placement.wants_pool(2 * TRIAL_EVERY, HERE), "trial {trial}");
            placement.note(Duration::ZERO, || Duration::from_millis(2 * TRIAL_EVERY));
        }
        assert!(!placement.wants_pool(2 * TRIAL_EVERY, HERE));
        assert!(!placement.is_suspect());
    }

    #[test]
    fn while_a_call_is_late_the_others_go_to_the_pool() {
        let (placement, inline) = (Placement::new(None), Placement::new(Some(false)));
        placement.begin(HERE);
        inline.begin(HERE);
        assert!(placement.wants_pool(0, HERE) && !inline.wants_pool(0, HERE));
        assert!(!placement.wants_pool(0, Reactor::new(1)), "another reactor may call it meanwhile");
        placement.end(HERE);
        assert!(!placement.wants_pool(0, HERE));
    }

    #[test]
    fn what_the_user_said_stays() {
        let (pooled, inline) = (Placement::new(Some(true)), Placement::new(Some(false)));
        (0..9).for_each(|_| inline.note(MS, || Duration::from_millis(0)));
        (0..9).for_each(|_| pooled.note(Duration::ZERO, || Duration::from_millis(0)));
        assert!(pooled.wants_pool(u64::MAX, HERE) && !inline.wants_pool(u64::MAX, HERE));
    }
}
