//! The sizes of answers that a handler has made.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::SMALL;

/// The sizes of a handler's answers, from which the size of the next one is estimated.
#[derive(Debug, Default)]
pub struct ResponseSizes(AtomicUsize);

impl ResponseSizes {
    /// Bytes that the next answer may have; 0 while all answers were small.
    pub(crate) fn expected(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Records the size of an answer. The largest recent size is expected, until some dozens of small answers have
    /// followed.
    #[inline]
    pub(crate) fn learn(&self, size: usize) {
        let known = self.0.load(Ordering::Relaxed);
        if size > SMALL || known != 0 {
            self.learn_more(known, size);
        }
    }

    #[cold]
    fn learn_more(&self, known: usize, size: usize) {
        let largest = size.max(known - known / 16);
        // Threads may store at the same time; a lost update only makes the estimate worse.
        self.0.store(if largest > SMALL { largest } else { 0 }, Ordering::Relaxed);
    }
}
