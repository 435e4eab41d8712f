//! What the topics of one run may take, whatever clients subscribe to and publish.
//!
//! What is published waits until it has been handed out to the subscribers. If much waits, the connection on whose behalf
//! more is published is read more slowly; what nobody can be slowed down for is dropped at a bound, and counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use super::connection::{WebSocketConnection, WebSocketShared};
use super::pressure::slow_down_publisher;

/// The bounds, what counts against them, and who is told when one of them bites.
pub(crate) struct WebSocketBounds {
    /// Topics of one connection.
    pub(super) max_topics: usize,
    /// Bytes of memory that published messages take at most while they wait.
    max_published: usize,
    /// Those that they take now.
    published: AtomicUsize,
    dropped: AtomicU64,
    /// Connections that are held until less waits.
    held: Mutex<Vec<Weak<WebSocketShared>>>,
    complaints: Option<Box<Complain>>,
}

/// Is told the key of the configuration that sets a bound, and what has met it.
type Complain = dyn Fn(&'static str, &str) + Send + Sync;

/// With more than this waiting, connections that publish are held, in bytes of memory: more would only make all wait longer.
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
        }
    }
}

impl WebSocketBounds {
    pub(crate) fn new(
        max_topics: usize,
        max_published: usize,
        complain: impl Fn(&'static str, &str) + Send + Sync + 'static,
    ) -> Self {
        Self { max_topics, max_published, complaints: Some(Box::new(complain)), ..Self::default() }
    }

    pub(super) fn complain(&self, key: &'static str, text: &str) {
        if let Some(complain) = &self.complaints {
            complain(key, text);
        }
    }

    /// A message of this cost is published; `false`: it is dropped.
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

    /// It has been handed out.
    pub(super) fn leave(&self, cost: usize) {
        let before = self.published.fetch_sub(cost, Ordering::SeqCst);
        if before > self.little() && before - cost <= self.little() {
            let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
            held.iter().filter_map(Weak::upgrade).for_each(|shared| WebSocketConnection(shared).release());
        }
    }

    /// Whether so much waits that connections that publish are held.
    pub(super) fn has_much(&self) -> bool {
        self.published.load(Ordering::Relaxed) > 2 * self.little()
    }

    /// Holds a connection until little waits; `false` if that is so already.
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
