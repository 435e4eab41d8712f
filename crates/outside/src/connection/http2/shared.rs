//! What the streams of one connection share: bounds that hold for all of them together (docs/security.md S16, S17, S19).
//!
//! A stream that was reset gives back its place with `h2` at once. Here its request counts until nothing runs on its behalf
//! any more, so that resetting does not buy another handler.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use crate::budget::Account;
use crate::exchange::Exchange;
use crate::executor::Guard;

/// Requests that may be worked on at a time, whether their streams are there or not.
pub(super) const MOST_WORKING: usize = 100;
/// Bytes that all streams together may hold in memory of contents of requests, and of files that are sent.
const MOST_HELD: usize = 1 << 20;
/// Uploads that may lie in temporary files at a time.
const MOST_SPOOLED: usize = 16;

/// The state that is shared.
pub(super) struct SharedByStreams {
    /// What answers take.
    pub(super) account: Arc<Account>,
    working: AtomicUsize,
    /// Somebody waits for a permit.
    is_wanted: AtomicBool,
    senders: AtomicUsize,
    received: AtomicUsize,
    spooled: AtomicUsize,
    connection: OnceLock<Waker>,
    replies: Mutex<Vec<CallReply>>,
}

/// What came of a call, and its number.
pub(super) type CallReply = (u64, Vec<Exchange>);

/// The right to work on one request.
pub(super) struct Permit(Arc<SharedByStreams>);

/// Content that a request has brought so far.
pub(super) struct ReceivedBytes {
    shared: Arc<SharedByStreams>,
    bytes: usize,
    is_spooled: bool,
}

/// One more stream that sends.
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

    /// The task that is woken when there is a permit again, or room for an answer.
    pub(super) fn belongs_to(&self, context: &Context<'_>) {
        self.connection.get_or_init(|| {
            self.account.belongs_to(context.waker());
            context.waker().clone()
        });
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

    /// Those that have arrived since, in place of these, which are empty.
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

    /// A sender for a stream that has content to send.
    pub(super) fn sender(self: &Arc<Self>) -> Sender {
        self.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(self))
    }

    pub(super) fn hold(self: &Arc<Self>) -> ReceivedBytes {
        ReceivedBytes { shared: Arc::clone(self), bytes: 0, is_spooled: false }
    }
}

/// Guard by the only job of a request.
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

/// Guard by all jobs of a request; the last one counts.
impl Guard<Exchange> for Permit {}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl ReceivedBytes {
    /// So much more has come in.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.shared.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It lies in a file now.
    pub(super) fn clear(&mut self) {
        self.shared.received.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Whether there is more in memory than there should be, so that this has to go to a file.
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

impl Drop for ReceivedBytes {
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
