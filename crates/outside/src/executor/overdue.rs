//! Handlers for which nobody waits any more, and which run on.
//!
//! They were told to end, if their language can. One that has not ended after a while is given up: its thread is not
//! reckoned with any more, so that its like do not use up the workers. Few are forgiven, see [`MOST_GIVEN_UP`]; those
//! beyond go on counting, so that a route that hangs every time is turned away in the end, and threads stay bounded.

use std::sync::Arc;
use std::time::Duration;

use super::sync::{Instant, MOST_GIVEN_UP};
use super::{Executor, ReplySlot, lock};
use crate::message::Request;

/// A job that nobody waits for.
pub(super) struct Overdue {
    slot: Arc<ReplySlot>,
    request: Option<Arc<Request>>,
    until: Instant,
}

/// One that has not ended in time.
pub(super) struct GivenUp {
    pub(super) request: Option<Arc<Request>>,
    /// Does its thread go on counting as a worker?
    pub(super) counts: bool,
}

impl Executor {
    /// Nobody waits for the job of this slot any more: what has not begun never will. `true` if a call of it runs; it is
    /// given up if it goes on for longer than this.
    pub(crate) fn abandon(&self, slot: &Arc<ReplySlot>, request: Option<&Arc<Request>>, patience: Duration) -> bool {
        let runs = slot.close();
        if runs {
            let (slot, request) = (Arc::clone(slot), request.cloned());
            lock(&self.overdue).push(Overdue { slot, request, until: Instant::now() + patience });
        }
        runs
    }

    /// The call of this slot, which was abandoned, makes a piece for a client that is gone: it ends with the piece, and until
    /// then its thread does not count as a worker, unless as many do as may work.
    pub(crate) fn uncount(self: &Arc<Self>, slot: &ReplySlot) {
        // Under the lock, so that its thread cannot come back before it is counted.
        let mut threads = lock(&self.threads);
        if threads.uncounted < self.max_workers && slot.uncount() {
            threads.uncounted += 1;
            threads.detached -= 1;
            self.call_threads(threads);
        }
    }

    /// Gives up those whose time is over.
    pub(super) fn give_up(self: &Arc<Self>) -> Vec<GivenUp> {
        let mut overdue = lock(&self.overdue);
        if overdue.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        overdue.retain(|late| late.slot.is_overdue());
        let due: Vec<_> = overdue.extract_if(.., |late| late.until <= now).collect();
        drop(overdue);
        let mut given_up = Vec::new();
        for late in due {
            // Under the lock, so that its thread cannot come back before it is counted.
            let mut threads = lock(&self.threads);
            let counts = threads.given_up >= MOST_GIVEN_UP;
            if !counts {
                let Some(counted) = late.slot.give_up() else { continue };
                threads.given_up += 1;
                match counted {
                    true => threads.detached -= 1,
                    false => threads.uncounted -= 1,
                }
                self.call_threads(threads);
            }
            given_up.push(GivenUp { request: late.request, counts });
        }
        given_up
    }
}
