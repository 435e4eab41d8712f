//! The published messages that a thread of the program takes: for event streams and functions that listen.
//!
//! The queue is bounded. When its thread does not take them, the oldest messages go, and the reader is told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::delivery::{Delivery, MessageId};
use super::message::Message;
use super::octets::ENTRY_COST;

/// Bytes of memory that wait for one reader at most.
const MAX_WAITING: usize = 16 << 20;

/// The part of them that missed messages may take.
const MAX_MISSED: usize = MAX_WAITING / 2;

/// A queue of messages from several topics, for one thread.
#[derive(Debug, Default)]
pub struct TopicReader {
    state: Mutex<ReaderState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct ReaderState {
    waiting: VecDeque<TopicEvent>,
    bytes: usize,
    gaps: BTreeSet<Arc<str>>,
    is_over: bool,
}

/// News of a topic.
#[derive(Debug)]
pub enum TopicEvent {
    /// A message; with a ticket, one that the subscriber with this ticket has missed.
    Message {
        /// The topic.
        topic: Arc<str>,
        /// The ticket of the subscriber; 0: it is for all.
        ticket: u64,
        /// The place of the message in the topic.
        id: MessageId,
        /// The message.
        message: Message,
    },
    /// Messages of this topic were lost.
    Gap(Arc<str>),
    /// The subscriber with this ticket has got the messages that it has missed, and gets all later ones.
    Joined {
        /// The topic.
        topic: Arc<str>,
        /// The ticket of the subscriber.
        ticket: u64,
        /// Whether messages before them were lost.
        has_gap: bool,
    },
}

impl TopicReader {
    /// Waits for news at most so long; all that have come. `None` after [`TopicReader::end`].
    pub fn take(&self, timeout: Option<Duration>) -> Option<Vec<TopicEvent>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() || !state.gaps.is_empty() {
                state.bytes = 0;
                let gaps = std::mem::take(&mut state.gaps).into_iter().map(TopicEvent::Gap);
                return Some(gaps.chain(std::mem::take(&mut state.waiting)).collect());
            }
            if state.is_over {
                return None;
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Some(Vec::new()),
                Some(left) => self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Ends the thread that takes.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.arrived.notify_all();
    }

    pub(super) fn push(&self, delivery: &Delivery<'_>) {
        self.push_for(0, delivery);
        self.arrived.notify_one();
    }

    pub(super) fn push_gap(&self, topic: &str) {
        self.lock().waiting.push_back(TopicEvent::Gap(topic.into()));
        self.arrived.notify_one();
    }

    /// The latest of the missed messages for which there is room. They never take the place of messages for all: a client
    /// asks for them as often as it likes.
    pub(super) fn push_joined(&self, topic: &str, ticket: u64, missed: &[Delivery<'_>], has_gap: bool) {
        let mut bytes = self.lock().bytes;
        let has_room = |delivery: &&Delivery<'_>| {
            bytes += cost(delivery.payload);
            bytes <= MAX_MISSED
        };
        let lost = missed.len() - missed.iter().rev().take_while(has_room).count();
        for delivery in missed.iter().skip(lost) {
            self.push_for(ticket, delivery);
        }
        let has_gap = has_gap || lost > 0;
        self.lock().waiting.push_back(TopicEvent::Joined { topic: topic.into(), ticket, has_gap });
        self.arrived.notify_one();
    }

    fn push_for(&self, ticket: u64, delivery: &Delivery<'_>) {
        let mut state = self.lock();
        state.bytes += cost(delivery.payload);
        let message = delivery.to_message();
        state.waiting.push_back(TopicEvent::Message { topic: delivery.topic.into(), ticket, id: delivery.id, message });
        while state.bytes > MAX_WAITING {
            let oldest = state.waiting.iter().position(|event| matches!(event, TopicEvent::Message { .. }));
            match oldest.and_then(|at| state.waiting.remove(at)) {
                Some(TopicEvent::Message { topic, message, .. }) => {
                    state.bytes -= cost(message.as_bytes());
                    state.gaps.insert(topic);
                }
                _ => break,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ReaderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of memory that a message takes while it waits.
const fn cost(payload: &[u8]) -> usize {
    payload.len() + ENTRY_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: u64, payload: &[u8]) -> Delivery<'_> {
        Delivery { topic: "news", id: MessageId { epoch: 1, number }, is_text: true, payload }
    }

    #[test]
    fn missed_messages_take_no_place_of_others() {
        let reader = TopicReader::default();
        reader.push(&delivery(9, b"for all"));
        let payload = vec![b'x'; 1 << 20];
        let missed: Vec<_> = (1..=4).map(|number| delivery(number, &payload)).collect();
        (1..=10).for_each(|ticket| reader.push_joined("news", ticket, &missed, false));
        let news = reader.take(None).unwrap_or_default();
        assert!(matches!(&news[0], TopicEvent::Message { ticket: 0, .. }), "{:?}", news[0]);
        let count = |found: fn(&TopicEvent) -> bool| news.iter().filter(|event| found(event)).count();
        assert_eq!(count(|event| matches!(event, TopicEvent::Gap(_))), 0);
        // The first had room for all, the second for its latest ones, and the others are told.
        assert_eq!(count(|event| matches!(event, TopicEvent::Message { .. })), 8);
        assert_eq!(count(|event| matches!(event, TopicEvent::Joined { has_gap: false, .. })), 1);
        assert_eq!(count(|event| matches!(event, TopicEvent::Joined { has_gap: true, .. })), 9);
    }
}
