//! Wakes of a connection's task by itself.
//!
//! `h2` wakes the task whenever a stream has something to be sent. The task answers streams itself, and has `h2` write right
//! behind that: such a wake would have the task polled once more, for nothing. So `h2` gets a waker that only notes
//! a wake while the task is polled. The note is taken back when `h2` is going to be called anyway, and passed on if it is there
//! at the end of the poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

/// The waker for `h2`, in the hands of the task.
pub(super) struct OwnWakes {
    note: Arc<WakeNote>,
    waker: Waker,
}

/// The same, in the hands of `h2`.
struct WakeNote {
    state: AtomicU8,
    task: Waker,
}

/// The task is not polled: a wake is passed on at once.
const IDLE: u8 = 0;
/// The task is polled.
const POLLED: u8 = 1;
/// The task is polled, and was woken meanwhile.
const WOKEN: u8 = 2;

impl OwnWakes {
    /// For the task of this context, whose waker stays the same for its whole life.
    pub(super) fn of(context: &Context<'_>) -> Self {
        let note = Arc::new(WakeNote { state: AtomicU8::new(IDLE), task: context.waker().clone() });
        Self { waker: Waker::from(Arc::clone(&note)), note }
    }

    /// Begins to note wakes, and forgets those before: `h2` is going to be called after this.
    pub(super) fn begin(&self) {
        self.note.state.swap(POLLED, Ordering::AcqRel);
    }

    /// Passes wakes on again, and one that was noted.
    pub(super) fn end(&self) {
        if self.note.state.swap(IDLE, Ordering::AcqRel) == WOKEN {
            self.note.task.wake_by_ref();
        }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Wake for WakeNote {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One exchange decides: a wake that comes after the end of a poll is passed on, one before it is noted.
        match self.state.compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(WOKEN) => {}
            Err(_) => self.task.wake_by_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_is_passed_on_unless_h2_is_called_afterwards() {
        let counted = Arc::<Counted>::default();
        let task = Waker::from(Arc::clone(&counted));
        let wakes = OwnWakes::of(&Context::from_waker(&task));
        let count = || counted.0.load(Ordering::SeqCst);
        wakes.waker().wake_by_ref();
        assert_eq!(count(), 1, "nothing polls the task");
        wakes.begin();
        wakes.waker().wake_by_ref();
        wakes.begin();
        wakes.end();
        assert_eq!(count(), 1, "h2 was called after the wake");
        wakes.begin();
        wakes.waker().wake_by_ref();
        wakes.waker().wake_by_ref();
        assert_eq!(count(), 1);
        wakes.end();
        assert_eq!(count(), 2, "h2 was not called again");
        wakes.end();
        assert_eq!(count(), 2);
        wakes.waker().wake_by_ref();
        assert_eq!(count(), 3);
    }
}
