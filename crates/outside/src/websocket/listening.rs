//! Waiting for a connection without a thread: a listener is told when there is something to be had. For bindings that have
//! an event loop of their own.

use super::connection::WebSocketConnection;
use super::message::{Message, WebSocketExit};

impl WebSocketConnection {
    /// Sets what is told, once, of what was asked for with one of the functions below, or of the end. Called inside the event
    /// loop: must not block.
    pub fn set_listener(&self, listener: impl Fn() + Send + Sync + 'static) {
        // There is one, set before anything can happen.
        let _is_the_first = self.0.listener.set(Box::new(listener));
    }

    /// The next message; if there is none, the listener is told when one has come.
    ///
    /// # Errors
    /// As [`WebSocketConnection::recv`].
    pub fn recv_or_listen(&self) -> Result<Option<Message>, WebSocketExit> {
        let (rest, taken) = self.take(self.lock());
        if let Some(mut state) = rest {
            state.is_listening = true;
        }
        taken
    }

    /// Is the queue full? Then the listener is told when it is not.
    pub fn listen_for_room(&self) -> bool {
        let mut state = self.lock();
        let is_full = state.queue.cost() > self.max_queue() / 2 && state.exit.is_none();
        state.is_listening |= is_full;
        is_full
    }
}
