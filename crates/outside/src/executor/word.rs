//! The one word that says who leads and whether a handler is running: {term, call, state} in 64 bits.
//!
//! Starting a call, ending it, and taking the loop over while it runs are compare-exchanges on this word: exactly one
//! side wins. Whoever loses its term touches neither queue nor event loop any more.

use super::sync::{AtomicU64, Ordering};

/// The right to drive the event loop. Each take-over begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term(u64);

/// One call of a handler within a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call(u64);

/// The word.
pub(crate) struct Word(pub(super) AtomicU64);

/// Low bit: a call is running. Above it 31 bits of call number, above them 32 bits of term.
pub(super) const RUNNING: u64 = 1;
const ONE_CALL: u64 = 2;
const ONE_TERM: u64 = 1 << 32;
pub(super) const CALL_MASK: u64 = ONE_TERM - 1;

impl Term {
    pub(crate) const FIRST: Self = Self(0);
}

impl Call {
    /// The call that was running when the word was this.
    pub(crate) fn in_word(snapshot: u64) -> Option<Self> {
        (snapshot & RUNNING != 0).then_some(Self(snapshot))
    }
}

impl Word {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The leader starts a call; `None` if it leads no more.
    pub(crate) fn begin(&self, term: Term) -> Option<Call> {
        let idle = self.0.load(Ordering::Relaxed);
        let running = (idle & !CALL_MASK) | ((idle + ONE_CALL) & CALL_MASK) | RUNNING;
        let ours = idle & !CALL_MASK == term.0 && idle & RUNNING == 0;
        (ours && self.0.compare_exchange(idle, running, Ordering::SeqCst, Ordering::Relaxed).is_ok())
            .then_some(Call(running))
    }

    /// The leader ends its call; `false` if the loop was taken over meanwhile.
    pub(crate) fn end(&self, call: Call) -> bool {
        self.0.compare_exchange(call.0, call.0 & !RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends the term in which this call runs and begins the next one; `None` if the call has ended.
    pub(crate) fn take_over(&self, call: Call) -> Option<Term> {
        let next = (call.0 & !CALL_MASK).wrapping_add(ONE_TERM);
        self.0.compare_exchange(call.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok().then_some(Term(next))
    }

    /// The word as it is: it is another one as soon as a call has begun or ended.
    pub(crate) fn snapshot(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
