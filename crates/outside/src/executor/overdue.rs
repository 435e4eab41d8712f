//! Handlers that run on although their connections do not wait for them any more.
//!
//! Such handlers were told to end, if their language can do that. A handler that has not ended after a while is given
//! up: its thread is not counted any more, so that such handlers do not use up the workers. At most [`MOST_GIVEN_UP`]
//! threads go uncounted at a time; further ones count, so that a route that always hangs is turned away in the end.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::lock::lock;
use super::reactor::{Executor, Overdue};
use super::reply_slot::ReplySlot;
use super::sync::{Instant, MOST_GIVEN_UP};

/// A job that has not ended in time.
pub(crate) struct GivenUp<C: Command> {
    pub(crate) owner: Option<Arc<C::Owner>>,
    /// Whether its thread goes on counting as a worker.
    pub(crate) counts: bool,
}

impl<C: Command> Executor<C> {
    /// Stops waiting for the job of this slot: no further call of it begins. Returns whether a call of it runs; that
    /// call is given up if it lasts longer than `patience`.
    pub(crate) fn abandon(&self, slot: &Arc<ReplySlot<C>>, owner: Option<&Arc<C::Owner>>, patience: Duration) -> bool {
        let runs = slot.close();
        if runs {
            let (slot, owner) = (Arc::clone(slot), owner.cloned());
            lock(&self.overdue).push(Overdue { slot, owner, until: Instant::now() + patience });
        }
        runs
    }

    /// Stops counting the thread of this slot's abandoned call as a worker, unless `max_workers` threads are uncounted
    /// already: the call makes a piece for a client that is gone, and ends with the piece.
    pub(crate) fn uncount(self: &Arc<Self>, slot: &ReplySlot<C>) {
        // Under the lock, so that its thread cannot come back before it is counted.
        let mut threads = lock(&self.threads);
        if threads.uncounted < self.max_workers && slot.uncount() {
            threads.uncounted += 1;
            threads.detached -= 1;
            self.call_threads(threads);
        }
    }

    /// Gives up the overdue calls whose time is over.
    pub(crate) fn give_up(self: &Arc<Self>) -> Vec<GivenUp<C>> {
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
                threads.all_given_up += 1;
                match counted {
                    true => threads.detached -= 1,
                    false => threads.uncounted -= 1,
                }
                self.call_threads(threads);
            }
            given_up.push(GivenUp { owner: late.owner, counts });
        }
        given_up
    }
}
