//! The frame that another language needs around the threads that run its handlers.

use std::sync::Arc;
use std::time::Duration;

use crate::message::Request;

/// A call of a handler that has not ended.
#[derive(Clone, Debug)]
pub struct RunningCall {
    /// The request.
    pub request: Arc<Request>,
    /// The language's number of the thread that runs the handler, if one thread does.
    pub thread: Option<u64>,
    /// Whether it is a WebSocket, which may last for as long as its client likes.
    pub is_websocket: bool,
}

/// Descriptors of this process, by number: a pipe that takes questions about its handlers, and a file in memory that
/// gets the answers; and a signal that writes the stacks of all threads into a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSource {
    /// Takes a line with the number of a question.
    pub questions: i32,
    /// Gets the answers.
    pub answers: i32,
    /// Gets the stacks at the signal.
    pub stacks: i32,
    /// The number of the signal.
    pub signal: i32,
}

/// Frames the life and the work of the threads that run handlers, for languages that need it.
pub trait LanguageRuntime: Send + Sync {
    /// Whether the handlers are functions of the Rust face, for which the engine has sessions and debug pages of its own.
    fn is_native(&self) -> bool {
        false
    }

    /// Runs a thread's whole life.
    fn live(&self, life: &mut (dyn FnMut() + Send));

    /// Runs a batch of handlers within such a life.
    fn work(&self, batch: &mut (dyn FnMut() + Send));

    /// This thread drives an event loop, and is about to look at what there is: a turn begins.
    fn begin_turn(&self) {}

    /// The turn has ended: this thread waits for the network, or leaves the event loop.
    fn end_turn(&self, is_waiting: bool) {
        let _ = is_waiting; // Most languages have nothing to do.
    }

    /// Ends the handler of this request, which has run longer than `process_timeout`, if the language can. May wait for
    /// locks of the language: the server calls it on a thread of its own.
    fn interrupt(&self, request: &Arc<Request>) {
        // Most languages cannot.
        let _ = request;
    }

    /// Called when the handler of this request, or the one that makes a streamed body, has not ended `termination_timeout`
    /// after that: the server gives its thread up. May wait like `interrupt`.
    fn give_up(&self, request: Option<&Arc<Request>>) {
        let _ = request; // Most languages have nothing to do.
    }

    /// Called several times a second, inside the event loop: must not wait.
    fn tick(&self) {}

    /// Called after much memory was freed: has the allocator give it back to the system, if it keeps it. Called on a thread of its
    /// own, at most once a second; a program in Rust chooses its allocator, and is not asked.
    fn release_memory(&self) {}

    /// Called when this process has had `max_requests` requests: asks a supervisor for another one, which will take its
    /// place. Called inside the event loop: must not wait.
    fn recycle(&self) {}

    /// The same when this process has more memory than `max_worker_memory_mb`.
    fn recycle_for_memory(&self) {
        self.recycle();
    }

    /// Called when the end of the server waits for handlers: names them, if the language can. May wait like `interrupt`.
    fn name_running(&self) {}

    /// Called when an application that has no deadline has not answered this request for `process_timeout`: says where it
    /// is, if the language can. May wait like `interrupt`.
    fn note_hanging(&self, request: &Arc<Request>) {
        let _ = request; // Most languages cannot.
    }

    /// The calls that run now: asked several times a second while the server has a status page, inside the event loop,
    /// so it must not wait for a lock of the language.
    fn running(&self) -> Vec<RunningCall> {
        Vec::new()
    }

    /// The time for which threads have waited to enter the language.
    fn waited(&self) -> Option<Duration> {
        None
    }

    /// How another process learns where the handlers of this one are; `None`: it cannot.
    fn stack_source(&self) -> Option<StackSource> {
        None
    }

    /// Called before a thread is given up. Asks a supervisor for another process in the place of this one, and returns
    /// whether there is one that will come; then the server retires. Called inside the event loop: must not wait, for a lock
    /// of the language least of all.
    fn replace(&self) -> bool {
        false
    }
}

/// Handlers that need no frame.
#[derive(Debug, Default)]
pub struct NoRuntime;

impl LanguageRuntime for NoRuntime {
    fn is_native(&self) -> bool {
        true
    }

    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        batch();
    }
}
