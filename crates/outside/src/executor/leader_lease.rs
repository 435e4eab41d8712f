//! The lease on the event loop: which thread leads, and whether it is inside a call of a handler, in 64 bits.
//!
//! Starting a call, ending it, and taking the loop over while it runs are compare-exchanges on this lease: exactly one
//! side wins. A thread that has lost its epoch touches neither queue nor event loop any more.

use super::sync::{AtomicU64, Ordering};

/// The right to drive the event loop. Each take-over begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// One call of a handler within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeasedCall(u64);

/// The lease: {epoch, call number, running} in one word of memory, changed by compare-exchange alone.
///
/// Two threads may want it at once: the leader, whose call has just ended, and the sentinel, which has seen that call
/// last too long. Each of them compares with the value of exactly this call, so one succeeds and the other one learns
/// that it has lost. Because each call has a number of its own, a sentinel that was delayed between its look and its
/// exchange cannot take the loop over from a later call that is quick. A late leader finds its epoch gone when the call
/// ends (`end` is `false`) or before the next one (`begin` is `None`), and touches neither the queue nor the loop.
pub(crate) struct LeaderLease(pub(super) AtomicU64);

/// Low bit: a call is running. Above it 31 bits of call number, above them 32 bits of epoch.
pub(super) const RUNNING: u64 = 1;
const ONE_CALL: u64 = 2;
const ONE_EPOCH: u64 = 1 << 32;
pub(super) const CALL_MASK: u64 = ONE_EPOCH - 1;

impl Epoch {
    pub(crate) const FIRST: Self = Self(0);
}

impl LeasedCall {
    /// The call that was running when the lease had this value.
    pub(crate) fn in_lease(snapshot: u64) -> Option<Self> {
        (snapshot & RUNNING != 0).then_some(Self(snapshot))
    }
}

impl LeaderLease {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Starts a call of the leader; `None` if the epoch is over.
    pub(crate) fn begin(&self, epoch: Epoch) -> Option<LeasedCall> {
        let idle = self.0.load(Ordering::Relaxed);
        let running = (idle & !CALL_MASK) | ((idle + ONE_CALL) & CALL_MASK) | RUNNING;
        let ours = idle & !CALL_MASK == epoch.0 && idle & RUNNING == 0;
        (ours && self.0.compare_exchange(idle, running, Ordering::SeqCst, Ordering::Relaxed).is_ok())
            .then_some(LeasedCall(running))
    }

    /// Ends the call; `false` if the loop was taken over meanwhile.
    pub(crate) fn end(&self, call: LeasedCall) -> bool {
        self.0.compare_exchange(call.0, call.0 & !RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends the epoch in which this call runs and begins the next one; `None` if the call has ended.
    pub(crate) fn take_over(&self, call: LeasedCall) -> Option<Epoch> {
        let next = (call.0 & !CALL_MASK).wrapping_add(ONE_EPOCH);
        self.0.compare_exchange(call.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok().then_some(Epoch(next))
    }

    /// The number of epochs before this one.
    pub(crate) fn epochs(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / ONE_EPOCH
    }

    /// The value of the lease, which changes when a call begins or ends.
    pub(crate) fn snapshot(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
