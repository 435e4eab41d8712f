//! Waiting for a connection without a thread, for bindings with an event loop of their own: a listener is called when
//! there is something to take.

use super::message::{Message, WebSocketExit};
use super::shared::WebSocketConnection;

impl WebSocketConnection {
    /// Sets the listener. It is called once for each request by one of the functions below, or for the end. Called
    /// inside the event loop, so it must not block.
    pub fn set_listener(&self, listener: impl Fn() + Send + Sync + 'static) {
        // The only one; set before any event.
        let _ = self.0.listener.set(Box::new(Box::new(listener)));
    }

    /// The next message. If there is none, the listener is called when one has come.
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

    /// Whether the queue is full. Then the listener is called when it has room.
    pub fn listen_for_room(&self) -> bool {
        let mut state = self.lock();
        let is_full = state.queue.cost() > self.max_queue() / 2 && state.exit.is_none();
        state.is_listening |= is_full;
        is_full
    }
}
