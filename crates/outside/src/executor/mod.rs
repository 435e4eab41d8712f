//! Who runs a handler, and when: between two turns of the event loop, on its own thread.
//!
//! A reactor's event loop is driven by exactly one thread, the leader. A turn ([`leader`]): the loop runs until there
//! are jobs, the leader leaves it, calls handlers, and goes back. A [`sentinel`] sees a call that lasts and gives the
//! loop to a standby thread; the late one delivers its answer and becomes a standby. The [`word`] decides who wins.
//! Routes whose calls wait learn to go to the [`pool`] at once. The model runs all of this on a checker's threads.
//! Connections know only [`Executor::push`], [`Mailbox`] and [`Job`].

mod job;
mod leader;
mod mailbox;
#[cfg(test)]
mod model;
mod pool;
mod reactor;
mod sentinel;
mod sync;
#[cfg(test)]
mod tests;
mod turn;
mod word;

use std::sync::Arc;

pub(crate) use job::{Exchange, Job, Work};
pub(crate) use mailbox::Mailbox;
pub(crate) use reactor::Executor;
pub(crate) use turn::{Occasion, Turn};

use crate::message::Request;
use reactor::{Crew, lock};

/// Frames the life and the work of the threads that run handlers, for languages that need it.
pub trait Host: Send + Sync {
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
}

/// Handlers that need no frame.
#[derive(Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        batch();
    }
}

impl Executor {
    /// Has the handler of this request interrupted, as far as its language can. May wait for the language.
    pub(crate) fn interrupt(&self, request: &Arc<Request>) {
        self.host.interrupt(request);
    }
}
