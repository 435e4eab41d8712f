//! State that the streams of one connection share: bounds for all of them together (docs/security.md S16, S17, S19).
//!
//! `h2` frees the place of a stream at its reset. Here the request counts until no work runs on its behalf any more, so
//! a client cannot start further handlers by resetting streams.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use crate::budget::Account;
use crate::exchange::Exchange;
use crate::executor::Guard;

/// Requests of one connection that may be worked on at a time, whether their streams still exist or not.
pub(super) const MOST_WORKING: usize = 100;
/// Bytes of request content and of files on their way that all streams together may hold in memory.
const MOST_HELD: usize = 1 << 20;
/// Uploads of one connection that may lie in temporary files at a time.
const MOST_SPOOLED: usize = 16;

/// The state that the streams of one connection share.
pub(super) struct SharedByStreams {
    /// The account of the memory that answers take.
    pub(super) account: Arc<Account>,
    working: AtomicUsize,
    /// Whether a request waits for a permit.
    is_wanted: AtomicBool,
    senders: AtomicUsize,
    received: AtomicUsize,
    spooled: AtomicUsize,
    connection: OnceLock<Waker>,
    replies: Mutex<Vec<CallReply>>,
}

/// The number of a call, and its exchanges as they came back.
pub(super) type CallReply = (u64, Vec<Exchange>);

/// The right to work on one request.
pub(super) struct Permit(Arc<SharedByStreams>);

/// Content of a request that has come in so far, counted.
pub(super) struct ReceivedBytes {
    shared: Arc<SharedByStreams>,
    bytes: usize,
    is_spooled: bool,
}

/// A stream that sends a file; it has a share of the memory.
pub(super) struct Sender(Arc<SharedByStreams>);

impl SharedByStreams {
    pub(super) fn new(account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self {
            account,
            working: AtomicUsize::new(0),
            is_wanted: AtomicBool::new(false),
            senders: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            spooled: AtomicUsize::new(0),
            connection: OnceLock::new(),
            replies: Mutex::default(),
        })
    }

    /// Sets the task that is woken when there is a permit again, or room for an answer.
    pub(super) fn belongs_to(&self, context: &Context<'_>) {
        self.connection.get_or_init(|| {
            self.account.belongs_to(context.waker());
            context.waker().clone()
        });
    }

    /// Admits one more request, if there may be one; else the connection's task is woken when there may.
    pub(super) fn admit(&self) -> bool {
        if self.working.load(Ordering::SeqCst) >= MOST_WORKING {
            self.is_wanted.store(true, Ordering::SeqCst);
            // The last request may have ended between the two looks.
            if self.working.load(Ordering::SeqCst) >= MOST_WORKING {
                return false;
            }
        }
        self.working.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// A permit, which holds the place of an admitted request until all of its work is done.
    pub(super) fn permit(self: &Arc<Self>) -> Arc<Permit> {
        Arc::new(Permit(Arc::clone(self)))
    }

    /// The replies that have arrived, in exchange for this empty vector.
    pub(super) fn replies(&self, emptied: Vec<CallReply>) -> Vec<CallReply> {
        std::mem::replace(&mut *self.lock_replies(), emptied)
    }

    fn lock_replies(&self) -> MutexGuard<'_, Vec<CallReply>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.is_wanted.load(Ordering::SeqCst) && self.is_wanted.swap(false, Ordering::SeqCst) {
            self.wake_connection();
        }
    }

    fn wake_connection(&self) {
        self.connection.get().into_iter().for_each(Waker::wake_by_ref);
    }

    /// A sender for a stream that has a file to send.
    pub(super) fn sender(self: &Arc<Self>) -> Sender {
        self.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(self))
    }

    pub(super) fn hold(self: &Arc<Self>) -> ReceivedBytes {
        ReceivedBytes { shared: Arc::clone(self), bytes: 0, is_spooled: false }
    }
}

/// The guard of a request with a single job.
impl Guard<Exchange> for SharedByStreams {
    fn release(&self) {
        self.working.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }

    fn on_reply(&self, number: u64, exchanges: Vec<Exchange>) {
        let mut replies = self.lock_replies();
        replies.push((number, exchanges));
        let is_first = replies.len() == 1;
        drop(replies);
        if is_first {
            self.wake_connection();
        }
    }
}

/// The guard of a request with several jobs; the last one to end releases the place.
impl Guard<Exchange> for Permit {}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl ReceivedBytes {
    /// Counts bytes that have come in.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.shared.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts the bytes no longer, because they lie in a file now.
    pub(super) fn clear(&mut self) {
        self.shared.received.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Whether the streams hold so many bytes in memory that this content has to go to a file.
    pub(super) fn is_too_much(&self) -> bool {
        const SMALL: usize = MOST_HELD / MOST_WORKING;
        self.bytes > SMALL && self.shared.received.load(Ordering::Relaxed) > MOST_HELD
    }

    /// Whether this content may lie in a file; `false` if too many others do.
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

impl Drop for ReceivedBytes {
    fn drop(&mut self) {
        self.clear();
        if self.is_spooled {
            self.shared.spooled.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Sender {
    /// Bytes of a file that this stream may bring into memory at a time.
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
