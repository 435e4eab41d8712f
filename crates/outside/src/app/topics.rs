//! Topics of a server: publishing, ids, readers other than WebSockets; and the state that all processes share.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::OutsideHttp;
use crate::error::Error;
use crate::hub::{Seat, SeatStore};
use crate::shared::{SharedMemory, SharedStore, SharedValues};
use crate::websocket::{Bus, BusError, Joining, Message, MessageId, TopicReader, WebSocketConnection};

impl OutsideHttp {
    /// Sends a message to all WebSocket connections that have subscribed to this topic, without waiting for them. While
    /// many messages wait, the server reads more slowly from connections whose handlers publish; beyond `max_published`
    /// the message is dropped, and the log counts the dropped ones.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        self.site.topics.publish(topic, &message.into());
    }

    /// The same on behalf of a connection whose handler has no thread: for bindings.
    pub fn publish_for(&self, publisher: &WebSocketConnection, topic: &str, message: impl Into<Message>) {
        let _acting = publisher.enter_publisher();
        self.publish(topic, message);
    }

    /// The same as [`OutsideHttp::publish`], and waits for the id of the message. It was sent when the id comes; without
    /// one it may have been sent or not, and it is not sent again.
    ///
    /// # Errors
    /// There was no answer in time, or the message is too large for the hub.
    pub fn publish_and_wait(
        &self,
        topic: &str,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Result<MessageId, BusError> {
        let topics = &self.site.topics;
        let message = message.into();
        let bus = topics.need_bus().ok_or(BusError::Ended)?;
        match bus.max_sizes() {
            Some((topic_most, most)) if topic.len() > topic_most || message.as_bytes().len() > most => {
                Err(BusError::TooLarge)
            }
            _ => bus.publish_and_wait(topics, topic, &message, timeout),
        }
    }

    /// Bytes of the longest topic and the largest message that can be published; `None` while any can.
    pub fn max_published_sizes(&self) -> Option<(usize, usize)> {
        self.site.topics.bus().and_then(|bus| bus.max_sizes())
    }

    /// How many connections have subscribed to a topic, in all processes of the server.
    ///
    /// # Errors
    /// There was no answer in time.
    pub fn subscribers(&self, topic: &str, timeout: Duration) -> Result<usize, BusError> {
        let topics = &self.site.topics;
        match topics.bus() {
            Some(bus) => bus.subscribers(topics, topic, timeout),
            None => Ok(topics.subscribers(topic)),
        }
    }

    /// Whether published bytes wait beyond the bound from which publishing connections are read more slowly.
    pub fn has_much_published(&self) -> bool {
        self.site.topics.has_much()
    }

    /// Hands the messages of a topic to a reader. `as_subscriber`: it counts in [`OutsideHttp::subscribers`].
    pub fn read_topic(&self, topic: &str, reader: &Arc<TopicReader>) {
        let topics = &self.site.topics;
        topics.need_bus();
        topics.listen(topic, reader);
        topics.change_interest(topic, |interest| interest.listens = true);
    }

    /// One more connection, or one less, has subscribed to a topic by way of a reader.
    pub fn count_subscriber(&self, topic: &str, has_come: bool) {
        self.site.topics.change_interest(topic, |interest| {
            interest.subscribers =
                if has_come { interest.subscribers + 1 } else { interest.subscribers.saturating_sub(1) };
        });
    }

    /// The opposite of [`OutsideHttp::read_topic`].
    pub fn stop_reading_topic(&self, topic: &str, reader: &Arc<TopicReader>) {
        let topics = &self.site.topics;
        topics.end_listening(topic, reader);
        topics.change_interest(topic, |interest| interest.listens = topics.has_readers(topic));
    }

    /// Has the reader get the kept messages after this one, under this ticket.
    pub fn read_missed(&self, topic: &str, after: MessageId, reader: &Arc<TopicReader>, ticket: u64) {
        let topics = &self.site.topics;
        if let Some(bus) = topics.need_bus() {
            bus.replay(topics, topic, after, Joining::reader(Arc::clone(reader), ticket));
        }
    }

    /// The engine of the state that all processes of this server share. In one process alone it is the memory of the
    /// process.
    pub fn shared_store(&self) -> Arc<dyn SharedStore> {
        self.site.shared.store()
    }

    /// Small values that all processes of this server share.
    pub fn shared(&self) -> SharedValues {
        SharedValues::new(self.shared_store())
    }

    /// Has shared state be that of another engine from now on, such as one that other machines have too.
    pub fn set_shared_store(&self, store: Arc<dyn SharedStore>) {
        self.site.shared.set_store(store);
    }

    /// Takes a seat at the hub of the process that was started, for a worker process: all topics go by it, and shared
    /// state is the hub's.
    ///
    /// # Errors
    /// The descriptor is no socket, or topics go by a hub already.
    pub fn take_seat(&self, seat: OwnedFd) -> Result<(), Error> {
        let seat = Seat::new(seat)?;
        if !self.site.topics.set_bus(Arc::clone(&seat) as Arc<dyn Bus>) {
            return Err(io::Error::other("the topics of this server go by a hub already").into());
        }
        self.site.shared.set_seat(Arc::new(SeatStore::new(seat, &self.site.topics)));
        Ok(())
    }

    /// Takes a seat at the hub of the process that was started, for a process that serves alone in its place: shared state is the
    /// hub's, and topics need no hub.
    ///
    /// # Errors
    /// The descriptor is no socket.
    pub fn take_state_seat(&self, seat: OwnedFd) -> Result<(), Error> {
        let seat = Seat::new(seat)?;
        let store = SeatStore::new(Arc::clone(&seat), &self.site.topics);
        self.site.shared.set_state_seat(seat, store);
        Ok(())
    }

    /// The memory in which a process alone has its shared state, for a hub that goes on with it.
    pub fn shared_memory(&self) -> SharedMemory {
        self.site.shared.memory()
    }
}
