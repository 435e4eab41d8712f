//! What one connection holds of answers, what is expected of handlers that run for it, and how quickly its client takes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Budget, Count, Counted, Taker};

/// One connection.
pub(crate) struct Account {
    budget: Arc<Budget>,
    /// In bytes; `usize::MAX` for a connection that has one answer after another, and no bound of its own.
    most: usize,
    held: AtomicUsize,
    /// As soon as more is held, no handler begins: `most` and the largest answer yet.
    bound: AtomicUsize,
    /// What running handlers are expected to answer.
    reserved: AtomicUsize,
    /// Since when something is held, in milliseconds of the budget's clock, and what the client has taken since.
    pub(super) since: AtomicU64,
    taken: AtomicUsize,
    taker: Arc<dyn Taker>,
    /// Whether a request waits for room.
    is_wanted: AtomicBool,
    connection: OnceLock<Waker>,
    room: Notify,
}

/// Room for an answer that is expected.
pub(crate) struct Reserved {
    account: Arc<Account>,
    bytes: usize,
}

/// A client that has had an answer for less than this, in milliseconds, is no slow one yet.
const JUST_NOW: u64 = 1000;

impl Account {
    pub(crate) fn new(budget: &Arc<Budget>, most: usize, taker: Arc<dyn Taker>) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            most,
            held: AtomicUsize::new(0),
            bound: AtomicUsize::new(most),
            reserved: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            taker,
            is_wanted: AtomicBool::new(false),
            connection: OnceLock::new(),
            room: Notify::new(),
        })
    }

    /// The task that is woken when there is room again.
    pub(crate) fn belongs_to(&self, waker: &Waker) {
        self.connection.get_or_init(|| waker.clone());
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Whether anything is held or expected.
    pub(crate) fn is_in_use(&self) -> bool {
        self.held() + self.reserved.load(Ordering::SeqCst) > 0
    }

    /// Whether the connection holds so much that no handler may begin.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.bound.load(Ordering::Relaxed)
    }

    /// Counts the bytes of an answer until their memory is freed.
    ///
    /// # Errors
    /// The connection holds too much already: the bytes are gone.
    pub(crate) fn count(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, NoRoom> {
        self.count_up_to(bytes, self.bound.load(Ordering::Relaxed))
    }

    /// Counts a piece of an answer, which cannot be made again: for those that come back at the same time there is as much room again.
    ///
    /// # Errors
    /// As those of [`Account::count`].
    pub(crate) fn count_piece(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, NoRoom> {
        self.count_up_to(bytes, self.bound.load(Ordering::Relaxed).saturating_add(self.most))
    }

    fn count_up_to(self: &Arc<Self>, bytes: Bytes, bound: usize) -> Result<Bytes, NoRoom> {
        // In one step: answers come back on many threads at the same time.
        let more = |held: usize| (held <= bound).then(|| held.saturating_add(bytes.len()));
        let Ok(before) = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) else { return Err(NoRoom) };
        self.bound.fetch_max(self.most.saturating_add(bytes.len()), Ordering::Relaxed);
        let count = self.begin(before, bytes.len());
        Ok(Bytes::from_owner(Counted { bytes, _count: count }))
    }

    /// Counts memory that is none of an answer itself; `None` if there is no room for it beside what is held.
    pub(crate) fn count_more(self: &Arc<Self>, bytes: usize) -> Option<Count> {
        (self.held().saturating_add(bytes) <= self.most).then(|| self.hold(bytes))
    }

    fn hold(self: &Arc<Self>, bytes: usize) -> Count {
        let before = self.held.fetch_add(bytes, Ordering::SeqCst);
        self.begin(before, bytes)
    }

    /// So many bytes have been added to those that were held before.
    fn begin(self: &Arc<Self>, before: usize, bytes: usize) -> Count {
        if before == 0 {
            self.since.store(self.budget.now(), Ordering::Relaxed);
            self.taken.store(0, Ordering::Relaxed);
            self.budget.note(self);
        }
        // The count is there before room is made for it, which may take all counts from this connection.
        let count = Count { account: Arc::clone(self), bytes };
        self.budget.add(bytes);
        count
    }

    pub(super) fn release(self: &Arc<Self>, bytes: usize) {
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let held = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).unwrap_or_default();
        // Less is held if the connection had to give way meanwhile.
        self.budget.remove(held.min(bytes));
        if held <= bytes {
            self.bound.store(self.most, Ordering::Relaxed);
            self.budget.note(self);
        }
        self.wake();
    }

    /// Counts nothing any more; what was counted.
    pub(super) fn forget(&self) -> usize {
        self.held.swap(0, Ordering::SeqCst)
    }

    /// Ends the connection.
    pub(super) fn end(&self) {
        self.taker.give_way();
    }

    /// Whose turn it is to give way at this time: the least is the first. Those that have had time are ordered by what they have taken in
    /// it; if there are none, those that have had it longest.
    pub(super) fn turn(&self, now: u64) -> (bool, u64) {
        let since = self.since.load(Ordering::Relaxed);
        let time = now.saturating_sub(since);
        match time < JUST_NOW {
            true => (true, since),
            false => (false, (self.taken.load(Ordering::Relaxed) as u64).saturating_mul(1000) / time),
        }
    }

    /// The client has taken so many bytes since the answers in hand began.
    pub(crate) fn note_taken(&self, bytes: usize) {
        self.taken.store(bytes, Ordering::Relaxed);
    }

    /// The client has taken so many bytes more.
    pub(crate) fn add_taken(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Room for an answer of this size; `None` as long as answers before it fill the memory that they may. The connection's task
    /// is woken when there may be.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        if !self.has_room(bytes) {
            self.is_wanted.store(true, Ordering::SeqCst);
            // Unless there is just now.
            if !self.has_room(bytes) {
                return None;
            }
        }
        self.reserved.fetch_add(bytes, Ordering::SeqCst);
        Some(Reserved { account: Arc::clone(self), bytes })
    }

    /// The same, as soon as there is room.
    pub(crate) async fn reserved(self: &Arc<Self>, bytes: usize) -> Reserved {
        loop {
            let mut told = std::pin::pin!(self.room.notified());
            told.as_mut().enable();
            if let Some(reserved) = self.reserve(bytes) {
                return reserved;
            }
            told.await;
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        if self.is_full() {
            return false;
        }
        let used = self.held() + self.reserved.load(Ordering::SeqCst);
        used == 0 || bytes == 0 || used.saturating_add(bytes) <= self.most
    }

    fn wake(&self) {
        if self.is_wanted.load(Ordering::SeqCst) && self.is_wanted.swap(false, Ordering::SeqCst) {
            self.connection.get().into_iter().for_each(Waker::wake_by_ref);
            self.room.notify_waiters();
        }
    }
}

/// A connection holds too much of answers already.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
            self.account.wake();
        }
    }
}
