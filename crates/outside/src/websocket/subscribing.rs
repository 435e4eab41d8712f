//! Subscribing a connection to topics.

use super::shared::WebSocketConnection;
use super::subscriptions::Added;
use crate::protocol::websocket::Close;

impl WebSocketConnection {
    /// Subscribes the connection to a topic. A connection with more than `max_topics` ends with 1008; a name counts
    /// once for each 256 bytes or part of them.
    pub fn subscribe(&self, topic: &str) {
        let room = &self.0.room;
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        match state.topics.add(topic, room.bounds().max_topics) {
            Added::KnownHeader => {}
            Added::New(name) => {
                drop(state);
                room.add(name, self);
                // The connection may have ended in the meantime.
                if self.lock().is_over {
                    room.remove(topic, self);
                }
            }
            Added::TooMany => {
                drop(state);
                room.bounds().complain("max_topics", "a WebSocket has subscribed to too many topics");
                if let Ok(close) = Close::new(1008, "too many topics") {
                    self.close(&close);
                }
            }
        }
    }

    /// Ends the subscription to a topic.
    pub fn unsubscribe(&self, topic: &str) {
        self.lock().topics.remove(topic);
        self.0.room.remove(topic, self);
    }
}
