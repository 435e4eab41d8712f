//! Wakes of event loops that a thread holds back while it finishes a batch of requests.
//!
//! A thread with an event loop of its own, such as asyncio's, answers several requests in a row. Each answer would wake
//! the reactor: a system call, and often a change of threads in the middle of the batch. A thread that has called
//! [`hold_wakes`] notes the wakers instead, and wakes each of them once at the end.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Answers after which the wakes are not held back any longer.
const MOST_ANSWERS: usize = 8;
/// Time after which they are not.
const LONGEST_HOLD: Duration = Duration::from_micros(250);

/// The wakes that threads hold back.
struct HeldWakes {
    wakers: Vec<Waker>,
    answers: usize,
    since: Option<Instant>,
}

thread_local! {
    /// Whether this thread holds wakes back.
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

/// One for all threads, nearly always for a single one: event loops look at it when such a thread does not come to its end.
static HELD: Mutex<HeldWakes> = Mutex::new(HeldWakes { wakers: Vec::new(), answers: 0, since: None });

fn held() -> MutexGuard<'static, HeldWakes> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds back the wakes of this thread until [`release_wakes`], for 250 µs, or for eight answers. Returns `false` if
/// they are held back already.
pub fn hold_wakes() -> bool {
    let begins = !HOLDS.replace(true);
    if begins {
        let mut held = held();
        (held.answers, held.since) = (0, Some(Instant::now()));
    }
    begins
}

/// Wakes the loops that were to be woken, and holds back no more.
pub fn release_wakes() {
    if HOLDS.replace(false) {
        let woken = std::mem::take(&mut held().wakers);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Wakes now, or at the end of the batch if this thread holds wakes back.
pub fn wake_held(waker: Waker) {
    if !HOLDS.get() {
        waker.wake();
        return;
    }
    let mut held = held();
    held.answers += 1;
    if !held.wakers.iter().any(|other| other.will_wake(&waker)) {
        held.wakers.push(waker);
    }
    if held.answers < MOST_ANSWERS && !held.is_overdue() {
        return;
    }
    let woken = held.take();
    drop(held);
    woken.into_iter().for_each(Waker::wake);
}

/// Wakes what is held back for too long: the thread waits in a handler behind the one that has answered. For a regular look.
pub(crate) fn wake_overdue() {
    let mut held = held();
    if held.wakers.is_empty() || !held.is_overdue() {
        return;
    }
    let woken = held.take();
    drop(held);
    woken.into_iter().for_each(Waker::wake);
}

impl HeldWakes {
    fn is_overdue(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() >= LONGEST_HOLD)
    }

    fn take(&mut self) -> Vec<Waker> {
        (self.answers, self.since) = (0, Some(Instant::now()));
        std::mem::take(&mut self.wakers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    // The tests of this process share what is held back: another one may wake sooner.
    #[test]
    fn several_answers_wake_a_loop_once() {
        let count = Arc::new(Count::default());
        let wake = || wake_held(Waker::from(Arc::clone(&count)));
        wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(hold_wakes());
        assert!(!hold_wakes());
        (0..3).for_each(|_| wake());
        release_wakes();
        let woken = count.0.load(Ordering::SeqCst);
        assert!((2..=4).contains(&woken), "{woken}");
        wake();
        assert_eq!(count.0.load(Ordering::SeqCst), woken + 1);
    }

    #[test]
    fn many_answers_do_not_wait_for_the_end() {
        let count = Arc::new(Count::default());
        assert!(hold_wakes());
        (0..MOST_ANSWERS).for_each(|_| wake_held(Waker::from(Arc::clone(&count))));
        assert!(count.0.load(Ordering::SeqCst) >= 1);
        release_wakes();
    }

    #[test]
    fn an_answer_does_not_wait_for_a_handler_behind_it() {
        let count = Arc::new(Count::default());
        assert!(hold_wakes());
        wake_held(Waker::from(Arc::clone(&count)));
        while count.0.load(Ordering::SeqCst) == 0 {
            wake_overdue();
        }
        release_wakes();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
