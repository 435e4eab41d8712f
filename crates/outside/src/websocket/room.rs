//! The subscribers of one reactor, and the published messages that wait to be handed out to them.

use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::octets::{ENTRY_COST, SharedBytes};
use super::shared::{
    FlushQueue, JoiningConnection, Published, Room, Subscribers, WebSocketBounds, WebSocketConnection,
};

/// Frames that are handed out before other tasks have their turn.
const SOME: usize = 64;

impl Room {
    /// Adds a subscriber. `with_ids`: it gets the id before each message.
    pub(super) fn add(&self, topic: Arc<str>, connection: &WebSocketConnection, with_ids: bool) {
        let topics = if with_ids { &self.numbered } else { &self.topics };
        lock(topics).entry(topic).or_default().insert(connection.id(), connection.clone());
    }

    pub(super) fn bounds(&self) -> &WebSocketBounds {
        &self.bounds
    }

    pub(super) fn remove(&self, topic: &str, connection: &WebSocketConnection) {
        for topics in [&self.topics, &self.numbered] {
            let mut topics = lock(topics);
            let Some(subscribers) = topics.get_mut(topic) else { continue };
            let removed = subscribers.remove(&connection.id());
            if subscribers.is_empty() {
                topics.remove(topic);
            }
            drop(topics);
            // Dropped after the lock: it may be the last handle of the connection.
            drop(removed);
        }
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        lock(&self.topics).contains_key(topic) || self.joining.load(Ordering::SeqCst) > 0
    }

    pub(super) fn has_numbered(&self, topic: &str) -> bool {
        lock(&self.numbered).contains_key(topic) || self.joining.load(Ordering::SeqCst) > 0
    }

    /// Adds a subscriber behind everything that was published before. Messages that come from now on are put behind it,
    /// even if the topic has no subscriber yet.
    pub(super) fn put_joining(&self, joining: JoiningConnection) {
        self.joining.fetch_add(1, Ordering::SeqCst);
        self.put(Published::Joining(Box::new(joining)));
    }

    pub(super) fn announce(&self, topic: &str, frame: &SharedBytes) {
        if self.bounds.admit(cost(topic, frame)) {
            self.put(Published::Message(topic.into(), Arc::clone(frame)));
        }
    }

    pub(super) fn announce_numbered(&self, topic: &str, frame: &SharedBytes) {
        if self.bounds.admit(cost(topic, frame)) {
            self.put(Published::Numbered(topic.into(), Arc::clone(frame)));
        }
    }

    /// Adds something to hand out inside the event loop.
    pub(super) fn put(&self, entry: Published) {
        let mut published = lock(&self.published);
        let is_first = published.is_empty();
        published.push(entry);
        drop(published);
        if is_first && let Some(flush_queue) = &self.flush_queue {
            flush_queue.wake();
        }
    }

    /// The queue of connections with frames to send; `None` where there is no event loop.
    pub(super) fn flush_queue(&self) -> Option<&FlushQueue> {
        self.flush_queue.as_deref()
    }

    /// Empties the flush queue and hands out what is published, for ever: a task of the reactor's event loop.
    pub(crate) async fn serve(self: Arc<Self>) {
        let Some(flush_queue) = &self.flush_queue else { return };
        let mut sent = 0;
        loop {
            flush_queue.woken().await;
            flush_queue.flush();
            let published = std::mem::take(&mut *lock(&self.published));
            for entry in published {
                match entry {
                    Published::Message(topic, frame) => self.hand_out(&self.topics, &topic, &frame, &mut sent).await,
                    Published::Numbered(topic, frame) => self.hand_out(&self.numbered, &topic, &frame, &mut sent).await,
                    Published::Joining(joining) => {
                        sent += 1;
                        let connection = joining.connection.clone();
                        connection.join(*joining);
                        self.joining.fetch_sub(1, Ordering::SeqCst);
                    }
                    Published::Gap(topic) => {
                        for (topic, subscriber) in self.of_gap(topic.as_deref()) {
                            sent += 1;
                            subscriber.tell_gap(&topic);
                        }
                    }
                }
            }
            if sent > 0 {
                sent = 0;
                flush_queue.flush();
                tokio::task::yield_now().await;
            }
        }
    }

    async fn hand_out(&self, topics: &Mutex<Subscribers>, topic: &str, frame: &SharedBytes, sent: &mut usize) {
        let Some(flush_queue) = &self.flush_queue else { return };
        let (mut some, mut last) = (Vec::new(), None);
        loop {
            next(topics, topic, last, &mut some);
            let Some(subscriber) = some.last() else { break };
            last = Some(subscriber.id());
            *sent += some.len();
            some.drain(..).for_each(|subscriber| subscriber.send_frame(frame));
            if *sent >= SOME {
                *sent = 0;
                flush_queue.flush();
                tokio::task::yield_now().await;
            }
        }
        self.bounds.leave(cost(topic, frame));
    }

    /// The subscribers of a topic, or of all topics, each with the topic.
    fn of_gap(&self, topic: Option<&str>) -> Vec<(Arc<str>, WebSocketConnection)> {
        let mut found = Vec::new();
        for topics in [&self.topics, &self.numbered] {
            for (name, subscribers) in
                lock(topics).iter().filter(|(name, _)| topic.is_none_or(|topic| topic == &***name))
            {
                found.extend(subscribers.values().map(|subscriber| (Arc::clone(name), subscriber.clone())));
            }
        }
        found
    }
}

/// Adds the next subscribers behind the last one.
fn next(topics: &Mutex<Subscribers>, topic: &str, last: Option<usize>, some: &mut Vec<WebSocketConnection>) {
    let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    if let Some(subscribers) = lock(topics).get(topic) {
        let next = || subscribers.range(behind).take(SOME).map(|(_, subscriber)| subscriber);
        std::hint::black_box(next().filter(|subscriber| subscriber.prefetch()).count());
        some.extend(next().cloned());
    }
}

/// Bytes of memory that a published message takes while it waits.
fn cost(topic: &str, frame: &SharedBytes) -> usize {
    topic.len() + frame.len() + ENTRY_COST
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
