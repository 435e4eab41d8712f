//! Topics: their subscribers, and the delivery of published messages.
//!
//! A message is encoded once. Each reactor has a [`Room`] with its own subscribers, and is woken once for all messages
//! published since; inside its event loop it puts the frame into each subscriber's queue. A slow client only has a
//! queue that grows to its bound: no other subscriber waits for it.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::message::Message;
use super::octets::ENTRY_COST;
use super::shared::{FlushQueue, Room, WebSocketBounds, WebSocketConnection};
use bytes::Bytes;

/// The way in which published messages travel: within this process, or farther.
pub trait Bus: Send + Sync {
    /// Makes every process that serves this topic call [`Hub::deliver`], this one included.
    fn publish(&self, hub: &Hub, topic: &str, message: &Message);
}

/// The bus within this process.
struct InProcess;

impl Bus for InProcess {
    fn publish(&self, hub: &Hub, topic: &str, message: &Message) {
        hub.deliver(topic, message);
    }
}

/// All topics of a server in this process.
pub struct Hub {
    bus: Box<dyn Bus>,
    rooms: RwLock<Vec<Arc<Room>>>,
}

impl Hub {
    /// Topics whose messages travel on this bus.
    pub fn on(bus: impl Bus + 'static) -> Self {
        Self { bus: Box::new(bus), rooms: RwLock::default() }
    }

    /// Sends a message to all subscribers of a topic.
    pub fn publish(&self, topic: &str, message: &Message) {
        self.bus.publish(self, topic, message);
    }

    /// Sends a message to the subscribers in this process: for a [`Bus`].
    pub fn deliver(&self, topic: &str, message: &Message) {
        let mut frame = None;
        for room in self.rooms.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|room| room.has(topic)) {
            room.announce(topic, frame.get_or_insert_with(|| message.to_frame()));
        }
    }

    /// Whether many published bytes wait in any room.
    pub(crate) fn has_much(&self) -> bool {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().any(|room| room.bounds.has_much())
    }

    /// A new reactor's room; those of reactors that have ended are forgotten.
    pub(crate) fn new_room(&self, flush_queue: Arc<FlushQueue>, bounds: Arc<WebSocketBounds>) -> Arc<Room> {
        let room = Arc::new(Room { flush_queue: Some(flush_queue), bounds, ..Room::default() });
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| Arc::strong_count(room) > 1);
        rooms.push(Arc::clone(&room));
        room
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::on(InProcess)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}

impl Room {
    pub(super) fn add(&self, topic: Arc<str>, connection: &WebSocketConnection) {
        lock(&self.topics).entry(topic).or_default().insert(connection.id(), connection.clone());
    }

    pub(super) fn bounds(&self) -> &WebSocketBounds {
        &self.bounds
    }

    pub(super) fn remove(&self, topic: &str, connection: &WebSocketConnection) {
        let mut topics = lock(&self.topics);
        let Some(subscribers) = topics.get_mut(topic) else { return };
        let removed = subscribers.remove(&connection.id());
        if subscribers.is_empty() {
            topics.remove(topic);
        }
        drop(topics);
        // Dropped after the lock: it may be the last handle of the connection.
        drop(removed);
    }

    fn has(&self, topic: &str) -> bool {
        lock(&self.topics).contains_key(topic)
    }

    fn announce(&self, topic: &str, frame: &Bytes) {
        if !self.bounds.admit(cost(topic, frame)) {
            return;
        }
        let mut published = lock(&self.published);
        let is_first = published.is_empty();
        published.push((topic.into(), frame.clone()));
        drop(published);
        if is_first && let Some(flush_queue) = &self.flush_queue {
            flush_queue.wake();
        }
    }

    /// Adds the next subscribers behind the last one.
    fn next(&self, topic: &str, last: Option<usize>, some: &mut Vec<WebSocketConnection>) {
        let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        if let Some(subscribers) = lock(&self.topics).get(topic) {
            let next = || subscribers.range(behind).take(SOME).map(|(_, subscriber)| subscriber);
            std::hint::black_box(next().filter(|subscriber| subscriber.prefetch()).count());
            some.extend(next().cloned());
        }
    }

    /// The queue of connections with frames to send; `None` where there is no event loop.
    pub(super) fn flush_queue(&self) -> Option<&FlushQueue> {
        self.flush_queue.as_deref()
    }

    /// Empties the flush queue and hands out what is published, for ever: a task of the reactor's event loop.
    pub(crate) async fn serve(self: Arc<Self>) {
        let Some(flush_queue) = &self.flush_queue else { return };
        loop {
            flush_queue.woken().await;
            flush_queue.flush();
            let published = std::mem::take(&mut *lock(&self.published));
            let (mut some, mut sent) = (Vec::new(), 0);
            for (topic, frame) in published {
                let mut last = None;
                loop {
                    self.next(&topic, last, &mut some);
                    let Some(subscriber) = some.last() else { break };
                    last = Some(subscriber.id());
                    sent += some.len();
                    some.drain(..).for_each(|subscriber| subscriber.send_frame(&frame));
                    if sent >= SOME {
                        sent = 0;
                        flush_queue.flush();
                        tokio::task::yield_now().await;
                    }
                }
                self.bounds.leave(cost(&topic, &frame));
            }
            if sent > 0 {
                flush_queue.flush();
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Frames that are handed out before other tasks have their turn.
const SOME: usize = 64;

/// Bytes of memory that a published message takes while it waits.
fn cost(topic: &str, frame: &Bytes) -> usize {
    topic.len() + frame.len() + ENTRY_COST
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
