//! Where a connection waits for its exchanges, and what it and the executor have to know of each other meanwhile.
//!
//! Exchanges of one job arrive in order: all at once as a rule, as they come when one of them is late. Whoever waits may
//! give up; then nothing of the job begins any more. Both sides decide that by compare-exchange on one state.

use std::task::{Context, Waker};

use super::Exchange;
use super::reactor::lock;
use super::sync::{AtomicU8, Mutex, Ordering};

/// A connection's mailbox; one job at a time delivers to it.
#[derive(Default)]
pub(crate) struct Mailbox {
    letter: Mutex<Letter>,
    state: AtomicU8,
}

#[derive(Default)]
struct Letter {
    exchanges: Vec<Exchange>,
    waker: Option<Waker>,
}

/// No call of the job is running.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
/// Nobody waits any more, and no call is running.
const CLOSED: u8 = 2;
/// Nobody waits any more for the call that is running.
const OVERDUE: u8 = 3;

impl Mailbox {
    /// The exchanges that have arrived, if any; else the context's waker is told when some have.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Option<Vec<Exchange>> {
        let mut letter = lock(&self.letter);
        if !letter.exchanges.is_empty() {
            return Some(std::mem::take(&mut letter.exchanges));
        }
        if !letter.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            letter.waker = Some(context.waker().clone());
        }
        None
    }

    /// Nobody waits any more. `true` if a call of the job is running; nothing else of it will.
    pub(crate) fn close(&self) -> bool {
        let closed = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
            WAITING => Some(CLOSED),
            RUNNING => Some(OVERDUE),
            _ => None,
        });
        closed == Ok(RUNNING)
    }

    /// A call begins; `false` if nobody waits for it.
    pub(super) fn begin(&self) -> bool {
        self.change(WAITING, RUNNING)
    }

    /// It has ended; `false` if nobody waits for what came of it.
    pub(super) fn end(&self) -> bool {
        let in_time = self.change(RUNNING, WAITING);
        if !in_time {
            self.state.store(CLOSED, Ordering::SeqCst);
        }
        in_time
    }

    /// Adds a finished exchange without waking anybody.
    pub(super) fn add(&self, exchange: Exchange) {
        lock(&self.letter).exchanges.push(exchange);
    }

    /// Adds exchanges, or none, and wakes who waits.
    pub(super) fn put(&self, exchanges: Vec<Exchange>) {
        let mut letter = lock(&self.letter);
        if letter.exchanges.is_empty() {
            letter.exchanges = exchanges;
        } else {
            letter.exchanges.extend(exchanges);
        }
        if let Some(waker) = &letter.waker {
            waker.wake_by_ref();
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
