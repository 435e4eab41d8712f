//! Subscribing a connection to topics, with the messages that it has missed, and telling it of gaps.

use std::sync::Arc;

use super::WhenGap;
use super::delivery::MessageId;
use super::shared::{Joining, JoiningConnection, WebSocketConnection};
use super::subscriptions::Added;
use crate::protocol::websocket::Close;

impl WebSocketConnection {
    /// Subscribes the connection to a topic. A connection with more than `max_topics` ends with 1008; a name counts
    /// once for each 256 bytes or part of them.
    pub fn subscribe(&self, topic: &str) {
        if let Some(name) = self.add_topic(topic) {
            self.enter_room(name, false);
        }
    }

    /// The same, with the id of each message: the client gets the id, a space and the message. With `after`, the
    /// messages after this one come first, as far as the history of the topic has them; if it does not have all of
    /// them, that is a gap. Has no effect on a topic to which the connection has subscribed already.
    pub fn subscribe_after(&self, topic: &str, after: Option<MessageId>, with_ids: bool) {
        let Some(topics) = self.0.room.topics() else { return self.subscribe(topic) };
        let bus = topics.need_bus().cloned();
        let Some(name) = self.add_topic(topic) else { return };
        match (bus, after) {
            (Some(bus), Some(after)) => {
                bus.replay(&topics, topic, after, Joining::connection(self.clone(), name, with_ids));
            }
            _ => self.enter_room(name, with_ids),
        }
    }

    /// Notes the topic, and the interest of this process in it. `None` if it was noted before, or cannot be.
    fn add_topic(&self, topic: &str) -> Option<Arc<str>> {
        let room = &self.0.room;
        let mut state = self.lock();
        if state.is_over {
            return None;
        }
        match state.topics.add(topic, room.bounds().max_topics) {
            Added::KnownHeader => None,
            Added::New(name) => {
                // Under the lock: the end of the connection takes the interest back.
                if let Some(topics) = room.topics() {
                    topics.change_interest(topic, |interest| interest.subscribers += 1);
                }
                Some(name)
            }
            Added::TooMany => {
                drop(state);
                room.bounds().complain("max_topics", "a WebSocket has subscribed to too many topics");
                if let Ok(close) = Close::new(1008, "too many topics") {
                    self.close(&close);
                }
                None
            }
        }
    }

    fn enter_room(&self, name: Arc<str>, with_ids: bool) {
        let room = &self.0.room;
        room.add(Arc::clone(&name), self, with_ids);
        // The connection may have ended in the meantime, or ended the subscription.
        let state = self.lock();
        let is_left = state.is_over || !state.topics.contains(&name);
        drop(state);
        if is_left {
            room.remove(&name, self);
        }
    }

    /// Ends the subscription to a topic.
    pub fn unsubscribe(&self, topic: &str) {
        if self.lock().topics.remove(topic) {
            self.end_subscription(topic);
        }
    }

    /// After the name of the topic was taken out of the state.
    pub(super) fn end_subscription(&self, topic: &str) {
        let room = &self.0.room;
        room.remove(topic, self);
        if let Some(topics) = room.topics() {
            topics.change_interest(topic, |interest| interest.subscribers = interest.subscribers.saturating_sub(1));
        }
    }

    /// Has the connection join its topic inside the event loop, after everything that was published before.
    pub(super) fn put_joining(&self, joining: JoiningConnection) {
        self.0.room.put_joining(joining);
    }

    /// Sends the missed messages, and all later ones from now on. Those for which the queue has no room are a gap: the
    /// client is not slow, so it stays.
    pub(super) fn join(&self, joining: JoiningConnection) {
        let lost = self.without_room(&joining.missed);
        if joining.has_gap || lost > 0 {
            self.tell_gap(&joining.topic);
        }
        self.send_own_frames(joining.missed.into_iter().skip(lost));
        self.enter_room(joining.topic, joining.with_ids);
    }

    /// Messages of a topic were lost: ends the connection, or tells its handler.
    pub(super) fn tell_gap(&self, topic: &str) {
        if self.0.websocket.options.when_gap == WhenGap::Close
            && let Ok(close) = Close::new(1012, "messages were lost; connect again")
        {
            return self.close(&close);
        }
        self.0.websocket.handler().gap(self, topic);
    }
}
