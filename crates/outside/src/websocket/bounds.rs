//! The bounds on the topics of one run: names that clients subscribe to, and memory of published messages.
//!
//! A published message waits until it was handed out to the subscribers. While many bytes wait, the server reads more
//! slowly from the connections whose handlers publish. Not every publisher is a connection: beyond the bound messages
//! are dropped and counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use super::pressure::slow_down_publisher;
use super::shared::{WebSocketBounds, WebSocketConnection, WebSocketShared};
use crate::metrics::Cells;

/// Bytes of waiting messages above which connections that publish are held: more would only make all of them wait
/// longer.
const MUCH: usize = 256 << 10;

/// For connections without a server.
impl Default for WebSocketBounds {
    fn default() -> Self {
        Self {
            max_topics: 1024,
            max_published: 16 << 20,
            published: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            held: Mutex::default(),
            complaints: None,
            counted: None,
        }
    }
}

impl WebSocketBounds {
    pub(crate) fn new(
        max_topics: usize,
        max_published: usize,
        complain: impl Fn(&'static str, &str) + Send + Sync + 'static,
        counted: Option<[Cells; 2]>,
    ) -> Self {
        Self { max_topics, max_published, complaints: Some(Box::new(complain)), counted, ..Self::default() }
    }

    /// Counts messages that were received, or else queued to be sent.
    pub(crate) fn count_messages(&self, were_received: bool, count: usize) {
        if let Some(counted) = &self.counted {
            counted[usize::from(!were_received)][0].fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn complain(&self, key: &'static str, text: &str) {
        if let Some(complain) = &self.complaints {
            complain(key, text);
        }
    }

    /// Counts a published message of this cost. Returns `false` if it must be dropped.
    pub(super) fn admit(&self, cost: usize) -> bool {
        if self.has_much() {
            slow_down_publisher();
            if self.published.load(Ordering::Relaxed) + cost > self.max_published {
                let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                let text = format!("more is published than can be handed out, {dropped} messages so far");
                self.complain("max_published_mb", &text);
                return false;
            }
        }
        self.published.fetch_add(cost, Ordering::SeqCst);
        true
    }

    /// Notes that a message of this cost was handed out.
    pub(super) fn leave(&self, cost: usize) {
        let before = self.published.fetch_sub(cost, Ordering::SeqCst);
        if before > self.little() && before - cost <= self.little() {
            let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
            held.iter().filter_map(Weak::upgrade).for_each(|shared| WebSocketConnection(shared).release());
        }
    }

    /// Whether so many bytes wait that connections that publish are held.
    pub(super) fn has_much(&self) -> bool {
        self.published.load(Ordering::Relaxed) > 2 * self.little()
    }

    /// The same if `others` of these bytes do not count.
    pub(super) fn has_much_beside(&self, others: usize) -> bool {
        self.published.load(Ordering::Relaxed).saturating_sub(others) > 2 * self.little()
    }

    /// Holds a connection until few bytes wait. Returns `false` if that is the case already.
    pub(super) fn hold(&self, connection: Weak<WebSocketShared>) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = self.published.load(Ordering::SeqCst) > self.little();
        if holds {
            held.push(connection);
        }
        holds
    }

    fn little(&self) -> usize {
        MUCH.min(self.max_published / 2) / 2
    }
}
