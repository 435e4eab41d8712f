//! Wakes of event loops that a thread holds back while it finishes a batch of requests.
//!
//! A thread with an event loop of its own, such as asyncio's, answers several requests in a row. Each answer would wake
//! the reactor: a system call, and often a change of threads in the middle of the batch. A thread that has called
//! [`hold_wakes`] notes the wakers instead, and wakes each of them once at the end.

use std::cell::RefCell;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Answers after which the wakes are not held back any longer.
const MOST_ANSWERS: usize = 8;
/// Time after which they are not.
const LONGEST_HOLD: Duration = Duration::from_micros(250);

/// The wakes that this thread holds back.
struct HeldWakes {
    wakers: Vec<Waker>,
    answers: usize,
    since: Instant,
}

thread_local! {
    static HELD: RefCell<Option<HeldWakes>> = const { RefCell::new(None) };
}

/// Holds back the wakes of this thread until [`release_wakes`], for 250 µs, or for eight answers. Returns `false` if
/// they are held back already.
pub fn hold_wakes() -> bool {
    HELD.with_borrow_mut(|held| {
        let begins = held.is_none();
        if begins {
            *held = Some(HeldWakes { wakers: Vec::new(), answers: 0, since: Instant::now() });
        }
        begins
    })
}

/// Wakes the loops that were to be woken, and holds back no more.
pub fn release_wakes() {
    let held = HELD.with_borrow_mut(Option::take);
    held.into_iter().flat_map(|held| held.wakers).for_each(Waker::wake);
}

/// Wakes now, or at the end of the batch if this thread holds wakes back.
pub fn wake_held(waker: Waker) {
    let woken = HELD.with_borrow_mut(|held| {
        let Some(held) = held else { return vec![waker] };
        held.answers += 1;
        if !held.wakers.iter().any(|other| other.will_wake(&waker)) {
            held.wakers.push(waker);
        }
        if held.answers < MOST_ANSWERS && held.since.elapsed() < LONGEST_HOLD {
            return Vec::new();
        }
        (held.answers, held.since) = (0, Instant::now());
        std::mem::take(&mut held.wakers)
    });
    woken.into_iter().for_each(Waker::wake);
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

    #[test]
    fn several_answers_wake_a_loop_once() {
        let count = Arc::new(Count::default());
        let wake = || wake_held(Waker::from(Arc::clone(&count)));
        wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(hold_wakes());
        assert!(!hold_wakes());
        (0..3).for_each(|_| wake());
        let before = count.0.load(Ordering::SeqCst);
        release_wakes();
        assert_eq!(count.0.load(Ordering::SeqCst), before.max(1) + usize::from(before == 1));
        wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn many_answers_do_not_wait_for_the_end() {
        let count = Arc::new(Count::default());
        assert!(hold_wakes());
        (0..MOST_ANSWERS).for_each(|_| wake_held(Waker::from(Arc::clone(&count))));
        assert!(count.0.load(Ordering::SeqCst) >= 1);
        release_wakes();
    }
}
