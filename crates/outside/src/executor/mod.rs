//! Who runs a handler, and when: between two turns of the event loop, on its own thread.
//!
//! A reactor's event loop is driven by exactly one thread, the leader. A turn ([`leader`]): the loop runs until there
//! are jobs, the leader leaves it, calls handlers, and goes back. A [`sentinel`] sees a call that lasts and gives the
//! loop to a standby thread; the late one delivers its answer and becomes a standby. The [`leader_lease`] decides which of the two wins.
//! Routes whose calls wait learn to go to the [`pool`] at once. The model runs all of this on a checker's threads.
//! Connections know only [`Executor::push`], [`ReplySlot`] and [`Job`].

mod busy;
mod job;
mod leader;
mod leader_lease;
#[cfg(test)]
mod model;
mod overdue;
mod pool;
mod reactor;
mod reply_slot;
mod sentinel;
mod sync;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use job::{Exchange, Job, MOST_HELD, Work};
pub(crate) use reactor::Executor;
pub(crate) use reply_slot::{Guard, ReplySlot};
pub(crate) use turn::{Occasion, Turn};

use crate::log::Level;
use crate::message::Request;
use reactor::{Threads, lock};

/// Frames the life and the work of the threads that run handlers, for languages that need it.
pub trait LanguageRuntime: Send + Sync {
    /// Runs a thread's whole life.
    fn live(&self, life: &mut (dyn FnMut() + Send));

    /// Runs a batch of handlers within such a life.
    fn work(&self, batch: &mut (dyn FnMut() + Send));

    /// The handler of this request has run longer than `process_timeout`: ends it, if the language can. May wait for
    /// locks of the language; called on a thread that nobody waits for.
    fn interrupt(&self, request: &Arc<Request>) {
        // Most languages cannot.
        let _is_not_needed = request;
    }

    /// The handler of this request, or the one that makes a streamed body, has not ended `termination_timeout` after that:
    /// its thread is given up. May wait like `interrupt`.
    fn give_up(&self, request: Option<&Arc<Request>>) {
        let _is_not_needed = request;
    }

    /// Called several times a second, inside the event loop: must not wait.
    fn tick(&self) {}

    /// Called before a thread is given up: has another process take the place of this one, if there is somebody who can do that; then the
    /// server retires. Called inside the event loop: must not wait, for a lock of the language least of all.
    fn replace(&self) -> bool {
        false
    }
}

/// Handlers that need no frame.
#[derive(Debug, Default)]
pub struct NoRuntime;

impl LanguageRuntime for NoRuntime {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        batch();
    }
}

impl Executor {
    /// Has the handler of this request interrupted, as far as its language can.
    pub(crate) fn interrupt(self: &Arc<Self>, request: &Arc<Request>) {
        let (executor, request) = (Arc::clone(self), Arc::clone(request));
        // Beside the loop: it may wait for the language.
        drop(self.runtime.handle().spawn_blocking(move || executor.host.interrupt(&request)));
    }

    /// Looks after what has waited or run for too long; called several times a second, inside the event loop. `true` if
    /// another process takes the place of this one.
    pub(crate) fn tick(self: &Arc<Self>, termination_timeout: Duration) -> bool {
        self.expire();
        self.host.tick();
        let mut is_replaced = false;
        for given_up in self.give_up() {
            is_replaced |= self.host.replace();
            let name = given_up.request.as_ref().map_or_else(
                || "a streamed body".to_owned(),
                |request| format!("{} {}", request.method(), request.target()),
            );
            let and = match given_up.counts {
                true => "too many have been given up, so it goes on counting as one of max_workers",
                false => "its thread is given up",
            };
            let text = format!("{name}: does not end, {termination_timeout:?} after its time was over; {and}");
            self.log.event(Level::Error, text);
            let executor = Arc::clone(self);
            drop(self.runtime.handle().spawn_blocking(move || executor.host.give_up(given_up.request.as_ref())));
        }
        is_replaced
    }
}
