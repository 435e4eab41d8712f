//! Topics: their subscribers, and the delivery of published messages.
//!
//! A message is encoded once. Each reactor has a [`Room`] with its own subscribers, and is woken once for all messages
//! published since; inside its event loop it puts the frame into each subscriber's queue. A slow client only has a
//! queue that grows to its bound: no other subscriber waits for it.
//!
//! In one process a message goes to the rooms directly, until the program asks for something that needs numbers. Then,
//! and always with several processes, it goes by a [`Bus`], which numbers it and brings it back.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::delivery::Delivery;
use super::message::Message;
use super::reader::TopicReader;
use super::shared::{Bus, FlushQueue, Joining, Published, Room, TopicInterest, Topics, WebSocketBounds};
use crate::metrics::{BusCells, Cells};

/// Whether there is room for a message that waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// There is, and the bounds of this run know of it.
    Counted,
    /// There is, and there are no bounds yet.
    Uncounted,
    /// There is none.
    Dropped,
}

impl Topics {
    /// Sets the function that makes a bus within this process, for a program that comes to need one.
    pub(crate) fn set_local(&self, make: fn() -> Arc<dyn Bus>) {
        // The first one stays: it is set once, when the server is made.
        let _ = self.local.set(make);
    }

    /// Has messages go by this bus from now on. Returns `false` if they go by one already.
    pub(crate) fn set_bus(&self, bus: Arc<dyn Bus>) -> bool {
        let interests = lock(&self.interests);
        for (topic, interest) in &*interests {
            bus.set_interest(self, topic, *interest);
        }
        self.bus.set(bus).is_ok()
    }

    /// Has messages go by a broker from now on, which has the bus of this machine for the time in which it is away.
    pub(crate) fn set_broker(&self, broker: Arc<dyn Bus>) -> bool {
        let interests = lock(&self.interests);
        for (topic, interest) in &*interests {
            broker.set_interest(self, topic, *interest);
        }
        self.broker.set(broker).is_ok()
    }

    /// The broker, if there is one.
    pub(crate) fn broker(&self) -> Option<&Arc<dyn Bus>> {
        self.broker.get()
    }

    /// The bus by which messages go, which is made if there is none.
    pub(crate) fn need_bus(&self) -> Option<&Arc<dyn Bus>> {
        self.broker.get().or_else(|| self.need_machine_bus())
    }

    /// The bus of this machine, which is made if there is none.
    pub(crate) fn need_machine_bus(&self) -> Option<&Arc<dyn Bus>> {
        if self.bus.get().is_none()
            && let Some(make) = self.local.get()
        {
            self.set_bus(make());
        }
        self.bus.get()
    }

    /// The bus by which messages go, if there is one.
    pub(crate) fn bus(&self) -> Option<&Arc<dyn Bus>> {
        self.broker.get().or_else(|| self.bus.get())
    }

    /// The bus of this machine, if there is one.
    pub(crate) fn machine_bus(&self) -> Option<&Arc<dyn Bus>> {
        self.bus.get()
    }

    /// Has published messages counted.
    pub(crate) fn count_in(&self, cells: Cells) {
        // The first ones stay: a server has one meter.
        let _ = self.published.set(cells);
    }

    /// Has messages between processes counted.
    pub(crate) fn count_bus_in(&self, cells: BusCells) {
        let _ = self.bus_cells.set(cells);
    }

    /// Counts a message between processes, if any are counted.
    pub(crate) fn count_bus(&self, count: impl FnOnce(&BusCells)) {
        if let Some(cells) = self.bus_cells.get() {
            count(cells);
        }
    }

    /// Whether messages between processes are counted.
    pub(crate) fn counts_bus(&self) -> bool {
        self.bus_cells.get().is_some()
    }

    /// Sends a message to all subscribers of a topic.
    pub fn publish(&self, topic: &str, message: &Message) {
        if let Some(published) = self.published.get() {
            published[0].fetch_add(1, Ordering::Relaxed);
        }
        match self.bus() {
            None => self.deliver_unnumbered(topic, message),
            Some(bus) => bus.publish(self, topic, message),
        }
    }

    fn deliver_unnumbered(&self, topic: &str, message: &Message) {
        let mut frame = None;
        for room in self.rooms.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|room| room.has(topic)) {
            room.announce(topic, frame.get_or_insert_with(|| message.to_frame()));
        }
    }

    /// Sends a numbered message to the subscribers in this process: for a [`Bus`].
    pub fn deliver(&self, delivery: &Delivery<'_>) {
        self.count_bus(BusCells::count_received);
        let (mut frame, mut numbered) = (None, None);
        for room in &*self.rooms.read().unwrap_or_else(PoisonError::into_inner) {
            if room.has(delivery.topic) {
                room.announce(delivery.topic, frame.get_or_insert_with(|| delivery.to_frame()));
            }
            if room.has_numbered(delivery.topic) {
                room.announce_numbered(delivery.topic, numbered.get_or_insert_with(|| delivery.to_numbered_frame()));
            }
        }
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        readers.get(delivery.topic).into_iter().flatten().for_each(|reader| reader.push(delivery));
    }

    /// Messages of a topic, or of all topics, were lost: tells the subscribers. For a [`Bus`].
    pub fn deliver_gap(&self, topic: Option<&str>) {
        self.count_bus(BusCells::count_gap);
        for room in &*self.rooms.read().unwrap_or_else(PoisonError::into_inner) {
            room.put(Published::Gap(topic.map(Into::into)));
        }
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        match topic {
            Some(topic) => readers.get(topic).into_iter().flatten().for_each(|reader| reader.push_gap(topic)),
            None => {
                readers.iter().for_each(|(topic, readers)| readers.iter().for_each(|reader| reader.push_gap(topic)))
            }
        }
    }

    /// The answer to [`Bus::replay`]: the missed messages in their order, and whether there were others. Later messages
    /// come after them. For a [`Bus`].
    pub fn join(&self, topic: &str, joining: Joining, missed: &[Delivery<'_>], has_gap: bool) {
        joining.finish(topic, missed, has_gap);
    }

    /// Whether many published bytes wait in any room, or on their way to the bus.
    pub(crate) fn has_much(&self) -> bool {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().any(|room| room.bounds.has_much())
    }

    /// Whether many messages wait to be handed out, beside so many bytes that wait to be sent.
    pub(crate) fn has_much_to_hand_out(&self, sending: usize) -> bool {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().any(|room| room.bounds.has_much_beside(sending))
    }

    /// Counts a message of so many bytes that waits on its way to the bus.
    pub(crate) fn admit(&self, bytes: usize) -> Admission {
        match self.rooms.read().unwrap_or_else(PoisonError::into_inner).last() {
            None => Admission::Uncounted,
            Some(room) if room.bounds.admit(bytes) => Admission::Counted,
            Some(_) => Admission::Dropped,
        }
    }

    /// Notes that so many counted bytes have left.
    pub(crate) fn leave(&self, bytes: usize) {
        if bytes > 0
            && let Some(room) = self.rooms.read().unwrap_or_else(PoisonError::into_inner).last()
        {
            room.bounds.leave(bytes);
        }
    }

    /// Writes a text about a configured bound into the log.
    pub(crate) fn complain(&self, key: &'static str, text: &str) {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.first() {
            room.bounds.complain(key, text);
        }
    }

    /// Hands the messages of a topic to this reader too.
    pub(crate) fn listen(&self, topic: &str, reader: &Arc<TopicReader>) {
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        let readers = readers.entry(topic.into()).or_default();
        if !readers.iter().any(|known| Arc::ptr_eq(known, reader)) {
            readers.push(Arc::clone(reader));
        }
    }

    /// The opposite of [`Topics::listen`].
    pub(crate) fn end_listening(&self, topic: &str, reader: &Arc<TopicReader>) {
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_topic) = readers.get_mut(topic) {
            of_topic.retain(|known| !Arc::ptr_eq(known, reader));
            if of_topic.is_empty() {
                readers.remove(topic);
            }
        }
    }

    /// Whether a reader has the messages of this topic.
    pub(crate) fn has_readers(&self, topic: &str) -> bool {
        self.readers.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic)
    }

    /// Changes the interest of this process in a topic, and tells the bus.
    pub(crate) fn change_interest(&self, topic: &str, change: impl FnOnce(&mut TopicInterest)) {
        let mut interests = lock(&self.interests);
        let mut interest = interests.get(topic).copied().unwrap_or_default();
        let before = interest;
        change(&mut interest);
        if interest == before {
            return;
        }
        if interest == TopicInterest::default() {
            interests.remove(topic);
        } else if let Some(known) = interests.get_mut(topic) {
            *known = interest;
        } else {
            interests.insert(topic.into(), interest);
        }
        // Under the lock, so that the bus hears of changes in their order.
        if let Some(bus) = self.bus() {
            bus.set_interest(self, topic, interest);
        }
    }

    /// The connections of this process that have subscribed to a topic.
    pub(crate) fn subscribers(&self, topic: &str) -> usize {
        lock(&self.interests).get(topic).map_or(0, |interest| interest.subscribers)
    }

    /// The topics with connections of this process that have subscribed, and how many: the largest first, at most this
    /// many.
    pub(crate) fn largest(&self, most: usize) -> (usize, usize, Vec<(Arc<str>, usize)>) {
        let interests = lock(&self.interests);
        let mut all: Vec<(Arc<str>, usize)> = interests
            .iter()
            .filter(|(_, interest)| interest.subscribers > 0)
            .map(|(topic, interest)| (Arc::clone(topic), interest.subscribers))
            .collect();
        drop(interests);
        let (topics, subscribers) = (all.len(), all.iter().map(|(_, subscribers)| subscribers).sum());
        all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        all.truncate(most);
        (topics, subscribers, all)
    }

    /// A new reactor's room; those of reactors that have ended are forgotten.
    pub(crate) fn new_room(self: &Arc<Self>, flush_queue: Arc<FlushQueue>, bounds: Arc<WebSocketBounds>) -> Arc<Room> {
        let topics = Arc::downgrade(self);
        let room = Arc::new(Room { flush_queue: Some(flush_queue), bounds, all: topics, ..Room::default() });
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| Arc::strong_count(room) > 1);
        rooms.push(Arc::clone(&room));
        room
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topics")
    }
}

impl Room {
    /// The topics of the server, unless it has ended.
    pub(super) fn topics(&self) -> Option<Arc<Topics>> {
        Weak::upgrade(&self.all)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
