//! What another language needs around the threads that run its handlers.

use std::sync::Arc;

use crate::message::Request;

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
