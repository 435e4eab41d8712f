//! Decides where a route's calls run: on the event loop's thread between two turns, or on a thread of the pool.
//!
//! The decision follows from how long the calls of a route *wait* (wall time less the time in which the thread ran or
//! was ready to run): a route that burns CPU gains nothing in a pool. If two of the last eight measured calls waited,
//! the route goes to the pool; only trials bring it back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::{HandlerCells, Monotonic, count_handler, nanoseconds};

/// The measurements of one route's calls. Threads may update them at the same time; a lost update only delays a
/// decision.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    /// The programmer's choice: `Some(true)`, always the pool; `Some(false)`, never.
    blocking: Option<bool>,
    /// One bit for each of the last calls, the newest lowest: whether it waited.
    waited: AtomicU8,
    pooled: AtomicBool,
    /// Further calls that are measured closely.
    suspicion: AtomicU8,
    /// For each reactor, whether a call of this route runs on a thread that leads it, or led it when the call began.
    called: Flags,
    /// Time since which a late call has kept others from beginning, in milliseconds of the clock; 0 if none has.
    late_since: AtomicU64,
    /// Time of the next trial of a pooled route on the loop's thread, in milliseconds of the clock.
    next_trial: AtomicU64,
    /// Trials in a row that did not wait.
    good_trials: AtomicU8,
    /// Counts how long requests waited for their calls, and how long the calls lasted, if anything is counted.
    counted: OnceLock<HandlerCells>,
}

/// One of the reactors of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reactor(u8);

impl Reactor {
    /// The reactor of this number, from 0 to 63.
    pub(crate) fn new(number: usize) -> Self {
        Self((number % REACTORS) as u8)
    }
}

/// A flag for each reactor: plain stores set it. A bit in a common word would need two atomic exchanges per call.
#[derive(Debug)]
struct Flags([AtomicBool; REACTORS]);

impl Default for Flags {
    fn default() -> Self {
        Self([const { AtomicBool::new(false) }; REACTORS])
    }
}

const REACTORS: usize = 64;

/// The degree of suspicion that a route waits, which decides how its next call is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// A recent call took long, but did not wait.
    Weak,
    /// A call may have waited: if one more does, the route goes to the pool.
    Strong,
}

/// Waiting time from which a call is slow, and belongs in the pool.
pub(crate) const SLOW: Duration = Duration::from_micros(500);
const SLOW_CALLS: u32 = 2;
/// Short calls in a row after which a route is no longer under suspicion.
const SUSPICION: u8 = 64;
/// Milliseconds for which a late call holds up others before no more requests wait for it.
const LATE_FOR_LONG: u64 = 1000;
const TRIAL_EVERY: u64 = 2000;
const GOOD_TRIALS: u8 = 4;

impl Placement {
    pub(crate) fn new(blocking: Option<bool>) -> Self {
        Self { blocking, ..Self::default() }
    }

    /// Has calls counted.
    pub(crate) fn count_in(&self, make: impl FnOnce() -> HandlerCells) {
        self.counted.get_or_init(make);
    }

    /// Counts the duration of a call, if anything is counted.
    pub(crate) fn count(&self, lasted: Duration) {
        if let Some(counted) = self.counted.get() {
            count_handler(&counted.lasted, nanoseconds(lasted));
        }
    }

    /// Counts the time from a complete head to the call that begins now, if anything is counted.
    pub(crate) fn count_wait(&self, since: Option<Monotonic>, now: Monotonic) {
        if let (Some(counted), Some(since)) = (self.counted.get(), since) {
            count_handler(&counted.waited, now.nanoseconds_since(since));
        }
    }

    /// Whether the next call runs in the pool. From time to time a pooled route is tried on the loop's thread again.
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

    /// Notes that a call begins on the thread of this reactor's loop.
    pub(crate) fn begin(&self, here: Reactor) {
        self.called.0[usize::from(here.0)].store(true, Ordering::Relaxed);
    }

    /// Notes that the call has ended, on whichever thread the loop runs now.
    pub(crate) fn end(&self, here: Reactor) {
        self.called.0[usize::from(here.0)].store(false, Ordering::Relaxed);
        if self.late_since.load(Ordering::Relaxed) != 0 {
            self.late_since.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the route is known to wait.
    pub(crate) fn is_pooled(&self) -> bool {
        self.blocking.unwrap_or_else(|| self.pooled.load(Ordering::Relaxed))
    }

    /// Whether the route is known to wait, or a call has kept others from beginning for so long that no more requests
    /// should queue for it. Called when there is no room for a request; the first such call starts the clock.
    pub(crate) fn waits_for_long(&self, here: Reactor, now: Duration) -> bool {
        if self.is_pooled() || !self.is_late(here) {
            return self.is_pooled();
        }
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let since = self.late_since.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        since.is_err_and(|since| now.saturating_sub(since) >= LATE_FOR_LONG)
    }

    /// For a leader that runs no call: whether a call of this route still runs on a late thread. Then the next ones go
    /// to the pool; otherwise each of them would take another thread until the first has ended and been measured. Calls
    /// of other reactors do not count: they may be in time.
    pub(crate) fn is_late(&self, here: Reactor) -> bool {
        self.blocking.is_none() && self.called.0[usize::from(here.0)].load(Ordering::Relaxed)
    }

    /// The precision with which the next call is to be measured; `None`: not at all. So the first long call is not
    /// measured, and counts as one that waited.
    pub(crate) fn suspicion(&self) -> Option<Suspicion> {
        match (self.waited.load(Ordering::Relaxed), self.suspicion.load(Ordering::Relaxed)) {
            (0, 0) => None,
            (0, _) => Some(Suspicion::Weak),
            _ => Some(Suspicion::Strong),
        }
    }

    /// Records a call on the loop's thread: its wall time, the part of it that it waited, and the clock.
    pub(crate) fn note(&self, elapsed: Duration, waited: Duration, now: impl FnOnce() -> Duration) {
        let suspicion = self.suspicion.load(Ordering::Relaxed);
        let is_long = elapsed >= SLOW;
        if suspicion == 0 && !is_long {
            return;
        }
        // A route that is always quick pays one load and one comparison for a call. A long call puts it under suspicion
        // for some calls: only these are measured closely, because the time that a thread waited takes system calls.
        self.suspicion.store(if is_long { SUSPICION } else { suspicion - 1 }, Ordering::Relaxed);
        let slow = waited >= SLOW;
        let now = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        let calls = self.waited.load(Ordering::Relaxed) << 1 | u8::from(slow);
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
            // A successful trial is followed by the next one at once.
            self.next_trial.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HERE: Reactor = Reactor(0);

    #[test]
    fn two_slow_calls_of_eight_send_a_route_away_and_four_good_trials_bring_it_back() {
        let placement = Placement::new(None);
        placement.note(MS, MS, || Duration::from_millis(0));
        (0..7).for_each(|_| placement.note(Duration::ZERO, Duration::ZERO, || Duration::from_millis(0)));
        placement.note(MS, MS, || Duration::from_millis(0));
        assert!(!placement.wants_pool(0, HERE), "the first one is forgotten by then");
        placement.note(MS, MS, || Duration::from_millis(0));
        assert!(placement.wants_pool(0, HERE));
        assert!(!placement.wants_pool(TRIAL_EVERY, HERE), "a trial");
        assert!(placement.wants_pool(TRIAL_EVERY, HERE), "one at a time");
        placement.note(MS, MS, || Duration::from_millis(TRIAL_EVERY));
        for trial in 0..GOOD_TRIALS {
            assert!(!placement.wants_pool(2 * TRIAL_EVERY, HERE), "trial {trial}");
            placement.note(Duration::ZERO, Duration::ZERO, || Duration::from_millis(2 * TRIAL_EVERY));
        }
        assert!(!placement.wants_pool(2 * TRIAL_EVERY, HERE));
        (0..SUSPICION).for_each(|_| placement.note(Duration::ZERO, Duration::ZERO, || Duration::ZERO));
        assert_eq!(placement.suspicion(), None);
    }

    #[test]
    fn a_route_that_computes_stays_and_is_watched() {
        let placement = Placement::new(None);
        placement.note(MS, MS, || Duration::ZERO);
        for _ in 0..100 {
            assert!(placement.suspicion().is_some() && !placement.wants_pool(0, HERE));
            placement.note(MS, Duration::ZERO, || Duration::ZERO);
        }
        assert_eq!(placement.suspicion(), Some(Suspicion::Weak));
    }

    #[test]
    fn a_route_is_late_for_long_after_a_second_in_which_there_was_no_room() {
        let (placement, at) = (Placement::new(None), Duration::from_millis);
        assert!(!placement.waits_for_long(HERE, at(0)));
        placement.begin(HERE);
        assert!(!placement.waits_for_long(HERE, at(5000)) && !placement.waits_for_long(HERE, at(5999)));
        assert!(placement.waits_for_long(HERE, at(6000)));
        placement.end(HERE);
        placement.begin(HERE);
        assert!(!placement.waits_for_long(HERE, at(7000)), "another call");
        assert!(Placement::new(Some(true)).waits_for_long(HERE, at(0)));
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
    fn a_declared_placement_stays() {
        let (pooled, inline) = (Placement::new(Some(true)), Placement::new(Some(false)));
        (0..9).for_each(|_| inline.note(MS, MS, || Duration::from_millis(0)));
        (0..9).for_each(|_| pooled.note(Duration::ZERO, Duration::ZERO, || Duration::from_millis(0)));
        assert!(pooled.wants_pool(u64::MAX, HERE) && !inline.wants_pool(u64::MAX, HERE));
    }
}
