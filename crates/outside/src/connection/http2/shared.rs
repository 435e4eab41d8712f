//! What the streams of one connection share: bounds that hold for all of them together (edge.md S16, S17, S19).
//!
//! A stream that was reset gives back its place with `h2` at once. Here its request counts until nothing runs on its behalf
//! any more, so that resetting does not buy another handler.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use crate::executor::{Exchange, Held};

/// Requests that may be worked on at a time, whether their streams are there or not.
pub(super) const MOST_WORKING: usize = 100;
/// Bytes that all streams together may hold in memory of contents, in each direction.
const MOST_HELD: usize = 1 << 20;
/// Uploads that may lie in temporary files at a time.
const MOST_SPOOLED: usize = 16;

/// The state that is shared.
#[derive(Default)]
pub(super) struct Shared {
    working: AtomicUsize,
    /// Somebody waits for a permit.
    is_wanted: AtomicBool,
    senders: AtomicUsize,
    unsent: AtomicUsize,
    received: AtomicUsize,
    spooled: AtomicUsize,
    connection: OnceLock<Waker>,
    letters: Mutex<Vec<Letter>>,
}

/// What came of a call, and its number.
pub(super) type Letter = (u64, Vec<Exchange>);

/// The right to work on one request.
pub(super) struct Permit(Arc<Shared>);

/// Bytes of an answer that are in memory, or will be, until the client takes them.
pub(super) struct Unsent {
    shared: Arc<Shared>,
    bytes: usize,
}

/// Content that a request has brought so far.
pub(super) struct Received {
    shared: Arc<Shared>,
    bytes: usize,
    is_spooled: bool,
}

/// One more stream that sends.
pub(super) struct Sender(Arc<Shared>);

impl Shared {
    /// The task that is woken when there is a permit again.
    pub(super) fn belongs_to(&self, context: &Context<'_>) {
        self.connection.get_or_init(|| context.waker().clone());
    }

    /// One request more is worked on, if there may be; else the connection's task is woken when there may.
    pub(super) fn admit(&self) -> bool {
        if self.working.load(Ordering::SeqCst) >= MOST_WORKING {
            self.is_wanted.store(true, Ordering::SeqCst);
            // Unless the last one ended just now.
            if self.working.load(Ordering::SeqCst) >= MOST_WORKING {
                return false;
            }
        }
        self.working.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// What holds the place of a request that was admitted until all of its work is done.
    pub(super) fn permit(self: &Arc<Self>) -> Arc<Permit> {
        Arc::new(Permit(Arc::clone(self)))
    }

    /// Room for an answer that will have so many bytes; `None` as long as answers before it fill the memory that they may.
    pub(super) fn room(self: &Arc<Self>, bytes: usize) -> Option<Unsent> {
        let has_room = || match self.unsent.load(Ordering::SeqCst) {
            0 => true,
            unsent => bytes == 0 || unsent + bytes <= MOST_HELD,
        };
        if !has_room() {
            self.is_wanted.store(true, Ordering::SeqCst);
            if !has_room() {
                return None;
            }
        }
        self.unsent.fetch_add(bytes, Ordering::SeqCst);
        Some(Unsent { shared: Arc::clone(self), bytes })
    }

    /// Do clients take more answers than they read?
    pub(super) fn is_full(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) > 0
    }

    /// Those that have arrived since, in place of these, which are empty.
    pub(super) fn letters(&self, emptied: Vec<Letter>) -> Vec<Letter> {
        std::mem::replace(&mut *self.lock_letters(), emptied)
    }

    fn lock_letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.is_wanted.load(Ordering::SeqCst) && self.is_wanted.swap(false, Ordering::SeqCst) {
            self.wake_connection();
        }
    }

    fn wake_connection(&self) {
        self.connection.get().into_iter().for_each(Waker::wake_by_ref);
    }

    /// A sender for a stream that has content to send.
    pub(super) fn sender(self: &Arc<Self>) -> Sender {
        self.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(self))
    }

    pub(super) fn hold(self: &Arc<Self>) -> Received {
        Received { shared: Arc::clone(self), bytes: 0, is_spooled: false }
    }
}

/// Held by the only job of a request.
impl Held for Shared {
    fn let_go(&self) {
        self.working.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }

    fn take_in(&self, number: u64, exchanges: Vec<Exchange>) {
        let mut letters = self.lock_letters();
        letters.push((number, exchanges));
        let is_first = letters.len() == 1;
        drop(letters);
        if is_first {
            self.wake_connection();
        }
    }
}

/// Held by all jobs of a request; the last one counts.
impl Held for Permit {}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Unsent {
    /// There are so many now.
    pub(super) fn set(&mut self, bytes: usize) {
        self.shared.unsent.fetch_add(bytes, Ordering::SeqCst);
        self.shared.unsent.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::SeqCst);
    }

    /// So many have left.
    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.shared.unsent.fetch_sub(bytes, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.sent(self.bytes);
        }
    }
}

impl Received {
    /// So much more has come in.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.shared.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It lies in a file now.
    pub(super) fn clear(&mut self) {
        self.shared.received.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Is there more in memory than there should be, so that this has to go to a file?
    pub(super) fn is_too_much(&self) -> bool {
        const SMALL: usize = MOST_HELD / MOST_WORKING;
        self.bytes > SMALL && self.shared.received.load(Ordering::Relaxed) > MOST_HELD
    }

    /// May it lie in a file? `false` if too many do.
    pub(super) fn may_spool(&mut self) -> bool {
        if !self.is_spooled {
            self.is_spooled = self.shared.spooled.fetch_add(1, Ordering::Relaxed) < MOST_SPOOLED;
            if !self.is_spooled {
                self.shared.spooled.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.is_spooled
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.clear();
        if self.is_spooled {
            self.shared.spooled.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Sender {
    /// Bytes that it may bring into memory at a time.
    pub(super) fn share(&self) -> usize {
        const LEAST: usize = 8 << 10;
        const MOST: usize = 64 << 10;
        (MOST_HELD / self.0.senders.load(Ordering::Relaxed).max(1)).clamp(LEAST, MOST)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.senders.fetch_sub(1, Ordering::Relaxed);
    }
}
